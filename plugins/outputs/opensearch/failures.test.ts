import t from 'tap'
import { FakeClock } from '../../../test/support/fake-clock.ts'
import { Balancer } from './balancer.ts'
import { judgeAnswer, judgeItems, parseRetryAfter } from './failures.ts'
import { SizeCap, SplitBudget } from './size-cap.ts'

const NOW_MS = Date.UTC(2026, 7, 21)
const REQUEST = { rowCount: 10, attempt: 1, hasId: true }

const errorBody = (type: string) =>
  JSON.stringify({ error: { root_cause: [], type, reason: 'because' }, status: 0 })

t.test('request level: every row of the table', (t) => {
  const judge = (status: number, text = '', retryAfter?: string, rowCount = 10) => {
    const outcome = judgeAnswer({ status, retryAfter, text }, { ...REQUEST, rowCount }, NOW_MS)
    if (outcome.kind === 'split') return ['split', outcome.reason, outcome.status]
    if (outcome.kind === 'rows') throw new Error('no verdict per row')
    const { verdict } = outcome
    if (verdict.kind === 'stored') throw new Error('nothing was stored')
    const after =
      verdict.kind === 'retry' ? verdict.retryAfterMs : verdict.kind === 'refuse' && verdict.status
    return [verdict.kind, verdict.reason, after]
  }
  const syntax = errorBody('illegal_argument_exception')
  const table: [number, string, unknown[]][] = [
    [301, '', ['retry', 'endpoint', 60_000]],
    [307, '', ['retry', 'endpoint', 60_000]],
    [400, syntax, ['split', 'bad_request', 400]],
    [400, '<html>', ['retry', 'endpoint', 60_000]],
    [401, errorBody('security_exception'), ['retry', 'unauthorized', 60_000]],
    [403, errorBody('security_exception'), ['retry', 'forbidden', 60_000]],
    [403, '<html>WAF', ['retry', 'forbidden', 60_000]],
    [403, errorBody('cluster_block_exception'), ['retry', 'cluster_blocked', 30_000]],
    [404, '', ['retry', 'endpoint', 60_000]],
    [405, '', ['retry', 'endpoint', 60_000]],
    [408, '', ['retry', 'gateway', undefined]],
    [413, '', ['split', 'too_large', 413]],
    [413, '<html>', ['split', 'too_large', 413]],
    [415, '', ['retry', 'endpoint', 60_000]],
    [429, '429 Too Many Requests /_bulk', ['retry', 'throttled', undefined]],
    [431, '', ['retry', 'endpoint', 60_000]],
    [500, '', ['retry', 'server_error', undefined]],
    [501, '', ['retry', 'endpoint', 60_000]],
    [502, '<html>', ['retry', 'gateway', undefined]],
    [503, '<html>', ['retry', 'unavailable', undefined]],
    [504, '', ['retry', 'gateway', undefined]],
    [599, '', ['retry', 'gateway', undefined]],
    [204, '', ['retry', 'endpoint', 60_000]]
  ]
  for (const [status, text, expected] of table) {
    t.strictSame(judge(status, text), expected, `${status} ${text.slice(0, 60)}`)
  }
  t.strictSame(judge(413, '', undefined, 1), ['refuse', 'too_large', 413])
  t.strictSame(judge(400, syntax, undefined, 1), ['refuse', 'bad_request', 400])
  t.strictSame(judge(400, '<html>', undefined, 1), ['retry', 'endpoint', 60_000])
  t.strictSame(judge(503, '', '7'), ['retry', 'unavailable', 7000])
  t.end()
})

t.test('O48 Retry-After is seconds or a date, and never above five minutes', (t) => {
  t.equal(parseRetryAfter('7', NOW_MS), 7000)
  t.equal(parseRetryAfter('86400', NOW_MS), 300_000)
  t.equal(parseRetryAfter(new Date(NOW_MS + 30_000).toUTCString(), NOW_MS), 30_000)
  t.equal(parseRetryAfter(new Date(NOW_MS - 30_000).toUTCString(), NOW_MS), 0)
  t.equal(parseRetryAfter('soon', NOW_MS), 0)
  t.equal(parseRetryAfter(undefined, NOW_MS), 0)
  t.end()
})

t.test('item level: every row of the table', (t) => {
  const judge = (status: unknown, type?: string, reason = 'because', request = {}) => {
    const error = type === undefined ? undefined : { type, reason }
    const text = JSON.stringify({ errors: true, items: [{ create: { status, error } }] })
    const outcome = judgeItems(text, { ...REQUEST, rowCount: 1, ...request })
    if (outcome.kind === 'split') throw new Error('split')
    const verdict = outcome.kind === 'all' ? outcome.verdict : outcome.verdicts[0]
    if (verdict?.kind === 'stored') return verdict.duplicate === true ? 'duplicate' : 'stored'
    return `${verdict?.kind} ${verdict?.reason}`
  }
  const table: [unknown, string | undefined, string, string][] = [
    [200, undefined, '', 'stored'],
    [201, undefined, '', 'stored'],
    [409, 'version_conflict_engine_exception', '', 'duplicate'],
    [429, 'rejected_execution_exception', '', 'retry throttled'],
    [429, 'es_rejected_execution_exception', '', 'retry throttled'],
    [429, 'circuit_breaking_exception', 'Data too large', 'retry throttled'],
    [429, 'cluster_block_exception', '[TOO_MANY_REQUESTS/12/]', 'park index_blocked'],
    [403, 'cluster_block_exception', '[FORBIDDEN/8/]', 'park index_blocked'],
    [403, 'security_exception', 'no permissions', 'park forbidden'],
    [503, 'unavailable_shards_exception', '', 'retry unavailable'],
    [503, 'process_cluster_event_timeout_exception', '', 'retry unavailable'],
    [500, 'null_pointer_exception', '', 'retry server_error'],
    [502, 'x', '', 'retry server_error'],
    [504, 'x', '', 'retry server_error'],
    [404, 'index_not_found_exception', 'no such index', 'park index_missing'],
    [404, 'x', 'pipeline with id [p] does not exist', 'park pipeline_missing'],
    [
      400,
      'illegal_argument_exception',
      'pipeline with id [p] does not exist',
      'park pipeline_missing'
    ],
    [
      400,
      'validation_exception',
      'this action would add [2] total shards, but this cluster currently has [1000]/[1000] maximum shards open',
      'park shard_limit'
    ],
    [
      400,
      'illegal_argument_exception',
      'this cluster has [1]/[1] maximum normal shards open;',
      'park shard_limit'
    ],
    [400, 'index_closed_exception', 'closed', 'park index_closed'],
    [400, 'invalid_index_name_exception', 'bad', 'refuse index_name'],
    [
      400,
      'illegal_argument_exception',
      'Document ID is not supported in create/index operation request',
      'park id_not_supported'
    ],
    [400, 'illegal_argument_exception', 'Limit of total fields [5]', 'refuse mapping'],
    [400, 'mapper_parsing_exception', 'failed to parse', 'refuse mapping'],
    [400, 'document_parsing_exception', 'failed to parse', 'refuse mapping'],
    [400, 'strict_dynamic_mapping_exception', 'x', 'refuse mapping'],
    [400, 'ingest_processor_exception', 'x', 'refuse pipeline'],
    [400, 'script_exception', 'x', 'refuse pipeline'],
    [400, undefined, '', 'retry unreadable'],
    [413, 'x', '', 'refuse too_large'],
    [422, 'x', '', 'refuse bad_request'],
    [418, 'x', '', 'refuse bad_request'],
    [301, 'x', '', 'retry unreadable'],
    [undefined, undefined, '', 'retry unreadable'],
    ['201', undefined, '', 'retry unreadable']
  ]
  for (const [status, type, reason, expected] of table) {
    t.equal(judge(status, type, reason), expected, `${status} ${type} ${reason}`)
  }
  const conflict = 'version_conflict_engine_exception'
  t.equal(judge(409, conflict, '', { hasId: false }), 'retry conflict')
  t.equal(judge(500, 'x', '', { attempt: 10 }), 'retry server_error')
  t.equal(judge(500, 'x', '', { attempt: 11 }), 'park server_error')
  t.end()
})

t.test('O16 errors without a failed item is success', (t) => {
  const items = [{ create: { status: 201 } }, { create: { status: 200 } }]
  const text = JSON.stringify({ errors: true, items })
  t.strictSame(judgeItems(text, { ...REQUEST, rowCount: 2 }), {
    kind: 'all',
    verdict: { kind: 'stored' }
  })
  t.end()
})

t.test('a refused row carries the reason and its cause, at most 2 KiB, whole characters', (t) => {
  const error = {
    type: 'mapper_parsing_exception',
    reason: 'failed to parse field [a]',
    caused_by: { type: 'illegal_argument_exception', reason: '가'.repeat(1000) }
  }
  const text = JSON.stringify({ errors: true, items: [{ create: { status: 400, error } }] })
  const outcome = judgeItems(text, { ...REQUEST, rowCount: 1 })
  const verdict = outcome.kind === 'rows' ? outcome.verdicts[0] : null
  const said = verdict?.kind === 'refuse' ? (verdict.text ?? '') : ''
  t.match(
    said,
    /^mapper_parsing_exception: failed to parse field \[a\]; caused by illegal_argument_exception: 가+$/
  )
  t.ok(Buffer.byteLength(said) <= 2048)
  t.ok(Buffer.byteLength(said) > 2040)
  t.end()
})

t.test('answers with traps for lenient readers', (t) => {
  for (const text of [
    'null',
    '[]',
    '{"items":{}}',
    '{"items":[null]}',
    '{"items":[{}]}',
    '{"items":[{"create":null}]}',
    '{"items":[{"__proto__":{"status":201}}],"x":'
  ]) {
    const outcome = judgeItems(text, { ...REQUEST, rowCount: 1 })
    const verdict =
      outcome.kind === 'rows' ? outcome.verdicts[0] : outcome.kind === 'all' && outcome.verdict
    t.match(verdict, { kind: 'retry' }, text)
  }
  t.end()
})

t.test('the node with the fewest requests is next; failing nodes rest', (t) => {
  const clock = new FakeClock()
  const balancer = new Balancer(['a', 'b', 'c'], clock)
  const none = new Set<string>()
  t.strictSame(
    [1, 2, 3].map(() => balancer.take(none)),
    ['a', 'b', 'c']
  )
  balancer.give('b', true)
  t.equal(balancer.take(none), 'b')
  t.equal(balancer.take(new Set(['a', 'b', 'c'])), null)
  for (const node of ['a', 'b', 'c']) balancer.give(node, true)
  for (let i = 0; i < 5; i++) {
    balancer.take(new Set(['b', 'c']))
    balancer.give('a', false)
  }
  const taken = () => {
    const node = balancer.take(none)
    if (node !== null) balancer.give(node, true)
    return node
  }
  t.notOk([1, 2, 3, 4, 5, 6].map(taken).includes('a'))
  clock.advance(1000)
  t.ok([1, 2, 3].map(taken).includes('a'), 'tried again after its rest')
  t.end()
})

t.test('O45 rests double up to 30 seconds; when all rest, the first to wake is tried', (t) => {
  const clock = new FakeClock()
  const balancer = new Balancer(['a', 'b'], clock)
  const fail = (node: string, times: number) => {
    for (let i = 0; i < times; i++) {
      balancer.take(new Set(node === 'a' ? ['b'] : ['a']))
      balancer.give(node, false)
    }
  }
  fail('a', 10)
  fail('b', 5)
  t.equal(balancer.take(new Set()), 'b', 'it wakes after 1 s, the other after 30')
  balancer.give('b', false)
  clock.advance(30_000)
  const first = balancer.take(new Set())
  t.ok(first === 'a' || first === 'b')
  t.end()
})

t.test('O21 the size cap halves, has a floor, and rises after ten quiet minutes', (t) => {
  const clock = new FakeClock()
  const cap = new SizeCap(4_000_000, clock)
  t.notOk(cap.isAbove(4_000_000))
  cap.refused(4_000_000)
  t.equal(cap.capBytes, 2_000_000)
  t.ok(cap.isAbove(2_000_001))
  cap.refused(100_000)
  t.equal(cap.capBytes, 65_536)
  clock.advance(599_999)
  cap.accepted()
  t.equal(cap.capBytes, 65_536)
  clock.advance(1)
  cap.accepted()
  t.equal(Math.round(cap.capBytes), 72_090)
  for (let i = 0; i < 60; i++) {
    clock.advance(600_000)
    cap.accepted()
  }
  t.equal(cap.capBytes, Number.POSITIVE_INFINITY)
  t.end()
})

t.test('bad requests are believed 64 times a minute', (t) => {
  const clock = new FakeClock()
  const budget = new SplitBudget(clock)
  const taken = () => Array.from({ length: 70 }, () => budget.take()).filter(Boolean).length
  t.equal(taken(), 64)
  clock.advance(60_000)
  t.equal(taken(), 64)
  t.end()
})
