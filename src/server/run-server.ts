// Runs on: main.
// The server as a process: banner, signals, exit code. TERM and INT stop and drain; a second one skips the drain.

import { BUILT_INS } from '../../plugins/index.ts'
import type { CliIo } from '../cli/io.ts'
import { packageVersion } from '../cli/package-version.ts'
import type { RunServer } from '../cli/run.ts'
import { EXIT, errorText } from '../core/errors.ts'
import { createRegistry } from '../plugin/registry.ts'
import { Server } from '../server.ts'
import { banner } from './banner.ts'
import { createLog } from './log.ts'

/** Sources end in .ts, compiled files in .js. */
const STEPS_MODULE = new URL(
  `../../plugins/steps.${import.meta.url.endsWith('.ts') ? 'ts' : 'js'}`,
  import.meta.url
)

export const runServer =
  (io: Pick<CliIo, 'out' | 'error'>): RunServer =>
  async (config, options) => {
    const log = createLog({
      level: options.logLevel,
      format: options.logFormat,
      out: { write: io.out }
    })
    const ended = Promise.withResolvers<number>()
    const version = packageVersion()
    const server = await Server.start({
      config,
      version,
      log,
      registry: createRegistry(BUILT_INS),
      stepsModule: STEPS_MODULE.href,
      isDrainOnly: options.isDrainOnly,
      isLockedSkipped: options.isLockedSkipped,
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
    const { configFiles } = options
    if (!options.isDrainOnly) io.error(banner({ version, config, configFiles, addresses, admin }))
    log.info({ version, event: 'started', addresses }, 'started')
    const stop = listenForSignals(() => ended.resolve(EXIT.ok))
    if (options.isDrainOnly) {
      void server.drain(config.drainTimeoutMs).then((isDrained) => {
        ended.resolve(isDrained ? EXIT.ok : EXIT.temporary)
      })
    }
    const code = await ended.promise
    log.info({ event: 'stopping' }, 'stopping')
    void stop.again.then(() => server.hurry())
    const isGraceful = code === EXIT.ok && !options.isDrainOnly
    const isDrained = await server.stop(isGraceful ? config.drainTimeoutMs : 0)
    stop.forget()
    log.info({ event: 'stopped', drained: isDrained }, 'stopped')
    return code
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
