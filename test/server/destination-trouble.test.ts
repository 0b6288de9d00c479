// Destinations that answer half, late or never, in front of a whole router: what was acknowledged arrives once, others go
// on, and memory stays.

import { readFileSync } from 'node:fs'
import { createServer, type Socket } from 'node:net'
import t, { type Test } from 'tap'
import { eventually } from '../support/eventually.ts'
import { FakeOpenSearch, type RequestFault } from '../support/fake-opensearch.ts'
import { freePort } from '../support/free-port.ts'
import {
  arrivedSeqs,
  imbalance,
  missingSeqs,
  NumberedLoad,
  queuesOf,
  totalOf
} from '../support/numbered-load.ts'
import { type RouterProcess, startRouter } from '../support/router-process.ts'

const LIMIT_MS = 120_000
const MIB = 2 ** 20
const PAD_BYTES = 2000
/** Stored size of a record, roughly. */
const RECORD_BYTES = PAD_BYTES + 50

t.setTimeout(300_000)

/** A router with a route to all of these outputs, by their addresses. */
async function setUp(t: Test, urls: Readonly<Record<string, string>>, route = '') {
  const port = await freePort()
  const adminPort = await freePort()
  const outputs = Object.entries(urls).map(
    ([name, url]) =>
      `  ${name}: {type: opensearch, endpoints: ["${url}"], index: logs, bulk_bytes: 64KiB, flush_interval: 20ms, retry: {base: 20ms, cap: 200ms}}`
  )
  const config = `
version: 1
data_dir: ./data
drain_timeout: 10ms
admin: {listen: "127.0.0.1:${adminPort}"}
inputs:
  load: {type: forward, listen: "tcp://127.0.0.1:${port}"}
routes:
  all: {match: "**", ${route} to: [${Object.keys(urls).join(', ')}]}
outputs:
${outputs.join('\n')}
`
  const router = await startRouter(t, { folder: t.testdir(), config, adminPort })
  const load = (options: object) => {
    const made = new NumberedLoad({ port, tag: 'app.web', ...options }).start()
    t.teardown(() => made.stop())
    return made
  }
  return { router, load }
}

async function openSearch(t: Test, options: object = {}) {
  const search = await new FakeOpenSearch(options).start()
  t.teardown(() => search.stop())
  return search
}

function rssBytes({ child }: RouterProcess): number {
  const found = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${child.pid}/status`, 'utf8'))
  return Number(found?.[1]) * 1024
}

t.test(
  'Q39 of items 201, 429 and 400 only the 429 go again, the 400 are dead letters',
  async (t) => {
    const search = await openSearch(t)
    search.itemFaults(
      { status: 400, type: 'mapper_parsing_exception', reason: 'no', contains: '"log":"line 77"' },
      {
        status: 429,
        type: 'es_rejected_execution_exception',
        reason: 'full',
        every: 3,
        timesPerId: 2
      }
    )
    const { load, router } = await setUp(t, { search: search.url })
    const records = 2000
    load({ recordsMax: records })
    const cursor = await eventually('all is settled', LIMIT_MS, async () => {
      const [cursor] = (await queuesOf(router)).cursors
      return cursor?.appended === records && cursor.pending === 0 ? cursor : null
    })
    t.match(cursor, { delivered: records - 1, deadLettered: 1, duplicateSuppressed: 0 })
    t.equal(imbalance(cursor), 0)
    t.ok((search.stats.statuses[429] ?? 0) > 100, 'items were refused for now')
    t.equal(search.stats.statuses[409] ?? 0, 0, 'nothing that was stored went again')
    t.equal(search.stats.statuses[400], 1)
    t.same(
      missingSeqs(
        Array.from({ length: records }, (_, seq) => seq),
        arrivedSeqs(search)
      ),
      [77]
    )
    t.equal(await router.stop(), 0)
  }
)

t.test(
  'Q40 answers that get lost after the request was applied lose and double nothing',
  async (t) => {
    const search = await openSearch(t)
    const lost: RequestFault[] = [
      { kind: 'reset_after_apply' },
      { kind: 'none' },
      { kind: 'truncated' },
      { kind: 'reset_after_apply' }
    ]
    const faults = Array.from({ length: 10 }, () => lost).flat()
    search.plan(...faults)
    const { load, router } = await setUp(t, { search: search.url })
    const records = 3000
    const sender = load({ connections: 2, recordsMax: records, padBytes: PAD_BYTES })
    await eventually('all is acked', LIMIT_MS, () => sender.acked.length === records)
    const total = await eventually('all is delivered', LIMIT_MS, async () => {
      const total = totalOf(await queuesOf(router), 'all', 'search')
      return total.pending === 0 && total.appended === records ? total : null
    })
    t.match(total, { delivered: records, dropped: 0, lost: 0 })
    t.same(missingSeqs(sender.acked, arrivedSeqs(search)), [])
    t.equal(arrivedSeqs(search).length, records, 'each once')
    const { cursors } = await queuesOf(router)
    t.equal(imbalance(cursors[0] as (typeof cursors)[number]), 0)
    const again = search.stats.statuses[409] ?? 0
    t.ok(again > 0, `${again} items met themselves`)
    t.ok(search.stats.requests > faults.length, 'every fault came to pass')
    t.equal(await router.stop(), 0)
  }
)

/** Takes connections and reads nothing: the peer is gone, and nobody says so. */
async function halfOpen(t: Test): Promise<{ readonly url: string; connections(): number }> {
  const sockets = new Set<Socket>()
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (socket) => {
    sockets.add(socket)
    socket.on('error', () => undefined)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  const address = server.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  return { url: `http://127.0.0.1:${port}`, connections: () => sockets.size }
}

/** What one of three destinations does not take, and how much more memory that may cost than two that take all. */
const HELD_BYTES = Number(process.env['MILLRACE_TEST_BACKLOG_MIB'] ?? 64) * MIB
/** Large records: what is measured is bytes. */
const HELD_PAD_BYTES = 16_000
const RECORDS = Math.ceil(HELD_BYTES / HELD_PAD_BYTES)
const MORE_BYTES_MAX = (HELD_BYTES * 3) / 4

/** Sends everything through a router with two destinations that work, and others; the most memory that it had. */
async function throughTwo(t: Test, others: Readonly<Record<string, string>>) {
  const one = await openSearch(t, { isDiscarding: true })
  const two = await openSearch(t, { isDiscarding: true })
  const { load, router } = await setUp(t, { one: one.url, two: two.url, ...others })
  load({ connections: 2, recordsMax: RECORDS, padBytes: HELD_PAD_BYTES })
  let peakBytes = 0
  const status = await eventually('the two have everything', LIMIT_MS, async () => {
    peakBytes = Math.max(peakBytes, rssBytes(router))
    const status = await queuesOf(router)
    const isDone = ['one', 'two'].every((name) => {
      return totalOf(status, 'all', name).delivered === RECORDS
    })
    return isDone ? status : null
  })
  for (const cursor of status.cursors) t.equal(imbalance(cursor), 0, cursor.destination)
  for (const search of [one, two]) t.equal(search.stats.items, RECORDS, 'each once')
  t.equal(await router.stop(), 0)
  return { status, peakBytes }
}

t.test('Q34 a half-open destination holds up neither the others nor memory', async (t) => {
  const without = await throughTwo(t, {})
  const gone = await halfOpen(t)
  const { peakBytes, status } = await throughTwo(t, { gone: gone.url })
  t.match(totalOf(status, 'all', 'gone'), { delivered: 0, pending: RECORDS, lost: 0, dropped: 0 })
  t.ok(gone.connections() > 0, 'it was tried')
  const moreBytes = peakBytes - without.peakBytes
  t.comment(`${peakBytes / MIB} MiB, ${moreBytes / MIB} MiB more than without it`)
  t.ok(moreBytes < MORE_BYTES_MAX, `${moreBytes} bytes more while ${HELD_BYTES} were held`)
})

const MAX_BYTES = 4 * MIB
/** Eight times what the queue holds. */
const OFFERED_RECORDS = Math.ceil((8 * MAX_BYTES) / RECORD_BYTES)
/** Four requests of 64 KiB at once: 1.3 MB/s at the most. */
const SLOW_MS = 200
const OVERLOAD_GROWTH_MAX = 96 * MIB

t.test('Q42 overload with block pauses senders, again and again, and loses nothing', async (t) => {
  const search = await openSearch(t)
  const slow = { kind: 'slow' as const, delayMs: SLOW_MS }
  search.plan(...Array.from({ length: 5000 }, () => slow))
  const route = 'max_bytes: 4MiB, overflow: block,'
  const { load, router } = await setUp(t, { search: search.url }, route)
  const sender = load({ connections: 3, recordsMax: OFFERED_RECORDS, padBytes: PAD_BYTES })
  let peakDiskBytes = 0
  let peakRssBytes = 0
  const look = async () => {
    const { cursors, shards } = await queuesOf(router)
    const diskBytes = shards.reduce((sum, shard) => sum + shard.diskBytes, 0)
    peakDiskBytes = Math.max(peakDiskBytes, diskBytes)
    peakRssBytes = Math.max(peakRssBytes, rssBytes(router))
    for (const cursor of cursors) {
      if (imbalance(cursor) !== 0) t.equal(imbalance(cursor), 0, JSON.stringify(cursor))
    }
    return diskBytes
  }
  await eventually('the queue is full', LIMIT_MS, async () => (await look()) >= MAX_BYTES * 0.9)
  const startRssBytes = rssBytes(router)
  let ackedBefore = sender.acked.length
  for (let pause = 1; pause <= 3; pause++) {
    await eventually(`senders are paused, ${pause}`, LIMIT_MS, async () => {
      await look()
      return (await router.metric('millrace_queue_blocked_now')) > 0 && sender.unackedChunks > 0
    })
    await eventually(`and go on, ${pause}`, LIMIT_MS, async () => {
      await look()
      return sender.acked.length > ackedBefore
    })
    ackedBefore = sender.acked.length
  }
  t.ok(sender.acked.length < OFFERED_RECORDS, 'more was offered than was taken so far')
  // Faster now, or the test takes a minute.
  const documents = arrivedSeqs(search).length
  t.ok(documents < OFFERED_RECORDS, `${documents} delivered`)
  search.clearPlan()
  await eventually('all is acked', LIMIT_MS, async () => {
    await look()
    return sender.acked.length === OFFERED_RECORDS
  })
  await eventually('all is delivered', LIMIT_MS, async () => {
    await look()
    return totalOf(await queuesOf(router), 'all', 'search').delivered === OFFERED_RECORDS
  })
  t.same(missingSeqs(sender.acked, arrivedSeqs(search)), [], 'nothing that was acked is lost')
  t.equal(arrivedSeqs(search).length, OFFERED_RECORDS, 'each once')
  t.equal(sender.connects, 3, 'connections stayed open')
  t.ok(peakDiskBytes < 1.5 * MAX_BYTES, `at most ${peakDiskBytes} bytes on disk`)
  const grownBytes = peakRssBytes - startRssBytes
  t.comment(`${startRssBytes / MIB} MiB when full first, at most ${grownBytes / MIB} MiB more`)
  t.ok(grownBytes < OVERLOAD_GROWTH_MAX, `${grownBytes} bytes more`)
  t.equal(await router.stop(), 0)
})
