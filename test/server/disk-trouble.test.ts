// What happens to a running server when its volume does: real mounts in a mount namespace, real deletions.

import { spawnSync } from 'node:child_process'
import { mkdirSync, readdirSync, rmSync, unlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { eventually } from '../support/eventually.ts'
import { FakeOpenSearch } from '../support/fake-opensearch.ts'
import { freePort } from '../support/free-port.ts'
import { mountNamespace } from '../support/mount-namespace.ts'
import {
  arrivedSeqs,
  missingSeqs,
  NumberedLoad,
  queuesOf,
  totalOf
} from '../support/numbered-load.ts'
import { type RouterProcess, startRouter } from '../support/router-process.ts'

const LIMIT_MS = 60_000

t.setTimeout(180_000)

const within = mountNamespace()
const skip = within === null ? 'no mount namespace: neither user namespaces nor root' : false

/** Two routes, `app` and `other`; the destination is down. `mount`: where the data directory lies. */
async function setUp(t: Test, mount: string | null, queue = '') {
  const search = await new FakeOpenSearch().start()
  t.teardown(() => search.stop())
  search.plan(...Array.from({ length: 50_000 }, () => ({ kind: 'status' as const, status: 503 })))
  const port = await freePort()
  const adminPort = await freePort()
  const folder = t.testdir({ data: {} })
  const data = join(folder, 'data')
  const config = `
version: 1
data_dir: ./data
drain_timeout: 10s
admin: {listen: "127.0.0.1:${adminPort}"}
queue: {segment_bytes: 1MiB, min_free: "0", ${queue}}
inputs:
  load: {type: forward, listen: "tcp://127.0.0.1:${port}"}
routes:
  app: {match: "app", to: [search]}
  other: {match: "**", to: [search]}
outputs:
  search: {type: opensearch, endpoints: ["${search.url}"], index: logs, flush_interval: 50ms, bulk_bytes: 256KiB, retry: {base: 20ms, cap: 200ms}}
`
  const script = `${mount} "$0" && exec "$@"`
  const inside = mount === null ? [] : [...(within ?? []), 'sh', '-c', script, data]
  const router = await startRouter(t, { folder, config, adminPort, within: inside })
  const options = { port, padBytes: 1000, pauseMs: 2 }
  const load = new NumberedLoad({ ...options, tag: 'app' }).start()
  t.teardown(() => load.stop())
  return { data, load, options, router, search }
}

const stateOf = async (router: RouterProcess, route: string) =>
  (await queuesOf(router)).shards.find((shard) => shard.route === route)?.state

const notReady = (router: RouterProcess, reason: RegExp) =>
  eventually(`/readyz says ${reason}`, LIMIT_MS, async () => {
    const answer = await fetch(`${router.adminUrl}/readyz`)
    const text = await answer.text()
    return answer.status === 503 && reason.test(text) ? text : null
  })

t.test(
  'Q33 rm -rf of a shard: loud, other routes go on, the open segment is delivered',
  async (t) => {
    const { data, load, options, router, search } = await setUp(t, null)
    await eventually('records are acked', LIMIT_MS, () => load.acked.length > 100)
    rmSync(join(data, 'routes/app'), { recursive: true })
    await eventually('the shard is failed', LIMIT_MS, async () => {
      return (await stateOf(router, 'app')) === 'failed'
    })
    t.match(await notReady(router, /failed/), /app\/00 is failed: .*was deleted while in use/)
    const acked = load.acked.length
    t.match(router.log, /the shard takes no records/)
    const other = new NumberedLoad({ ...options, tag: 'db' }).start()
    t.teardown(() => other.stop())
    await eventually('the other route takes records', LIMIT_MS, () => other.acked.length > 200)
    t.equal(await stateOf(router, 'other'), 'ok')
    t.equal(load.acked.length, acked, 'nothing more is acked for the deleted one')
    search.reset()
    await eventually('what was acked is delivered, from the open file', LIMIT_MS, async () => {
      return totalOf(await queuesOf(router), 'app', 'search').pending === 0
    })
    t.match(totalOf(await queuesOf(router), 'app', 'search'), { delivered: acked, lost: 0 })
    t.notOk(router.hasExited)
    load.stop()
    other.stop()
    t.equal(await router.stop(), 0)
  }
)

t.test(
  'Q29 no inodes are left although there are bytes: full, said so, and it passes',
  { skip },
  async (t) => {
    const { data, load, router, search } = await setUp(
      t,
      'mount -t tmpfs -o size=64m,nr_inodes=120 tmpfs'
    )
    await eventually('records are acked', LIMIT_MS, () => load.acked.length > 100)
    const filler = `/proc/${router.child.pid}/root${data}/filler`
    mkdirSync(filler)
    for (let n = 0; n < 200; n++) {
      try {
        writeFileSync(join(filler, String(n)), '')
      } catch {
        break
      }
    }
    await eventually('it is full', LIMIT_MS, async () => (await stateOf(router, 'app')) === 'full')
    await eventually('it says inodes', LIMIT_MS, () => router.log.includes('too few free inodes'))
    t.match(await notReady(router, /full/), /app\/00 is full: the volume has too few free inodes/)
    t.ok((await router.metric('millrace_queue_volume_free_bytes')) > 10_000_000)
    const acked = load.acked.length
    for (const name of readdirSync(filler)) unlinkSync(join(filler, name))
    await eventually('acks go on', LIMIT_MS, () => load.acked.length > acked + 200)
    search.reset()
    load.close()
    await eventually('all is delivered', LIMIT_MS, async () => {
      const { pending } = totalOf(await queuesOf(router), 'app', 'search')
      return load.unackedChunks === 0 && pending === 0
    })
    t.same(missingSeqs(load.acked, arrivedSeqs(search)), [])
    t.equal(await router.stop(), 0)
  }
)

t.test(
  'another volume in the place of the first is refused, and the first is taken again',
  { skip },
  async (t) => {
    const { data, load, router, search } = await setUp(t, 'mount -t tmpfs -o size=64m tmpfs')
    await eventually('records are acked', LIMIT_MS, () => load.acked.length > 100)
    const enter = ['-U', '-m', '--preserve-credentials']
    const inside = (...command: string[]) => {
      const flags = within?.includes('-Urm') ? enter : ['-m']
      const args = [`--target=${router.child.pid}`, ...flags, ...command]
      return spawnSync('nsenter', args).status
    }
    t.equal(inside('mount', '-t', 'tmpfs', 'tmpfs', data), 0)
    await eventually(
      'it is failed',
      LIMIT_MS,
      async () => (await stateOf(router, 'app')) === 'failed'
    )
    await notReady(router, /another directory or volume than the one that was locked/)
    const status = await queuesOf(router)
    const { appended } = totalOf(status, 'app', 'search')
    // Acks of what was taken before may still be on their way to the sender.
    search.reset()
    await eventually('what was taken is delivered', LIMIT_MS, async () => {
      return arrivedSeqs(search).length === appended
    })
    t.equal(totalOf(await queuesOf(router), 'app', 'search').appended, appended, 'nothing is taken')
    t.same(missingSeqs(load.acked, arrivedSeqs(search)), [], 'nothing more was acked')
    const acked = load.acked.length
    const foreign = readdirSync(`/proc/${router.child.pid}/root${data}`)
    t.same(foreign, [], 'nothing is written to the other volume')
    t.equal(inside('umount', data), 0)
    await eventually('acks go on', LIMIT_MS, () => load.acked.length > acked + 200)
    load.close()
    await eventually('all is delivered', LIMIT_MS, async () => {
      const { pending } = totalOf(await queuesOf(router), 'app', 'search')
      return load.unackedChunks === 0 && pending === 0
    })
    t.same(missingSeqs(load.acked, arrivedSeqs(search)), [])
    t.equal(await router.stop(), 0)
  }
)
