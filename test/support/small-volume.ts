// A data directory on a small tmpfs of its own that outlives the routers of a test, with a destination that is down and
// numbered records for it.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, statfsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Test } from 'tap'
import { FakeOpenSearch } from './fake-opensearch.ts'
import { freePort } from './free-port.ts'
import { mountNamespace } from './mount-namespace.ts'
import { type LoadOptions, NumberedLoad, queuesOf, totalOf } from './numbered-load.ts'
import { RouterProcess } from './router-process.ts'

const MIB = 1024 * 1024
export const VOLUME_MIB = 16
/** Bytes of a record, nearly. */
export const PAD_BYTES = 2000

const namespace = mountNamespace()
export const skip =
  namespace === null ? 'no mount namespace: neither user namespaces nor root' : false

export interface SmallVolume {
  readonly search: FakeOpenSearch
  /** From now on it answers 503. */
  refuse(): void
  /** Starts a router that is not waited for. */
  launch(): RouterProcess
  load(options?: Partial<LoadOptions>): NumberedLoad
  /** Another process takes space on the volume. */
  fill(bytes: number): void
  freeBytes(): number
}

/** Words before a command that runs it on the volume, and the data directory as seen from outside. */
async function mountVolume(t: Test, folder: string) {
  const data = join(folder, 'data')
  mkdirSync(data)
  const script = `mount -t tmpfs -o size=${VOLUME_MIB}m tmpfs "$0" && echo mounted && exec sleep 1000000`
  const [command = 'unshare', ...flags] = namespace ?? []
  const holder = spawn(command, [...flags, 'sh', '-c', script, data], {
    stdio: ['ignore', 'pipe', 'inherit']
  })
  t.teardown(() => holder.kill('SIGKILL'))
  await once(holder.stdout, 'data')
  const user = flags.includes('-Urm') ? ['-U', '--preserve-credentials'] : []
  const target = `--target=${holder.pid}`
  return {
    inside: `/proc/${holder.pid}/root${data}`,
    within: ['nsenter', target, '-m', ...user, 'sh', '-c', 'cd "$0" && exec "$@"', folder]
  }
}

export async function smallVolume(
  t: Test,
  { drainTimeout = '10s', queue, route }: { drainTimeout?: string; queue: string; route: string }
): Promise<SmallVolume> {
  const search = await new FakeOpenSearch().start()
  t.teardown(() => search.stop())
  const refuse = () =>
    search.plan(...Array.from({ length: 50_000 }, () => ({ kind: 'status' as const, status: 503 })))
  const port = await freePort()
  const adminPort = await freePort()
  const folder = t.testdir({})
  const { inside, within } = await mountVolume(t, folder)
  const config = `
version: 1
data_dir: ./data
drain_timeout: ${drainTimeout}
admin: {listen: "127.0.0.1:${adminPort}"}
queue: {${queue}}
inputs:
  load: {type: forward, listen: "tcp://127.0.0.1:${port}"}
routes:
  all: {match: "**", ${route}, to: [search]}
outputs:
  search: {type: opensearch, endpoints: ["${search.url}"], index: logs, flush_interval: 50ms, bulk_bytes: 256KiB, retry: {base: 20ms, cap: 200ms}}
`
  return {
    search,
    refuse,
    launch() {
      const router = new RouterProcess({ folder, config, adminPort, within })
      t.teardown(async () => {
        await router.kill()
        if (!t.passing()) t.comment(router.log.slice(-4000))
      })
      return router
    },
    load(options = {}) {
      const load = new NumberedLoad({ port, tag: 'app', padBytes: PAD_BYTES, ...options }).start()
      t.teardown(() => load.stop())
      return load
    },
    fill: (bytes) => writeFileSync(join(inside, 'filler'), Buffer.alloc(bytes), { flag: 'a' }),
    freeBytes() {
      const { bavail, bsize } = statfsSync(inside)
      return bavail * bsize
    }
  }
}

export const total = async (router: RouterProcess) =>
  totalOf(await queuesOf(router), 'all', 'search')

/** Takes every byte that is left. */
export function fillUp(volume: SmallVolume): void {
  try {
    volume.fill(VOLUME_MIB * MIB)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error
  }
}
