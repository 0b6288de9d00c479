import { once } from 'node:events'
import { createServer as createTcpServer, type Socket } from 'node:net'
import { gunzipSync } from 'node:zlib'
import t from 'tap'
import { systemClock } from '../../../src/core/clock.ts'
import { positionId } from '../../../src/core/position.ts'
import type { Batch, FlushOutcome } from '../../../src/plugin/output.ts'
import { duplicateKey } from '../../../test/support/bulk-body.ts'
import { FakeClock } from '../../../test/support/fake-clock.ts'
import { FakeOpenSearch } from '../../../test/support/fake-opensearch.ts'
import {
  batchesOf,
  batchOf,
  never,
  outputContext,
  renderArea,
  renderContext,
  verdictsOf
} from '../../../test/support/output-batches.ts'
import { OpenSearchOutput } from './client.ts'
import definition from './index.ts'
import type { OpenSearchOptions } from './options.ts'
import createRender from './render.ts'

const DEFAULTS: OpenSearchOptions = {
  endpoints: ['http://127.0.0.1:9200'],
  path: '',
  index: 'logs-${time:%Y.%m.%d}',
  index_sanitize: true,
  id: 'position',
  require_alias: false,
  time_key: '@timestamp',
  time_precision: 3,
  time_key_conflict: 'keep',
  include_tag_key: false,
  tag_key: 'tag',
  bulk_bytes: 4 * 1024 * 1024,
  flush_interval: 1000,
  inflight_max: 8,
  server_timeout: 1000,
  connect_timeout: 1000,
  request_timeout: 5000,
  max_response_bytes: 64 * 1024 * 1024,
  retry: { base: 1000, cap: 60_000 }
}

const LOG_ID = Buffer.from('0011223344556677', 'hex')

/** Row as the kernel renders it: prefix of the target, id, rest of the action line, document. */
function row(offset: number, fields: object = {}, target = 'logs-2026.08.21'): string {
  const text = createRender(DEFAULTS, renderContext).targetText(target)
  if (text.kind === 'refuse') throw new Error(text.reason)
  const id = positionId(LOG_ID, 7, offset)
  const document = { '@timestamp': '2026-08-21T00:00:00.000Z', n: offset, ...fields }
  return `${Buffer.from(text.prefix)}${id}${Buffer.from(text.afterId)}${JSON.stringify(document)}\n`
}

const rows = (count: number, first = 0) =>
  Array.from({ length: count }, (_, index) => row(first + index))

async function started(
  test: { teardown(handler: () => Promise<void>): void },
  overrides: Partial<OpenSearchOptions> = {},
  clock = systemClock
) {
  const fake = await new FakeOpenSearch().start()
  const context = outputContext(clock)
  const options = { ...DEFAULTS, endpoints: [fake.url], ...overrides }
  const output = new OpenSearchOutput(options, context)
  await output.start()
  test.teardown(async () => {
    await output.stop()
    await fake.stop()
  })
  return { fake, output, context }
}

/** Repeats what is to be repeated, as delivery does, without its waits. */
async function deliver(
  output: OpenSearchOutput,
  all: readonly string[],
  triesMax = 60
): Promise<{ requests: number; refused: { row: string; reason: string }[]; parked: string[] }> {
  const result = {
    requests: 0,
    refused: [] as { row: string; reason: string }[],
    parked: [] as string[]
  }
  const work: { rows: readonly string[]; attempt: number }[] = [{ rows: all, attempt: 1 }]
  for (let next = work.shift(); next !== undefined; next = work.shift()) {
    if (++result.requests > triesMax) throw new Error(`more than ${triesMax} requests`)
    const outcome = await output.flush(batchOf(next.rows, { attempt: next.attempt }), never)
    if (outcome.kind === 'split') {
      const middle = next.rows.length >> 1
      work.unshift(
        { rows: next.rows.slice(0, middle), attempt: 1 },
        { rows: next.rows.slice(middle), attempt: 1 }
      )
      continue
    }
    const again: string[] = []
    verdictsOf(outcome, next.rows.length).forEach((verdict, index) => {
      const text = next.rows[index] ?? ''
      if (verdict.kind === 'retry') again.push(text)
      if (verdict.kind === 'refuse') result.refused.push({ row: text, reason: verdict.reason })
      if (verdict.kind === 'park') result.parked.push(verdict.reason)
    })
    if (again.length > 0) work.unshift({ rows: again, attempt: next.attempt + 1 })
  }
  return result
}

const retryReason = (outcome: FlushOutcome) =>
  outcome.kind === 'all' && outcome.verdict.kind === 'retry' ? outcome.verdict.reason : outcome

t.test('O01 the body has an action line and a document per record, and nothing else', async (t) => {
  const half = createRender(DEFAULTS, renderContext)
  const area = renderArea([
    { target: 'logs-2026.08.21', text: row(1000) },
    { target: 'other', text: row(1001, {}, 'other') },
    { target: 'logs-2026.08.21', text: row(1002) }
  ])
  const finished = half.finish(area)
  t.equal(finished.bodies.length, 1, 'indices share a body')
  t.equal(finished.rowsTaken, 3)
  const [batch] = batchesOf(area, finished)
  t.equal(
    batch?.body.toString(),
    [
      '{"create":{"_index":"logs-2026.08.21","_id":"ABEiM0RVZncAAAAHAAAAAAPo"}}',
      '{"@timestamp":"2026-08-21T00:00:00.000Z","n":1000}',
      '{"create":{"_index":"other","_id":"ABEiM0RVZncAAAAHAAAAAAPp"}}',
      '{"@timestamp":"2026-08-21T00:00:00.000Z","n":1001}',
      '{"create":{"_index":"logs-2026.08.21","_id":"ABEiM0RVZncAAAAHAAAAAAPq"}}',
      '{"@timestamp":"2026-08-21T00:00:00.000Z","n":1002}',
      ''
    ].join('\n')
  )
})

t.test('O01 without ids the action line has none', (t) => {
  const text = createRender({ ...DEFAULTS, id: 'none' }, renderContext).targetText('logs')
  t.equal(
    text.kind === 'ok' && Buffer.from(text.prefix).toString(),
    '{"create":{"_index":"logs"}}\n'
  )
  t.equal(text.kind === 'ok' && text.afterId.length, 0)
  t.end()
})

t.test('O04 index names are made acceptable, or refused with their reason', (t) => {
  const half = createRender(DEFAULTS, renderContext)
  const name = (target: string) => {
    const text = half.targetText(target)
    return text.kind === 'ok'
      ? JSON.parse(`${Buffer.from(text.prefix)}"}}`).create._index
      : text.reason
  }
  t.equal(name('Logs-API'), 'logs-api')
  t.equal(name('a"b\\c\nd e,f#g:h*i?j<k>l|m/n'), 'a_b_c_d_e_f_g_h_i_j_k_l_m_n')
  t.equal(name('__-+x'), 'x')
  t.equal(name('한국어-日本語'), '한국어-日本語')
  t.equal(name(''), 'index_name')
  t.equal(name('..'), 'index_name')
  t.equal(name('___'), 'index_name')
  t.equal(name('.kibana'), 'kibana', 'records cannot name the indices of the server')
  const hidden = createRender({ ...DEFAULTS, index: '.logs-${tag}' }, renderContext)
  t.match(hidden.targetText('.logs-web'), {
    kind: 'ok',
    prefix: Buffer.from('{"create":{"_index":".logs-web","_id":"')
  })
  const long = name('가'.repeat(200))
  t.match(long, /^가{76}-[0-9a-f]{8}$/, 'cut between characters')
  t.not(long, name(`${'가'.repeat(199)}나`), 'names that differ behind the cut stay different')
  const strict = createRender({ ...DEFAULTS, index_sanitize: false }, renderContext)
  t.strictSame(strict.targetText('Logs'), { kind: 'refuse', reason: 'index_name' })
  t.end()
})

t.test('O11 a placeholder without value becomes a part of its own', (t) => {
  const index = 'logs-${record.service}-${record.zone:-eu}'
  const { target } = createRender({ ...DEFAULTS, index }, renderContext).spec
  t.strictSame(
    target.parts.map((part) => (part.kind === 'record' ? part.fallback : part.kind)),
    ['text', 'unknown', 'text', 'eu']
  )
  t.end()
})

t.test(
  'O10 a compressed body is announced, has its length and decodes to the same bytes',
  async (t) => {
    const { fake, output } = await started(t)
    const area = renderArea(rows(200).map((text) => ({ target: 'logs-2026.08.21', text })))
    for (const compress of ['off', 'gzip'] as const) {
      fake.reset()
      const finished = createRender({ ...DEFAULTS, compress }, renderContext).finish(area)
      const [batch] = batchesOf(area, finished) as [Batch]
      t.equal(batch.isCompressed, compress === 'gzip')
      t.strictSame(await output.flush(batch, never), { kind: 'all', verdict: { kind: 'stored' } })
      const [request] = fake.requests
      t.equal(request?.isGzip, compress === 'gzip')
      t.equal(request?.headers['content-length'], String(request?.body.length))
      t.equal(request?.headers['content-type'], 'application/x-ndjson')
      const plain = request?.isGzip ? gunzipSync(request.body) : request?.body
      t.equal(plain?.toString(), rows(200).join(''))
      t.equal(fake.documents.length, 200)
    }
  }
)

t.test('gzip is on by default unless every endpoint is on loopback', (t) => {
  const compresses = (...endpoints: string[]) => {
    const area = renderArea(rows(50).map((text) => ({ target: 'logs', text })))
    const finished = createRender({ ...DEFAULTS, endpoints }, renderContext).finish(area)
    return finished.bodies[0]?.compressed !== null
  }
  t.notOk(compresses('http://127.0.0.1:9200', 'http://localhost:1', 'http://[::1]:9200'))
  t.ok(compresses('http://127.0.0.1:9200', 'http://search:9200'))
  t.end()
})

t.test('a compressed copy that finds no room in the slot is left out', (t) => {
  const text = rows(40).join('')
  const area = renderArea([{ target: 'logs', text }], text.length + 10)
  const finished = createRender({ ...DEFAULTS, compress: 'gzip' }, renderContext).finish(area)
  t.equal(finished.bodies[0]?.compressed, null)
  t.equal(finished.bodies[0]?.byteCount, text.length)
  t.end()
})

t.test('the request asks for what the verdicts need and bears the options', async (t) => {
  const { fake, output } = await started(t, {
    path: '/proxy',
    pipeline: 'geo',
    require_alias: true
  })
  await output.flush(batchOf(rows(1)), never)
  const url = new URL(fake.requests[0]?.url ?? '')
  t.equal(url.pathname, '/proxy/_bulk')
  t.strictSame(Object.fromEntries(url.searchParams), {
    filter_path: 'errors,items.*.status,items.*.error',
    timeout: '1000ms',
    pipeline: 'geo',
    require_alias: 'true'
  })
})

t.test('O12 an answer without errors is taken by its length, without a parser', async (t) => {
  const { fake, output } = await started(t)
  const body = rows(10_000)
  const parse = JSON.parse
  t.teardown(() => {
    JSON.parse = parse
  })
  const sent = output.flush(batchOf(body), never)
  let parsedLongest = 0
  JSON.parse = (text: string, reviver?: Parameters<typeof parse>[1]) => {
    // The stand-in parses lines of the request; an answer of 10,000 items would be far longer than any of them.
    parsedLongest = Math.max(parsedLongest, text.length)
    return parse(text, reviver)
  }
  t.strictSame(await sent, { kind: 'all', verdict: { kind: 'stored' } })
  t.ok(parsedLongest < 1000)
  t.equal(fake.documents.length, 10_000)
})

t.test('an answer without errors in another form is counted item by item', async (t) => {
  const { fake, output } = await started(t)
  const items = Array.from({ length: 3 }, () => ({ create: { _id: 'x', status: 201 } }))
  fake.plan({ kind: 'garbage', body: JSON.stringify({ took: 5, errors: false, items }) })
  t.strictSame(await output.flush(batchOf(rows(3)), never), {
    kind: 'all',
    verdict: { kind: 'stored' }
  })
})

t.test('O13 each item gets its own verdict; what is sent again is byte-identical', async (t) => {
  const { fake, output } = await started(t)
  await deliver(output, [row(2)])
  fake.itemFaults(
    {
      status: 429,
      type: 'rejected_execution_exception',
      reason: 'full',
      contains: '"n":0,',
      timesPerId: 1
    },
    {
      status: 503,
      type: 'unavailable_shards_exception',
      reason: 'none',
      contains: '"n":1,',
      timesPerId: 1
    },
    {
      status: 400,
      type: 'mapper_parsing_exception',
      reason: 'object mapping for [a]',
      contains: '"n":3,'
    }
  )
  const body = Array.from({ length: 5 }, (_, n) => row(n, { z: 1 }))
  const outcome = await output.flush(batchOf(body), never)
  t.strictSame(
    verdictsOf(outcome, 5).map((verdict) =>
      verdict.kind === 'stored' ? [verdict.duplicate === true] : [verdict.kind, verdict.reason]
    ),
    [['retry', 'throttled'], ['retry', 'unavailable'], [true], ['refuse', 'mapping'], [false]]
  )
  const refused = verdictsOf(outcome, 5)[3]
  t.match(refused, { status: 400, text: 'mapper_parsing_exception: object mapping for [a]' })
  fake.requests = []
  await deliver(output, body.slice(0, 2))
  t.equal(fake.requests[0]?.body.toString(), body.slice(0, 2).join(''))
  t.strictSame(fake.documents.map(({ createCount }) => createCount).sort(), [1, 1, 1, 2])
})

t.test('O14 all items stored before is success', async (t) => {
  const { fake, output } = await started(t)
  await deliver(output, rows(50))
  const outcome = await output.flush(batchOf(rows(50)), never)
  t.ok(verdictsOf(outcome, 50).every((verdict) => verdict.kind === 'stored' && verdict.duplicate))
  t.equal(fake.documents.length, 50)
})

t.test('O15 items refused three times are stored once', async (t) => {
  const { fake, output } = await started(t)
  fake.itemFaults({
    status: 429,
    type: 'rejected_execution_exception',
    reason: 'full',
    timesPerId: 3
  })
  const { requests } = await deliver(output, rows(100))
  t.equal(requests, 4)
  t.equal(fake.documents.length, 100)
  t.ok(fake.documents.every(({ createCount }) => createCount === 1))
})

t.test('O17 an answer with another number of items is no verdict', async (t) => {
  const { fake, output } = await started(t)
  for (const delta of [-1, 1]) {
    fake.reset()
    fake.plan({ kind: 'item_count', delta })
    t.equal(retryReason(await output.flush(batchOf(rows(5)), never)), 'item_count')
    await deliver(output, rows(5))
    t.equal(fake.documents.length, 5)
  }
})

t.test('O18 answers that are no bulk answer are no verdict', async (t) => {
  const { fake, output } = await started(t, { max_response_bytes: 1024 * 1024 })
  for (const body of ['ok', '', '{"errors":true,"items":[{"create":{"status":', '<html>']) {
    fake.plan({ kind: 'garbage', body })
    t.equal(retryReason(await output.flush(batchOf(rows(5)), never)), 'unreadable', body)
  }
  fake.plan({ kind: 'garbage', body: 'x'.repeat(1024 * 1024 + 1) })
  t.strictSame(await output.flush(batchOf(rows(5)), never), {
    kind: 'split',
    reason: 'long_answer'
  })
  fake.plan({ kind: 'truncated' })
  t.equal(retryReason(await output.flush(batchOf(rows(5)), never)), 'broken_answer')
  const outcome = await output.flush(batchOf(rows(5)), never)
  t.ok(verdictsOf(outcome, 5).every((verdict) => verdict.kind === 'stored' && verdict.duplicate))
})

t.test('O20 one poisoned record among 1,000 is found by halving', async (t) => {
  const { fake, output } = await started(t)
  const body = rows(1000)
  body[617] = body[617]?.replace('"_id"', '"_bad"') ?? ''
  const { requests, refused } = await deliver(output, body)
  t.strictSame(refused, [{ row: body[617], reason: 'bad_request' }])
  t.equal(fake.documents.length, 999)
  t.ok(requests <= 22, `${requests} requests`)
})

t.test('O20 when every request is bad, nothing is refused', async (t) => {
  const clock = new FakeClock()
  const { fake, output } = await started(t, {}, clock)
  const poisoned = row(1).replace('"_id"', '"_bad"')
  for (let i = 0; i < 64; i++) await output.flush(batchOf([poisoned]), never)
  t.equal(retryReason(await output.flush(batchOf([poisoned]), never)), 'bad_requests')
  clock.advance(60_000)
  t.match(await output.flush(batchOf([poisoned]), never), { verdict: { kind: 'refuse' } })
  t.equal(fake.documents.length, 0)
})

t.test('O21 the largest body is learned from 413 and kept', async (t) => {
  const fake = await new FakeOpenSearch({ bodyBytesMax: 100_000 }).start()
  const output = new OpenSearchOutput({ ...DEFAULTS, endpoints: [fake.url] }, outputContext())
  await output.start()
  t.teardown(async () => {
    await output.stop()
    await fake.stop()
  })
  const body = rows(1000)
  await deliver(output, body)
  t.equal(fake.documents.length, 1000)
  const refusedBefore = fake.stats.tooLarge
  await deliver(output, rows(1000, 5000))
  t.equal(fake.documents.length, 2000)
  t.equal(fake.stats.tooLarge, refusedBefore, 'no request above the cap was sent')
  const lone = await output.flush(batchOf([row(1, { log: 'x'.repeat(200_000) })]), never)
  t.match(lone, { kind: 'all', verdict: { kind: 'refuse', reason: 'too_large', status: 413 } })
})

t.test('O22 an answer that comes before the body was read is understood', async (t) => {
  const { fake, output } = await started(t)
  const big = Array.from({ length: 8 }, (_, n) => row(n, { log: 'x'.repeat(1024 * 1024) }))
  fake.plan({ kind: 'early_status', status: 413, body: '<html>413</html>' })
  const outcome = await output.flush(batchOf(big), never)
  // The peer may reset the connection before its answer is read: both are right, a loss is not.
  t.ok(outcome.kind === 'split' || retryReason(outcome) === 'reset', JSON.stringify(outcome))
  await deliver(output, big)
  t.equal(fake.documents.length, 8)
})

t.test('O23 wrong credentials wait for better ones', async (t) => {
  const fake = await new FakeOpenSearch({ basicAuth: 'writer:right' }).start()
  t.teardown(() => fake.stop())
  for (const [password, kind] of [
    ['wrong', 'retry'],
    ['right', 'stored']
  ] as const) {
    const output = new OpenSearchOutput(
      { ...DEFAULTS, endpoints: [fake.url], user: 'writer', password },
      outputContext()
    )
    await output.start()
    const outcome = await output.flush(batchOf(rows(1)), never)
    t.match(outcome, { kind: 'all', verdict: { kind } })
    await output.stop()
  }
  const url = fake.url.replace('//', '//writer:right@')
  const output = new OpenSearchOutput({ ...DEFAULTS, endpoints: [url] }, outputContext())
  await output.start()
  t.match(await output.flush(batchOf(rows(1, 7)), never), { verdict: { kind: 'stored' } })
  await output.stop()
})

t.test('O25 an index without permission is parked, the other flows', async (t) => {
  const { fake, output } = await started(t)
  fake.itemFaults({ status: 403, type: 'security_exception', reason: 'no permissions', index: 'a' })
  const outcome = await output.flush(batchOf([row(1, {}, 'a'), row(2, {}, 'b')]), never)
  t.strictSame(verdictsOf(outcome, 2), [{ kind: 'park', reason: 'forbidden' }, { kind: 'stored' }])
})

t.test('O37 a body that was stored before the connection broke is stored once', async (t) => {
  const { fake, output } = await started(t)
  for (let i = 0; i < 20; i++) {
    fake.plan({ kind: 'reset_after_apply' })
    await deliver(output, rows(10, i * 10))
  }
  t.equal(fake.documents.length, 200)
  t.ok(fake.documents.every(({ createCount }) => createCount === 2))
})

t.test('O37 a body that was lost before it was stored is stored by the repeat', async (t) => {
  const { fake, output } = await started(t)
  fake.plan({ kind: 'reset_before_apply' })
  const { requests } = await deliver(output, rows(10))
  t.ok(requests <= 2)
  t.ok(fake.documents.every(({ createCount }) => createCount === 1))
  t.equal(fake.documents.length, 10)
})

t.test('O38 a server that accepts and never answers is given up at the deadline', async (t) => {
  const clock = new FakeClock()
  const { fake, output } = await started(t, { request_timeout: 75_000 }, clock)
  fake.plan({ kind: 'hang' })
  const flush = output.flush(batchOf(rows(3)), never)
  while (fake.requests.length === 0) await new Promise((resolve) => setImmediate(resolve))
  clock.advance(75_000)
  t.equal(retryReason(await flush), 'timeout')
  await closedAll(fake)
  t.equal(fake.connectionCount, 0, 'the socket is closed: the body may be overwritten')
})

t.test('O38 an answer that trickles does not outlive the deadline', async (t) => {
  const { fake, output } = await started(t, { request_timeout: 300 })
  fake.plan({ kind: 'trickle', byteDelayMs: 20 })
  t.equal(retryReason(await output.flush(batchOf(rows(100)), never)), 'timeout')
})

t.test('O43 a connection that the server closed while idle costs no failure', async (t) => {
  const { fake, output, context } = await started(t)
  await deliver(output, rows(1))
  fake.plan({ kind: 'reset_before_apply' })
  t.match(await output.flush(batchOf(rows(1, 1)), never), { verdict: { kind: 'stored' } })
  t.equal(fake.stats.connections, 2)
  t.strictSame(context.lines, [])
})

t.test('O45 a node that is down is passed over at once', async (t) => {
  const down = await new FakeOpenSearch().start()
  const { url } = down
  await down.stop()
  const fake = await new FakeOpenSearch().start()
  const output = new OpenSearchOutput({ ...DEFAULTS, endpoints: [url, fake.url] }, outputContext())
  await output.start()
  t.teardown(async () => {
    await output.stop()
    await fake.stop()
  })
  for (let i = 0; i < 10; i++) {
    t.match(await output.flush(batchOf(rows(1, i)), never), { verdict: { kind: 'stored' } })
  }
  t.equal(fake.documents.length, 10)
})

t.test('O47 when every node is down the rows wait', async (t) => {
  const down = await new FakeOpenSearch().start()
  const { url } = down
  await down.stop()
  const output = new OpenSearchOutput({ ...DEFAULTS, endpoints: [url] }, outputContext())
  await output.start()
  t.equal(retryReason(await output.flush(batchOf(rows(1)), never)), 'connect')
  await output.stop()
})

t.test('O59 a certificate that nobody vouches for stops the request, not the check', async (t) => {
  // A server that speaks no TLS at all fails the handshake, as a wrong certificate does; nothing is sent in the clear.
  const sockets = new Set<Socket>()
  const received: string[] = []
  const server = createTcpServer((socket) => {
    sockets.add(socket)
    socket.on('data', (bytes) => {
      received.push(bytes.toString('latin1'))
      socket.end('HTTP/1.1 400 Bad Request\r\n\r\n')
    })
    socket.on('error', () => undefined)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as { port: number }
  const output = new OpenSearchOutput(
    { ...DEFAULTS, endpoints: [`https://127.0.0.1:${port}`] },
    outputContext()
  )
  await output.start()
  const outcome = await output.flush(batchOf(rows(1)), never)
  t.match(retryReason(outcome), /^(tls|connect)$/)
  t.notOk(received.join('').includes('create'))
  await output.stop()
  for (const socket of sockets) socket.destroy()
  server.close()
})

t.test('O60 errors behind the answer are not printed', async (t) => {
  const { fake, output } = await started(t)
  const printed: unknown[] = []
  const { log } = console
  console.log = (...args: unknown[]) => printed.push(args)
  t.teardown(() => {
    console.log = log
  })
  fake.plan({ kind: 'truncated' }, { kind: 'reset_after_apply' })
  for (let i = 0; i < 3; i++) await output.flush(batchOf(rows(5)), never)
  t.strictSame(printed, [])
})

t.test('O62 a replay of stored records only meets them again', async (t) => {
  const { fake, output } = await started(t)
  await deliver(output, rows(20))
  await deliver(output, rows(20))
  t.ok(fake.documents.every(({ createCount }) => createCount === 2))
  t.equal(fake.documents.length, 20)
})

t.test('trouble is told once, and its end', async (t) => {
  const { fake, output, context } = await started(t, { password: 'hunter2', user: 'u' })
  fake.plan(
    { kind: 'status', status: 503, body: 'secret page' },
    { kind: 'status', status: 503, body: 'secret page' }
  )
  await output.flush(batchOf(rows(1)), never)
  await output.flush(batchOf(rows(1)), never)
  await output.flush(batchOf(rows(1)), never)
  t.strictSame(
    context.lines.map(({ level, fields }) => [level, fields['event'], fields['reason']]),
    [
      ['warn', 'output.trouble', 'unavailable'],
      ['info', 'output.recovered', undefined]
    ]
  )
  t.notMatch(JSON.stringify(context.lines), /hunter2|secret page/)
})

t.test('the stand-in refuses what the server refuses', (t) => {
  t.equal(duplicateKey('{"a":1,"b":{"a":"\\"a\\":"},"c":[{"d":1},{"d":2}]}'), null)
  t.equal(duplicateKey('{"a":1,"b":[{"x":1,"x":2}]}'), 'x')
  t.equal(duplicateKey('{"@timestamp":1,"log":"{\\"a\\":1}","@timestamp":2}'), '@timestamp')
  t.end()
})

t.test('contradictions between options are findings', (t) => {
  const find = (overrides: Partial<OpenSearchOptions>) =>
    (definition.check?.({ ...DEFAULTS, ...overrides }) ?? []).map(({ path }) => path.join('.'))
  t.strictSame(find({}), [])
  t.strictSame(find({ endpoints: ['localhost'] }), ['endpoints.0'])
  t.strictSame(find({ endpoints: ['http://a', 'ftp://b', 'http://c?x=1'] }), [
    'endpoints.1',
    'endpoints.2'
  ])
  t.strictSame(find({ user: 'u' }), ['user'])
  t.strictSame(find({ user: 'u', password: 'p', api_key: 'k' }), ['api_key'])
  t.strictSame(find({ server_timeout: 75_000, request_timeout: 75_000 }), ['server_timeout'])
  t.strictSame(find({ index: 'Logs', index_sanitize: false }), ['index'])
  t.strictSame(find({ index: '.ds-logs-000001' }), ['index'])
  t.end()
})

async function closedAll(fake: FakeOpenSearch): Promise<void> {
  while (fake.connectionCount > 0) await new Promise((resolve) => setImmediate(resolve))
}
