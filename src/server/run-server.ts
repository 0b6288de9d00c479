// Runs on: main.
// The server as a process: banner, signals, exit code. TERM and INT stop and drain; a second one skips the drain.

import { BUILT_INS } from '../../plugins/index.ts'
import type { CliIo } from '../cli/io.ts'
import { packageVersion } from '../cli/package-version.ts'
import type { RunServer } from '../cli/run.ts'
import type { MillraceConfig } from '../config/schema.ts'
import { systemClock } from '../core/clock.ts'
import { EXIT, errorText } from '../core/errors.ts'
import type { OutputLog } from '../plugin/output.ts'
import { createRegistry } from '../plugin/registry.ts'
import { Server, type StartOptions } from '../server.ts'
import { createLog } from './log.ts'
import { OwnLogFeed } from './own-log.ts'
import { limitExit, limitStop } from './process-end.ts'
import { banner } from './status/banner.ts'
import { durabilityWindow } from './status/durability-window.ts'

/** Sources end in .ts, compiled files in .js. */
const STEPS_MODULE = new URL(
  `../../plugins/steps.${import.meta.url.endsWith('.ts') ? 'ts' : 'js'}`,
  import.meta.url
)

export const runServer =
  (io: Pick<CliIo, 'out' | 'error'>): RunServer =>
  async (config, options) => {
    const registry = createRegistry(BUILT_INS)
    const ownLog = options.isDrainOnly ? null : OwnLogFeed.of(config, registry, systemClock)
    const log = createLog({
      level: options.logLevel,
      format: options.logFormat,
      out: { write: io.out },
      second: ownLog
    })
    ownLog?.warnBy(log)
    const ended = Promise.withResolvers<number>()
    const stopping = new AbortController()
    // From the first moment: a stop during a long recovery is a clean stop too.
    const stop = listenForSignals(() => {
      stopping.abort()
      ended.resolve(EXIT.ok)
    })
    const version = packageVersion()
    const { configFiles, isDrainOnly, isLockedSkipped } = options
    const server = await start({
      config,
      version,
      log,
      registry,
      ownLog,
      stepsModule: STEPS_MODULE.href,
      isDrainOnly,
      isLockedSkipped,
      stopping: stopping.signal,
      onDeath(error) {
        log.error({ error: errorText(error) }, 'a thread died; stopping, the next start recovers')
        ended.resolve(EXIT.internal)
      },
      onIoError(error) {
        log.error(
          { error: errorText(error), event: 'stopping' },
          'the disk failed; stopping, as on_io_error says'
        )
        ended.resolve(EXIT.io)
      }
    })
    const { addresses, adminUrl: admin } = server
    if (!isDrainOnly) io.error(banner({ version, config, configFiles, addresses, admin }))
    log.info({ version, event: 'started', addresses }, 'started')
    warnOfWindows(config.routes, log)
    if (isDrainOnly) {
      void server.drain(config.drainTimeoutMs).then(() => ended.resolve(EXIT.ok))
    }
    const code = await ended.promise
    log.info({ event: 'stopping' }, 'stopping')
    void stop.again.then(() => server.hurry())
    const drainMs = code === EXIT.ok && !isDrainOnly ? config.drainTimeoutMs : 0
    const cancelWatch = limitStop({ log, drainMs, code, waitsFor: () => server.waitsFor })
    const isDrained = await server.stop(drainMs)
    cancelWatch()
    stop.forget()
    limitExit(log)
    log.info({ event: 'stopped', drained: isDrained }, 'stopped')
    // A volume may be given up when its queues are empty, and only then.
    return isDrainOnly && code === EXIT.ok && !isDrained ? EXIT.temporary : code
  }

/** A start that fails ends the process too: what it had begun may hang. */
async function start(options: StartOptions): Promise<Server> {
  try {
    return await Server.start(options)
  } catch (error) {
    limitExit(options.log)
    throw error
  }
}

function warnOfWindows(routes: MillraceConfig['routes'], log: OutputLog): void {
  for (const route of routes) {
    const window = durabilityWindow(route)
    if (window === null) continue
    const fields = { route: route.id, durability: route.durability, event: 'queue.durability' }
    log.warn(fields, window)
  }
}

interface StopSignals {
  /** Settles at the second signal. */
  readonly again: Promise<void>
  forget(): void
}

function listenForSignals(onFirst: () => void): StopSignals {
  const { promise: again, resolve } = Promise.withResolvers<void>()
  let count = 0
  const hear = () => {
    count++
    if (count === 1) onFirst()
    else resolve()
  }
  process.on('SIGTERM', hear)
  process.on('SIGINT', hear)
  return {
    again,
    forget() {
      process.off('SIGTERM', hear)
      process.off('SIGINT', hear)
    }
  }
}
