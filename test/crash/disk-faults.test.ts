// L5: each error of the disk at each call, under a real server that is loaded by senders who wait for acks. The process
// goes on, nothing is acked that is not durable, nothing is lost or doubled, the state says what is wrong and ends with it.
// A failed sync loses what it should have written (test/faults/fault-shim.c), so an ack too early would be a missing record.
// MILLRACE_FAULT_ROUNDS=n goes over all cases n times, each time at later calls.

import t, { type Test } from 'tap'
import { eventually } from '../support/eventually.ts'
import { FakeOpenSearch } from '../support/fake-opensearch.ts'
import { compiler, compileShim, type FaultRule, Faults } from '../support/fault-shim.ts'
import { freePort } from '../support/free-port.ts'
import {
  arrivedSeqs,
  imbalance,
  missingSeqs,
  NumberedLoad,
  queuesOf,
  totalOf
} from '../support/numbered-load.ts'
import { requireAll } from '../support/require-program.ts'
import { type RouterProcess, startRouter } from '../support/router-process.ts'

const LIMIT_MS = 60_000
const ROUNDS = Number(process.env['MILLRACE_FAULT_ROUNDS'] ?? 1)
/** Records that have to be acked after a fault before it counts as over. */
const ACKED_AFTER = 300

t.setTimeout(240_000 * ROUNDS)

const segment = (call: FaultRule['call'], action: FaultRule['action'], count = 1): FaultRule => ({
  call,
  path: '/routes/all/shard-00/',
  action,
  count
})
const cursor = (call: FaultRule['call'], action: FaultRule['action'], count = 2): FaultRule => ({
  call,
  path: '/routes/all/shard-00/search.cur',
  action,
  count
})

/** Of segments: what fails, and whether a segment is cut by it. */
const CASES: readonly (readonly [string, readonly FaultRule[], 'cut' | 'whole'])[] = [
  ['EIO on write', [segment('write', 'EIO')], 'cut'],
  ['ENOSPC on write', [segment('write', 'ENOSPC')], 'whole'],
  ['EDQUOT on write', [segment('write', 'EDQUOT', 2)], 'whole'],
  ['EROFS on write', [segment('write', 'EROFS')], 'cut'],
  ['a short write', [segment('write', 'short')], 'whole'],
  ['EIO on write and on truncate', [segment('write', 'EIO'), segment('truncate', 'EIO')], 'cut'],
  ['EIO on truncate after ENOSPC', [segment('write', 'ENOSPC'), segment('truncate', 'EIO')], 'cut'],
  ['EIO on sync', [segment('sync', 'EIO')], 'cut'],
  ['EIO on the sync, and of the next segment', [segment('sync', 'EIO', 2)], 'cut'],
  ['ENOSPC on sync', [segment('sync', 'ENOSPC')], 'cut'],
  ['EDQUOT on sync', [segment('sync', 'EDQUOT')], 'cut'],
  ['EROFS on sync', [segment('sync', 'EROFS')], 'cut'],
  ['EIO on the sync of the directory', [segmentDirectory('EIO')], 'cut'],
  ['EROFS on the sync of the directory', [segmentDirectory('EROFS')], 'cut'],
  ['ENOSPC on creation', [segment('create', 'ENOSPC', 2)], 'whole'],
  ['EROFS on creation', [segment('create', 'EROFS')], 'whole'],
  ['EMFILE on creation', [segment('create', 'EMFILE')], 'whole'],
  ['EMFILE on opening to read', [segment('open', 'EMFILE', 3)], 'whole'],
  ['EIO on opening to read', [segment('open', 'EIO', 3)], 'whole'],
  ['EIO on reading, once', [segment('read', 'EIO')], 'whole'],
  ['EIO on deletion', [segment('unlink', 'EIO')], 'whole'],
  ['EIO on writing a cursor', [cursor('write', 'EIO')], 'whole'],
  ['ENOSPC on writing a cursor', [cursor('write', 'ENOSPC')], 'whole'],
  ['EROFS on writing a cursor', [cursor('write', 'EROFS')], 'whole'],
  ['a short write of a cursor', [cursor('write', 'short')], 'whole'],
  ['EIO on syncing a cursor', [cursor('sync', 'EIO')], 'whole']
]

function segmentDirectory(action: FaultRule['action']): FaultRule {
  return { call: 'dirsync', path: '/routes/all/shard-00', action, count: 1 }
}

interface Setup {
  readonly faults: Faults
  readonly search: FakeOpenSearch
  readonly load: NumberedLoad
  readonly start: () => Promise<RouterProcess>
}

async function setUp(t: Test, queue = ''): Promise<Setup> {
  const folder = t.testdir({})
  const faults = new Faults(compileShim(folder), folder)
  t.teardown(() => faults.close())
  const search = await new FakeOpenSearch().start()
  t.teardown(() => search.stop())
  const port = await freePort()
  const adminPort = await freePort()
  const config = `
version: 1
data_dir: ./data
drain_timeout: 10s
admin: {listen: "127.0.0.1:${adminPort}"}
queue: {segment_bytes: 1MiB, ${queue}}
inputs:
  load: {type: forward, listen: "tcp://127.0.0.1:${port}"}
routes:
  all: {match: "**", to: [search]}
outputs:
  search: {type: opensearch, endpoints: ["${search.url}"], index: logs, flush_interval: 50ms, bulk_bytes: 256KiB, retry: {base: 20ms, cap: 200ms}}
`
  const load = new NumberedLoad({
    port,
    tag: 'app',
    connections: 3,
    padBytes: 1500,
    pauseMs: 2
  })
  t.teardown(() => load.stop())
  const start = () => startRouter(t, { folder, config, adminPort, env: faults.env })
  return { faults, search, load, start }
}

async function stateOf(router: RouterProcess): Promise<string | undefined> {
  return (await queuesOf(router)).shards[0]?.state
}

/** Everything that was sent is acked and delivered, once, and the books agree. */
async function checkAll(t: Test, router: RouterProcess, { load, search }: Setup): Promise<void> {
  load.close()
  await eventually('every chunk is acked', LIMIT_MS, () => load.unackedChunks === 0)
  await eventually('all is delivered', LIMIT_MS, async () => {
    return totalOf(await queuesOf(router), 'all', 'search').pending === 0
  })
  const arrived = arrivedSeqs(search)
  t.same(missingSeqs(load.acked, arrived).slice(0, 20), [], 'nothing acked is missing')
  t.equal(new Set(arrived).size, arrived.length, 'nothing is there twice')
  const status = await queuesOf(router)
  t.match(totalOf(status, 'all', 'search'), { lost: 0, dropped: 0, pending: 0 })
  for (const each of status.cursors) t.equal(imbalance(each), 0, 'the identity holds')
}

requireAll(t, [[compiler, 'a C compiler (cc)']], () => {
  t.test('L5 each errno at each call: the server goes on and loses nothing', async (t) => {
    const setup = await setUp(t)
    const { faults, load } = setup
    const router = await setup.start()
    load.start()
    for (let round = 1; round <= ROUNDS; round++) {
      for (const [name, rules, effect] of CASES) {
        const cutBefore = await router.metric('millrace_queue_segment_poisoned_total')
        faults.set(...rules.map((rule) => ({ ...rule, from: round })))
        await eventually(
          `${name}: it fails`,
          LIMIT_MS,
          () => faults.hits(0) >= (rules[0]?.count ?? 1)
        )
        const acked = load.acked.length
        await eventually(
          `${name}: acks go on`,
          LIMIT_MS,
          () => load.acked.length >= acked + ACKED_AFTER
        )
        const cutCount = async () =>
          (await router.metric('millrace_queue_segment_poisoned_total')) - cutBefore
        // Acks may be those of a sync that ran before, and main hears of a cut a moment after it.
        if (effect === 'cut') {
          await eventually(`${name}: a segment is cut`, LIMIT_MS, async () => {
            if ((await cutCount()) > 0) return true
            // It may have hit the footer of a finished segment, which nothing depends on.
            if (faults.hits(0) > 0) faults.set(...rules)
            return false
          })
        } else t.equal(await cutCount(), 0, `${name}: no segment is cut`)
        t.notOk(router.hasExited, name)
      }
    }
    faults.set(segment('sync', 'delay:1100'))
    await eventually('a slow sync is said', LIMIT_MS, () => router.log.includes('the disk is slow'))
    faults.clear()
    t.equal(await stateOf(router), 'ok')
    t.ok((await router.metric('millrace_queue_sync_errors_total')) >= 5)
    await checkAll(t, router, setup)
    t.equal(await router.stop(), 0)
  })

  t.test(
    'Q21 no ack while no sync succeeds, and after SIGKILL all that was acked is there',
    async (t) => {
      const setup = await setUp(t)
      const { faults, load } = setup
      const router = await setup.start()
      load.start()
      await eventually('acks come', LIMIT_MS, () => load.acked.length > ACKED_AFTER)
      faults.set({ ...segment('sync', 'EIO'), count: 0 })
      await eventually(
        'the shard is failed',
        LIMIT_MS,
        async () => (await stateOf(router)) === 'failed'
      )
      const acked = load.acked.length
      const hits = faults.hits()
      const ready = await eventually('it says that it is not ready', LIMIT_MS, async () => {
        const answer = await fetch(`${router.adminUrl}/readyz`)
        return answer.status === 503 ? answer.text() : null
      })
      t.match(ready, /all\/00 is failed: EIO/)
      await eventually('it is tried again', LIMIT_MS, () => faults.hits() > hits)
      t.equal(load.acked.length, acked, 'no ack without a sync')
      t.notOk(router.hasExited)
      await router.kill()
      faults.clear()
      await checkAll(t, await setup.start(), setup)
    }
  )

  t.test(
    'Q32 a volume that turned read-only: drains, refuses, and comes back without a restart',
    async (t) => {
      const setup = await setUp(t)
      const { faults, load, search } = setup
      search.plan(...Array.from({ length: 500 }, () => ({ kind: 'status' as const, status: 503 })))
      const router = await setup.start()
      load.start()
      await eventually('a backlog is there', LIMIT_MS, () => load.acked.length > 2000)
      const everything = ['create', 'write', 'sync', 'dirsync', 'truncate', 'unlink'] as const
      faults.set(
        ...everything.map((call) => ({ call, path: '/data/', action: 'EROFS' as const, count: 0 }))
      )
      await eventually(
        'it is read-only',
        LIMIT_MS,
        async () => (await stateOf(router)) === 'read_only'
      )
      const { appended } = totalOf(await queuesOf(router), 'all', 'search')
      search.reset()
      await eventually('what was taken is delivered', LIMIT_MS, () => {
        return arrivedSeqs(search).length === appended
      })
      // Acks of what was taken before may still have been on their way to the sender.
      t.same(missingSeqs(load.acked, arrivedSeqs(search)), [], 'nothing more was acked')
      t.equal(
        totalOf(await queuesOf(router), 'all', 'search').appended,
        appended,
        'nothing is taken'
      )
      const acked = load.acked.length
      t.equal((await fetch(`${router.adminUrl}/readyz`)).status, 503)
      t.match(router.log, /is delivered again after a restart/)
      t.equal(router.log.split('is delivered again after a restart').length, 2, 'said once')
      faults.clear()
      await eventually('acks go on', LIMIT_MS, () => load.acked.length > acked + ACKED_AFTER)
      t.equal(await stateOf(router), 'ok')
      await checkAll(t, router, setup)
      t.equal(await router.stop(), 0)
    }
  )

  t.test('a sync that never returns keeps no process: it ends in time and says why', async (t) => {
    const setup = await setUp(t, 'on_io_error: exit')
    const { faults, load } = setup
    const router = await setup.start()
    load.start()
    await eventually('acks come', LIMIT_MS, () => load.acked.length > ACKED_AFTER)
    // The error begins the stop, and then the disk answers no more.
    const hang = `delay:${10 * LIMIT_MS}` as const
    // Names of segments begin with a digit; the sync of a cursor that fails ends nothing.
    const path = '/routes/all/shard-00/0'
    faults.set({ ...segment('sync', 'EIO'), path }, { ...segment('sync', hang, 0), path })
    await eventually('the router ends', LIMIT_MS, () => router.hasExited)
    t.equal(await router.exit, 74)
    t.match(router.log, /"event":"stop.abandoned","waits_for":"ingest threads"/)
    faults.clear()
    await checkAll(t, await setup.start(), setup)
  })

  t.test(
    'on_io_error: exit ends the process with code 74, and the next one has everything',
    async (t) => {
      const setup = await setUp(t, 'on_io_error: exit')
      const { faults, load } = setup
      const router = await setup.start()
      load.start()
      await eventually('acks come', LIMIT_MS, () => load.acked.length > ACKED_AFTER)
      await eventually('the router ends', LIMIT_MS, () => {
        if (!router.hasExited) faults.set(segment('sync', 'EIO'))
        return router.hasExited
      }).catch((cause) => {
        throw new Error(`${cause}\n${router.log}`)
      })
      t.equal(await router.exit, 74)
      faults.clear()
      await checkAll(t, await setup.start(), setup)
    }
  )
})
