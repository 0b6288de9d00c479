import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { SEGMENT_FOOTER } from '../../src/storage/format/layout.ts'
import { eventually } from '../support/eventually.ts'
import { arrivedSeqs, missingSeqs, queuesOf, totalOf } from '../support/numbered-load.ts'
import { RouterProcess, startRouter } from '../support/router-process.ts'
import { stoppedRouter } from '../support/stopped-router.ts'

const LIMIT_MS = 60_000

t.setTimeout(180_000)

t.test('SIGTERM under load ends with 0; what was acked is delivered or on disk', async (t) => {
  const { load, search, setup } = await stoppedRouter(t, '20s')
  const first = await startRouter(t, setup)
  const sender = load({ connections: 4, padBytes: 200 })
  await eventually('there is load', LIMIT_MS, () => sender.acked.length > 2000)
  const exit = first.stop()
  t.equal(await exit, 0)
  sender.stop()
  t.match(first.log, /"drained":true/, 'a destination that takes everything is waited for')
  const acked = [...sender.acked]
  t.same(missingSeqs(acked, arrivedSeqs(search)), [], `all of ${acked.length} acked are delivered`)

  const second = await startRouter(t, setup)
  const after = totalOf(await queuesOf(second), 'all', 'search')
  t.match(after, { pending: 0, delivered: after.appended, lost: 0 })
  t.equal(arrivedSeqs(search).length, after.appended, 'each once')
  t.equal(await second.stop(), 0)
})

t.test('a second SIGTERM skips the drain and keeps the backlog', async (t) => {
  const { load, refuse, search, setup } = await stoppedRouter(t, '10m')
  refuse()
  const first = await startRouter(t, setup)
  const sender = load({ recordsMax: 1000 })
  await eventually('all is acked', LIMIT_MS, () => sender.acked.length === 1000)
  const exit = first.stop()
  await eventually('it stops', LIMIT_MS, () => first.log.includes('"event":"stopping"'))
  t.equal(first.hasExited, false, 'it waits for the destination')
  t.equal(await first.stop(), 0)
  t.equal(await exit, 0)
  t.equal(arrivedSeqs(search).length, 0)
  search.reset()
  const second = await startRouter(t, setup)
  await eventually('the backlog is delivered', LIMIT_MS, async () => {
    return totalOf(await queuesOf(second), 'all', 'search').delivered === 1000
  })
  t.equal(arrivedSeqs(search).length, 1000)
  t.equal(await second.stop(), 0)
})

t.test('Q44 SIGTERM with a backlog gives up after drain_timeout', async (t) => {
  const { load, refuse, setup } = await stoppedRouter(t, '300ms')
  refuse()
  const first = await startRouter(t, setup)
  const sender = load({ recordsMax: 1000 })
  await eventually('all is acked', LIMIT_MS, () => sender.acked.length === 1000)
  t.equal(await first.stop(), 0)
  t.match(first.log, /"drained":false/)
})

/** Bytes of records in the backlog of Q44. */
const BACKLOG_BYTES = Number(process.env['MILLRACE_TEST_BACKLOG_MIB'] ?? 8) * 1024 * 1024
const PAD_BYTES = 2000

t.test('Q44 a stop amid a drain loses nothing and sends nothing twice', async (t) => {
  const { load, refuse, search, setup: whole } = await stoppedRouter(t, '50ms')
  // Many small requests: the stop comes amid them.
  const config = whole.config.replace('index: logs,', 'index: logs, bulk_bytes: 64KiB,')
  const setup = { ...whole, config }
  refuse()
  const records = Math.ceil(BACKLOG_BYTES / PAD_BYTES)
  const first = await startRouter(t, setup)
  const sender = load({ connections: 2, recordsMax: records, padBytes: PAD_BYTES })
  await eventually('all is acked', LIMIT_MS * 10, () => sender.acked.length === records)
  sender.stop()
  search.reset()
  await eventually('it drains', LIMIT_MS, () => search.documents.length > 0)
  const startedMs = Date.now()
  t.equal(await first.stop(), 0)
  t.comment(`stopped in ${Date.now() - startedMs} ms with ${search.documents.length} of ${records}`)
  const names = readdirSync(join(setup.folder, 'data/routes/all/shard-00'))
  const newest =
    names
      .filter((name) => name.endsWith('.seg'))
      .toSorted()
      .at(-1) ?? ''
  const bytes = readFileSync(join(setup.folder, 'data/routes/all/shard-00', newest))
  const footer = bytes.subarray(bytes.length - SEGMENT_FOOTER.byteCount)
  t.equal(footer.toString('latin1', 0, 4), 'MREN', 'the newest segment has its footer')

  const second = await startRouter(t, setup)
  await eventually('the rest is delivered', LIMIT_MS * 10, async () => {
    return totalOf(await queuesOf(second), 'all', 'search').delivered === records
  })
  const { cursors } = await queuesOf(second)
  t.match(cursors, [{ appended: records, duplicateSuppressed: 0, pending: 0 }])
  t.same(
    missingSeqs(
      Array.from({ length: records }, (_, n) => n),
      arrivedSeqs(search)
    ),
    []
  )
  t.equal(await second.stop(), 0)
})

t.test('a destination that never answers holds up no stop', async (t) => {
  const { load, search, setup } = await stoppedRouter(t, '100ms')
  search.plan(...Array.from({ length: 100 }, () => ({ kind: 'hang' as const })))
  const first = await startRouter(t, setup)
  const sender = load({ recordsMax: 100 })
  await eventually('all is acked', LIMIT_MS, () => sender.acked.length === 100)
  t.equal(await first.stop(), 0)
  t.match(first.log, /"drained":false/)
  t.notMatch(first.log, /stop.abandoned/)
})

t.test('SIGTERM while senders wait for room ends with 0; what was acked is kept', async (t) => {
  const { load, refuse, search, setup } = await stoppedRouter(t, '200ms', 'max_bytes: 4MiB,')
  refuse()
  const first = await startRouter(t, setup)
  const sender = load({ connections: 2, padBytes: PAD_BYTES })
  await eventually('the queue is full', LIMIT_MS, async () => {
    const { shards } = await queuesOf(first)
    return (shards[0]?.diskBytes ?? 0) >= 4 * 1024 * 1024 && sender.unackedChunks > 0
  })
  t.equal(await first.stop(), 0)
  sender.stop()
  const acked = [...sender.acked]
  search.reset()
  const second = await startRouter(t, setup)
  await eventually('what was acked is delivered', LIMIT_MS, () => {
    return missingSeqs(acked, arrivedSeqs(search)).length === 0
  })
  t.equal(await second.stop(), 0)
})

t.test('--drain-only ends with 75 when time is up, and with 0 when all is delivered', async (t) => {
  const { load, refuse, search, setup } = await stoppedRouter(t, '500ms')
  refuse()
  const first = await startRouter(t, setup)
  const sender = load({ recordsMax: 1000 })
  await eventually('all is acked', LIMIT_MS, () => sender.acked.length === 1000)
  t.equal(await first.stop(), 0)
  sender.stop()

  const drain = { ...setup, args: ['--drain-only'] }
  const late = new RouterProcess(drain)
  t.teardown(() => late.kill())
  t.equal(await late.exit, 75, late.log.slice(-500))
  search.reset()
  const config = setup.config.replace('drain_timeout: 500ms', 'drain_timeout: 60s')
  const done = new RouterProcess({ ...drain, config })
  t.teardown(() => done.kill())
  t.equal(await done.exit, 0, done.log.slice(-500))
  t.equal(arrivedSeqs(search).length, 1000)
  const empty = new RouterProcess({ ...drain, config })
  t.teardown(() => empty.kill())
  t.equal(await empty.exit, 0, 'an empty queue is drained at once')
})
