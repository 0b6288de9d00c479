import { gunzipSync } from 'node:zlib'
import t from 'tap'
import { type Clock, systemClock } from '../../../src/core/clock.ts'
import type { Batch, FlushOutcome } from '../../../src/plugin/output.ts'
import { FakeClock, settled } from '../../../test/support/fake-clock.ts'
import {
  FakeCloudWatch,
  type FakeCloudWatchOptions
} from '../../../test/support/fake-cloudwatch.ts'
import {
  batchesOf,
  never,
  outputContext,
  renderArea,
  renderContext,
  verdictsOf
} from '../../../test/support/output-batches.ts'
import { CloudWatchOutput } from './client.ts'
import { check } from './config.ts'
import type { CloudWatchOptions } from './options.ts'
import createRender from './render.ts'

const NOW_MS = 1_763_650_000_000
const DAY_MS = 86_400_000
const MESSAGE_MAX = 1_048_550

const DEFAULTS: CloudWatchOptions = {
  region: 'us-east-1',
  aws_key_id: 'AK',
  aws_sec_key: 'SK',
  log_group_name: '/app/${tag_parts[0]}',
  log_stream_name: '${record.container_id}',
  default_log_group_name: 'millrace-default',
  sanitize_char: '.',
  allow_unconfined_names: false,
  auto_create_group: false,
  auto_create_stream: true,
  include_tag_key: false,
  tag_key: 'tag',
  max_event_bytes: MESSAGE_MAX,
  oversize: 'dlq',
  truncate_suffix: '[Truncated...]',
  compression: 'none',
  batch_events: 10_000,
  flush_interval: 5000,
  max_in_flight: 16,
  connect_timeout: 1000,
  request_timeout: 5000,
  retry: { base: 1000, cap: 60_000 }
}

interface Event {
  readonly message: string
  readonly timeMs?: number
  readonly target?: string
}

const TARGET = '/app/web\u0000one'
const SLOT_BYTES = 8 * 1024 * 1024

/** Row as the kernel renders it. */
const rowOf = ({ message, timeMs = NOW_MS, target = TARGET }: Event) => ({
  target,
  text: `{"message":${JSON.stringify(message)},"timestamp":${timeMs}},`,
  timeMs,
  message
})

function bodies(events: readonly Event[], overrides: Partial<CloudWatchOptions> = {}): Batch[] {
  const area = renderArea(events.map(rowOf), SLOT_BYTES)
  const finished = createRender({ ...DEFAULTS, ...overrides }, renderContext).finish(area)
  if (finished.rowsTaken !== events.length) throw new Error(`${finished.rowsTaken} rows taken`)
  return batchesOf(area, finished)
}

interface Body {
  readonly logGroupName: string
  readonly logStreamName: string
  readonly logEvents: readonly { readonly message: string; readonly timestamp: number }[]
}

function parsed(batch: Batch | undefined): Body {
  const bytes = batch?.isCompressed ? gunzipSync(batch.body) : batch?.body
  return JSON.parse(bytes?.toString() ?? '')
}

const counts = (batches: readonly Batch[]) => batches.map((batch) => parsed(batch).logEvents.length)

type Teardown = { teardown(handler: () => Promise<void>): void }

async function started(
  test: Teardown,
  overrides: Partial<CloudWatchOptions> = {},
  fakeOptions: FakeCloudWatchOptions = {},
  clock: Clock = systemClock
) {
  const fake = await new FakeCloudWatch({ nowMs: () => NOW_MS, ...fakeOptions }).start()
  fake.add('/app/web', 'one')
  const context = outputContext(clock)
  const output = new CloudWatchOutput({ ...DEFAULTS, endpoint: fake.url, ...overrides }, context)
  await output.start()
  test.teardown(async () => {
    await output.stop()
    await fake.stop()
  })
  return { fake, output, context }
}

/** Repeats what is to be repeated, as delivery does: in order per stream, rendering again what is cut. */
async function deliver(
  output: CloudWatchOutput,
  events: readonly Event[],
  overrides: Partial<CloudWatchOptions> = {},
  triesMax = 60
) {
  const result = {
    requests: 0,
    refused: [] as { event: Event; reason: string }[],
    parked: [] as string[]
  }
  const work: Event[][] = [[...events]]
  for (let next = work.shift(); next !== undefined; next = work.shift()) {
    const again: Event[][] = []
    for (const batch of bodies(next, overrides)) {
      if (++result.requests > triesMax) throw new Error(`more than ${triesMax} requests`)
      const own = eventsOf(batch, next)
      const outcome = await output.flush(batch, never)
      if (outcome.kind === 'split') {
        const middle = own.length >> 1
        again.push(own.slice(0, middle), own.slice(middle))
        continue
      }
      const left: Event[] = []
      verdictsOf(outcome, batch.rowCount).forEach((verdict, row) => {
        const event = own[row] as Event
        if (verdict.kind === 'retry') left.push(event)
        if (verdict.kind === 'refuse') result.refused.push({ event, reason: verdict.reason })
        if (verdict.kind === 'park') result.parked.push(verdict.reason)
      })
      if (left.length > 0) again.push(left)
    }
    work.unshift(...again)
  }
  return result
}

/** The events of a body's rows, by their bytes. */
function eventsOf(batch: Batch, events: readonly Event[]): Event[] {
  return Array.from({ length: batch.rowCount }, (_, row) => {
    const text = batch.rowBytes(row).toString()
    const found = events.find((event) => rowOf(event).text === `${text},`)
    return found ?? { message: JSON.parse(text).message, timeMs: JSON.parse(text).timestamp }
  })
}

const retryReason = (outcome: FlushOutcome) =>
  outcome.kind === 'all' && outcome.verdict.kind === 'retry' ? outcome.verdict.reason : outcome

const numbered = (count: number): Event[] =>
  Array.from({ length: count }, (_, n) => ({ message: `event ${n}`, timeMs: NOW_MS + n }))

const only = (events: readonly Event[], overrides: Partial<CloudWatchOptions> = {}): Batch => {
  const [batch, ...others] = bodies(events, overrides)
  if (batch === undefined || others.length > 0) throw new Error('not one body')
  return batch
}

t.test('C01 10,000 events make one request, one more makes two', (t) => {
  const events = (count: number) => Array.from({ length: count }, () => ({ message: 'x' }))
  t.strictSame(counts(bodies(events(10_000))), [10_000])
  t.strictSame(counts(bodies(events(10_001))), [10_000, 1])
  t.strictSame(counts(bodies(events(25), { batch_events: 10 })), [10, 10, 5])
  t.end()
})

t.test('C02 a request holds 1,048,576 bytes with 26 per event, and not one more', async (t) => {
  const event = { message: 'x'.repeat(1000) }
  const events = Array.from({ length: 1021 }, () => event)
  const rest = 1_048_576 - 1021 * 1026 - 26
  t.strictSame(counts(bodies([...events, { message: 'y'.repeat(rest) }])), [1022])
  t.strictSame(counts(bodies([...events, { message: 'y'.repeat(rest + 1) }])), [1021, 1])
  const { fake, output } = await started(t)
  await deliver(output, [...events, { message: 'y'.repeat(rest) }])
  t.equal(fake.events('/app/web', 'one').length, 1022)
})

t.test(
  'C03 a message of 1,048,550 bytes is sent, a longer one is refused without a call',
  async (t) => {
    const { fake, output } = await started(t)
    const fits = { message: 'x'.repeat(MESSAGE_MAX) }
    const long = { message: 'x'.repeat(MESSAGE_MAX + 1), timeMs: NOW_MS + 1 }
    const { refused } = await deliver(output, [
      fits,
      long,
      { message: 'after', timeMs: NOW_MS + 2 }
    ])
    t.strictSame(refused, [{ event: long, reason: 'too_large' }])
    t.strictSame(
      fake.events('/app/web', 'one').map(({ message }) => message.length),
      [MESSAGE_MAX, 5]
    )
    t.strictSame(fake.stats.errors, {})
  }
)

t.test('C04 length is bytes of UTF-8, not characters', async (t) => {
  const { output } = await started(t)
  const outcome = await output.flush(only([{ message: '日'.repeat(349_525) }]), never)
  t.match(outcome, { kind: 'all', verdict: { kind: 'refuse', reason: 'too_large' } })
  t.match(await output.flush(only([{ message: '日'.repeat(349_516) }]), never), {
    verdict: { kind: 'stored' }
  })
})

t.test('C05 quotes count once, though they travel as two bytes', async (t) => {
  const { fake, output } = await started(t)
  const message = '"'.repeat(500_000)
  const batch = only([{ message }, { message, timeMs: NOW_MS + 1 }])
  t.match(await output.flush(batch, never), { verdict: { kind: 'stored' } })
  t.equal(fake.events('/app/web', 'one').length, 2)
})

t.test('C08 a message that is cut has its suffix within the limit and no half character', (t) => {
  const overrides = { oversize: 'truncate', max_event_bytes: 40_000 } as const
  const [event] = parsed(only([{ message: '日'.repeat(20_000) }], overrides)).logEvents
  t.ok(Buffer.byteLength(event?.message ?? '') <= 40_000)
  t.ok(Buffer.byteLength(event?.message ?? '') > 40_000 - 3)
  t.match(event?.message, /^日+\[Truncated\.\.\.\]$/)
  t.equal(event?.timestamp, NOW_MS)
  const mixed = parsed(
    only([{ message: 'a' }, { message: 'b'.repeat(50_000) }, { message: 'c' }], overrides)
  )
  t.strictSame(
    mixed.logEvents.map(({ message }) => message.length),
    [1, 40_000, 1]
  )
  t.end()
})

t.test('C09 a smaller limit of the server is learned', async (t) => {
  const { fake, output } = await started(t, {}, { eventBytesMax: 262_144 })
  const long = { message: 'x'.repeat(300_000), timeMs: NOW_MS + 1 }
  const first = await deliver(output, [
    { message: 'a' },
    long,
    { message: 'b', timeMs: NOW_MS + 2 }
  ])
  t.strictSame(first.refused, [{ event: long, reason: 'too_large' }])
  t.equal(fake.stats.errors['InvalidParameterException'], 1)
  t.match(await output.flush(only([long]), never), { verdict: { kind: 'refuse' } })
  t.equal(fake.stats.errors['InvalidParameterException'], 1, 'no second error')
  t.strictSame(
    fake.events('/app/web', 'one').map(({ message }) => message),
    ['a', 'b']
  )
})

t.test('C10 an empty message is no event and holds nothing up; blanks are sent', async (t) => {
  const { fake, output } = await started(t)
  const events = ['a', '', ' ', '', 'b'].map((message, n) => ({ message, timeMs: NOW_MS + n }))
  const batch = only(events)
  t.strictSame(
    Array.from({ length: 5 }, (_, row) => batch.rowBytes(row).length > 0),
    [true, false, true, false, true]
  )
  t.match(await output.flush(batch, never), { verdict: { kind: 'stored' } })
  t.strictSame(
    fake.events('/app/web', 'one').map(({ message }) => message),
    ['a', ' ', 'b']
  )
  t.match(await output.flush(only([{ message: '' }]), never), { verdict: { kind: 'stored' } })
  t.equal(fake.stats.calls['PutLogEvents'], 1, 'nothing to send, no call')
})

t.test('C12 a hundred streams record by record make a hundred requests', (t) => {
  const events = Array.from({ length: 5000 }, (_, n) => ({
    message: `event ${n}`,
    timeMs: NOW_MS + n,
    target: `/app/web\u0000stream-${n % 100}`
  }))
  const batches = bodies(events)
  t.equal(batches.length, 100)
  t.strictSame(new Set(counts(batches)), new Set([50]))
  const [first] = batches
  t.equal(parsed(first).logStreamName, 'stream-0')
  t.strictSame(
    parsed(first).logEvents.slice(0, 2),
    [0, 100].map((n) => ({ message: `event ${n}`, timestamp: NOW_MS + n }))
  )
  t.equal(
    batches.reduce((sum, { rowCount }) => sum + rowCount, 0),
    5000
  )
  t.end()
})

t.test('streams that find no room in the slot wait for the next task', (t) => {
  const events = Array.from({ length: 64 }, (_, n) => ({
    message: `event ${n}`,
    target: `/app/web\u0000${'s'.repeat(400)}-${n}`
  }))
  const area = renderArea(events.map(rowOf), 20 * 1024)
  const finished = createRender(DEFAULTS, renderContext).finish(area)
  t.equal(finished.rowsTaken, 32)
  t.equal(finished.bodies.length, 32)
  t.end()
})

t.test('C13 events are sorted by time; equal times keep the order of the queue', (t) => {
  const events = [3, 1, 2, 1, 3].map((ms, n) => ({ message: `${ms}-${n}`, timeMs: NOW_MS + ms }))
  const batch = only(events)
  t.strictSame(
    parsed(batch).logEvents.map(({ message }) => message),
    ['1-1', '1-3', '2-2', '3-0', '3-4']
  )
  const area = renderArea(events.map(rowOf), SLOT_BYTES)
  t.strictSame(
    [...(createRender(DEFAULTS, renderContext).finish(area).order ?? [])],
    [1, 3, 2, 0, 4]
  )
  t.equal(JSON.parse(batch.rowBytes(3).toString()).message, '3-0', 'rows are found where they went')
  t.end()
})

t.test('C14 a request spans less than 24 hours, oldest first', (t) => {
  const from = NOW_MS - DAY_MS
  const span = (ms: number) =>
    counts(
      bodies([
        { message: 'new', timeMs: from + ms },
        { message: 'old', timeMs: from }
      ])
    )
  t.strictSame(span(DAY_MS - 1), [2])
  t.strictSame(span(DAY_MS), [1, 1])
  const [first] = bodies([{ message: 'new' }, { message: 'old', timeMs: from }])
  t.equal(parsed(first).logEvents[0]?.message, 'old')
  t.end()
})

t.test('C15 events that are too old or too new are refused with their reason', async (t) => {
  const { output } = await started(t)
  const old = { message: 'old', timeMs: NOW_MS - 15 * DAY_MS }
  const late = { message: 'late', timeMs: NOW_MS + 3 * 3_600_000 }
  const { refused } = await deliver(output, [late, { message: 'now' }, old])
  t.strictSame(refused, [
    { event: old, reason: 'too_old' },
    { event: late, reason: 'too_new' }
  ])
})

const rejection = (info: object) => ({
  kind: 'garbage' as const,
  body: JSON.stringify({ rejectedLogEventsInfo: info })
})

t.test('C16 an index of 0 is an index', async (t) => {
  const { fake, output } = await started(t)
  fake.plan('PutLogEvents', rejection({ tooOldLogEventEndIndex: 0, tooNewLogEventStartIndex: 0 }))
  const outcome = await output.flush(only(numbered(3)), never)
  t.strictSame(
    verdictsOf(outcome, 3).map((verdict) => verdict.kind === 'refuse' && verdict.reason),
    ['too_new', 'too_new', 'too_new']
  )
})

t.test('C17 an event is refused once, for its first reason', async (t) => {
  const { fake, output } = await started(t)
  fake.plan('PutLogEvents', rejection({ expiredLogEventEndIndex: 3, tooOldLogEventEndIndex: 1 }))
  const outcome = await output.flush(only(numbered(5)), never)
  t.strictSame(
    verdictsOf(outcome, 5).map((verdict) =>
      verdict.kind === 'refuse' ? verdict.reason : verdict.kind
    ),
    ['too_old', 'expired', 'expired', 'stored', 'stored']
  )
})

t.test('C17 rejected ranges count events, not rows without one', async (t) => {
  const { fake, output } = await started(t)
  fake.plan('PutLogEvents', rejection({ tooOldLogEventEndIndex: 1 }))
  const events = ['', 'a', 'b'].map((message, n) => ({ message, timeMs: NOW_MS + n }))
  const outcome = await output.flush(only(events), never)
  t.strictSame(
    verdictsOf(outcome, 3).map(({ kind }) => kind),
    ['stored', 'refuse', 'stored']
  )
})

t.test('C21 throttling is waited out and stored once', async (t) => {
  const { fake, output } = await started(t)
  const fault = { kind: 'error', code: 'ThrottlingException', message: 'Rate exceeded' } as const
  fake.plan('PutLogEvents', fault, fault, fault, fault, fault)
  const { requests } = await deliver(output, numbered(10))
  t.equal(requests, 6)
  t.equal(fake.events('/app/web', 'one').length, 10)
})

t.test('C23 an error after the batch was stored makes an exact double', async (t) => {
  const { fake, output } = await started(t)
  fake.plan('PutLogEvents', { kind: 'error_after_apply', code: 'InternalFailure', status: 500 })
  const batch = only(numbered(3))
  t.equal(retryReason(await output.flush(batch, never)), 'server_error')
  await output.flush(batch, never)
  t.equal(fake.events('/app/web', 'one').length, 6)
  const [first, second] = fake.calls
  t.ok(second && first?.body.equals(second.body))
})

t.test('C24 a connection that the service closed while idle costs no failure', async (t) => {
  const { fake, output, context } = await started(t)
  await deliver(output, numbered(1))
  fake.plan('PutLogEvents', { kind: 'reset_before_apply' })
  t.match(await output.flush(only(numbered(2)), never), { verdict: { kind: 'stored' } })
  t.equal(fake.stats.connections, 2)
  t.strictSame(context.lines, [])
})

t.test('C25 a peer that accepts and never answers is given up at the deadline', async (t) => {
  const clock = new FakeClock()
  const { fake, output } = await started(t, { request_timeout: 30_000 }, {}, clock)
  fake.plan('PutLogEvents', { kind: 'hang' })
  const flush = output.flush(only(numbered(1)), never)
  while (fake.stats.calls['PutLogEvents'] === undefined) await settled()
  clock.advance(30_000)
  t.equal(retryReason(await flush), 'timeout')
  while (fake.connectionCount > 0) await settled()
  await deliver(output, numbered(1))
  t.equal(fake.events('/app/web', 'one').length, 1)
})

t.test('C26 a success that cannot be read is no success', async (t) => {
  const { fake, output } = await started(t)
  fake.plan(
    'PutLogEvents',
    { kind: 'garbage', body: '<html>sign in</html>' },
    { kind: 'truncated' }
  )
  t.equal(retryReason(await output.flush(only(numbered(1)), never)), 'unreadable')
  t.equal(retryReason(await output.flush(only(numbered(1)), never)), 'reset')
})

t.test('C27 an event that the service names is refused, the others are stored once', async (t) => {
  const { fake, output } = await started(t)
  fake.plan('PutLogEvents', {
    kind: 'error',
    code: 'InvalidParameterException',
    message: "1 validation error detected: Value '' at 'logEvents.7.member.message' failed"
  })
  const events = numbered(10)
  const { refused } = await deliver(output, events)
  t.strictSame(refused, [{ event: events[6], reason: 'bad_event' }])
  t.strictSame(
    fake.events('/app/web', 'one').map(({ message }) => message),
    events.filter((event) => event !== events[6]).map(({ message }) => message)
  )
})

t.test('C28 one poison event among 1,000 is found by halving, in order', async (t) => {
  const { fake, output } = await started(t)
  const events = numbered(1000)
  let requests = 0
  const refused: string[] = []
  // The stand-in refuses whatever holds event 617, without a word which one it is.
  const flushPart = async (part: Event[]): Promise<void> => {
    requests++
    if (part.some(({ message }) => message === 'event 617')) {
      fake.plan('PutLogEvents', { kind: 'error', code: 'InvalidParameterException', message: 'no' })
    }
    const outcome = await output.flush(only(part), never)
    if (outcome.kind === 'split') {
      await flushPart(part.slice(0, part.length >> 1))
      await flushPart(part.slice(part.length >> 1))
    } else if (outcome.kind === 'all' && outcome.verdict.kind === 'refuse') {
      refused.push(outcome.verdict.reason)
    }
  }
  await flushPart(events)
  t.strictSame(refused, ['bad_request'])
  t.ok(requests <= 21, `${requests} requests`)
  t.strictSame(
    fake.events('/app/web', 'one').map(({ message }) => message),
    events.map(({ message }) => message).filter((message) => message !== 'event 617')
  )
})

t.test('C30 a group without permission is parked, others flow', async (t) => {
  const { fake, output } = await started(t)
  fake.add('/app/other', 'one')
  fake.plan('PutLogEvents', {
    kind: 'error',
    code: 'AccessDeniedException',
    message: 'not authorized'
  })
  t.match(await output.flush(only(numbered(1)), never), {
    verdict: { kind: 'park', reason: 'denied' }
  })
  const other = only([{ message: 'x', target: '/app/other\u0000one' }])
  t.match(await output.flush(other, never), { verdict: { kind: 'stored' } })
})

t.test('C29 wrong credentials wait and are looked for anew', async (t) => {
  const { fake, output } = await started(t, { aws_sec_key: 'wrong' })
  const outcome = await output.flush(only(numbered(1)), never)
  t.match(outcome, { verdict: { kind: 'retry', reason: 'credentials' } })
  t.equal(fake.stats.errors['InvalidSignatureException'], 1)
})

t.test('C31 a proxy with a smaller limit gets smaller requests', async (t) => {
  const { fake, output } = await started(t, {}, { bodyBytesMax: 100_000 })
  const events = Array.from({ length: 500 }, (_, n) => ({
    message: `${n} ${'x'.repeat(1000)}`,
    timeMs: NOW_MS + n
  }))
  await deliver(output, events)
  t.strictSame(
    fake.events('/app/web', 'one').map(({ message }) => message),
    events.map(({ message }) => message)
  )
})

t.test('C32 answers of older servers are understood', async (t) => {
  const { fake, output } = await started(t)
  fake.plan(
    'PutLogEvents',
    { kind: 'error', code: 'DataAlreadyAcceptedException' },
    {
      kind: 'error',
      code: 'InvalidSequenceTokenException',
      fields: { expectedSequenceToken: 't1' }
    }
  )
  t.match(await output.flush(only(numbered(1)), never), { verdict: { kind: 'stored' } })
  t.equal(fake.events('/app/web', 'one').length, 0)
  t.match(await output.flush(only(numbered(1)), never), { verdict: { kind: 'stored' } })
  t.equal(fake.calls.at(-1)?.input['sequenceToken'], 't1')
})

t.test(
  'C34 a missing group and stream are made, in a legal order, and the batch is stored once',
  async (t) => {
    const { fake, output } = await started(t, {
      auto_create_group: true,
      retention_in_days: 30,
      tags: { team: 'x' }
    })
    const event = { message: 'x', target: '/new/group\u0000stream' }
    t.match(await output.flush(only([event]), never), { verdict: { kind: 'stored' } })
    t.strictSame(Object.keys(fake.stats.calls), [
      'PutLogEvents',
      'CreateLogStream',
      'CreateLogGroup',
      'PutRetentionPolicy'
    ])
    t.equal(fake.group('/new/group')?.retentionDays, 30)
    t.strictSame(fake.group('/new/group')?.request, {
      logGroupName: '/new/group',
      tags: { team: 'x' }
    })
    t.equal(fake.events('/new/group', 'stream').length, 1)
  }
)

t.test('C35 many flushes make one group and each stream once', async (t) => {
  const { fake, output } = await started(t, { auto_create_group: true })
  const targets = Array.from({ length: 20 }, (_, n) => `/new\u0000s${n % 10}`)
  const outcomes = await Promise.all(
    targets.map((target) => output.flush(only([{ message: 'x', target }]), never))
  )
  const later = targets.filter((_, n) => retryReason(outcomes[n] as FlushOutcome) === 'settling')
  for (const target of later) await output.flush(only([{ message: 'x', target }]), never)
  t.equal(fake.stats.calls['CreateLogGroup'], 1)
  t.equal(fake.stats.events, 20)
})

t.test('C35 two processes may make one group at once', async (t) => {
  const { fake, output } = await started(t, { auto_create_group: true })
  fake.plan('CreateLogGroup', { kind: 'error', code: 'OperationAbortedException' })
  const batch = only([{ message: 'x', target: '/new\u0000s' }])
  t.equal(retryReason(await output.flush(batch, never)), 'conflict')
  fake.plan('CreateLogStream', { kind: 'error', code: 'ResourceAlreadyExistsException' })
  fake.add('/new', 's')
  t.match(await output.flush(batch, never), { verdict: { kind: 'stored' } })
})

t.test('C36 a stream that is not visible yet is not made again', async (t) => {
  const { fake, output } = await started(t, {}, { invisibleCalls: 2 })
  const batch = only([{ message: 'x', target: '/app/web\u0000fresh' }])
  t.equal(retryReason(await output.flush(batch, never)), 'settling')
  t.equal(retryReason(await output.flush(batch, never)), 'settling')
  t.match(await output.flush(batch, never), { verdict: { kind: 'stored' } })
  t.equal(fake.stats.calls['CreateLogStream'], 1)
})

t.test('C37 without leave to create, records wait for somebody to do it', async (t) => {
  const { fake, output } = await started(t)
  const batch = only([{ message: 'x', target: '/absent\u0000s' }])
  t.match(await output.flush(batch, never), {
    verdict: { kind: 'park', reason: 'group_missing' }
  })
  fake.add('/absent', 's')
  t.match(await output.flush(batch, never), { verdict: { kind: 'stored' } })
  const strict = await started(t, { auto_create_stream: false })
  const other = only([{ message: 'x', target: '/app/web\u0000absent' }])
  t.match(await strict.output.flush(other, never), {
    verdict: { kind: 'park', reason: 'stream_missing' }
  })
  t.notOk(strict.fake.stats.calls['CreateLogStream'])
})

t.test('C38 retention that is not allowed holds nothing up', async (t) => {
  const { fake, output, context } = await started(t, {
    auto_create_group: true,
    retention_in_days: 7
  })
  fake.plan('PutRetentionPolicy', { kind: 'error', code: 'AccessDeniedException' })
  const batch = only([{ message: 'x', target: '/new\u0000s' }])
  t.match(await output.flush(batch, never), { verdict: { kind: 'stored' } })
  t.strictSame(
    context.lines.map(({ fields }) => fields['event']),
    ['output.retention_failed']
  )
})

t.test('C39 streams that exist need no call besides the put', async (t) => {
  const { fake, output } = await started(t)
  for (let n = 0; n < 50; n++) {
    fake.add('/app/web', `s${n}`)
    await output.flush(only([{ message: 'x', target: `/app/web\u0000s${n}` }]), never)
  }
  t.strictSame(fake.stats.calls, { PutLogEvents: 50 })
})

t.test('C40 creation keeps to the quota', async (t) => {
  const clock = new FakeClock()
  const { fake, output } = await started(t, {}, {}, clock)
  const flushes = Array.from({ length: 5 }, (_, n) =>
    output.flush(only([{ message: 'x', target: `/app/web\u0000new${n}` }]), never)
  )
  while ((fake.stats.errors['ResourceNotFoundException'] ?? 0) < 5) await settled()
  const created = async (count: number) => {
    while ((fake.stats.calls['CreateLogStream'] ?? 0) < count) await settled()
  }
  await created(1)
  await settled()
  t.equal(fake.stats.calls['CreateLogStream'], 1, 'the others wait for their turn')
  clock.advance(25)
  await created(2)
  clock.advance(75)
  await Promise.all(flushes)
  t.equal(fake.stats.events, 5)
})

t.test('C41 a stream that was deleted is made again', async (t) => {
  const { fake, output } = await started(t)
  await deliver(output, numbered(1))
  fake.remove('/app/web', 'one')
  t.match(await output.flush(only(numbered(2)), never), { verdict: { kind: 'stored' } })
  t.equal(fake.events('/app/web', 'one').length, 2)
})

const nameOf = (target: string, overrides: Partial<CloudWatchOptions> = {}) => {
  const { logGroupName, logStreamName } = parsed(only([{ message: 'x', target }], overrides))
  return [logGroupName, logStreamName]
}

t.test(
  'C44 characters that names cannot have are replaced, and equal names share a stream',
  (t) => {
    t.strictSame(nameOf('g\u0000arn:aws:ecs:x'), ['g', 'arn.aws.ecs.x'])
    t.strictSame(nameOf('g roup!\u0000s'), ['g.roup.', 's'])
    t.strictSame(nameOf('aws/lambda\u0000s'), ['_aws/lambda', 's'])
    t.strictSame(nameOf('g\u0000a:b', { sanitize_char: '' }), ['g', 'ab'])
    t.strictSame(nameOf('\u0000'), ['unknown', 'unknown'])
    const both = bodies([
      { message: '1', target: 'g\u0000a:b' },
      { message: '2', target: 'g\u0000a*b' }
    ])
    t.strictSame(counts(both), [2])
    t.end()
  }
)

t.test('C45 names that are too long stay apart', (t) => {
  const [, one = ''] = nameOf(`g\u0000${'s'.repeat(599)}a`)
  const [, two = ''] = nameOf(`g\u0000${'s'.repeat(599)}b`)
  t.equal(one.length, 512)
  t.equal(two.length, 512)
  t.not(one, two)
  const [, emoji = ''] = nameOf(`g\u0000${'s'.repeat(494)}${'😀'.repeat(20)}`)
  t.ok(emoji.isWellFormed())
  t.end()
})

t.test('C46 placeholders without value become a name', (t) => {
  const { target } = createRender(
    { ...DEFAULTS, log_group_name: '/g/${record.a}', log_stream_name: '${record.x:-none}' },
    renderContext
  ).spec
  t.strictSame(
    target.parts.map((part) =>
      part.kind === 'text' ? part.text : 'fallback' in part && part.fallback
    ),
    ['/g/', 'unknown', '\u0000', 'none']
  )
  t.end()
})

t.test('C47 records cannot name groups that are not allowed', (t) => {
  const allowed_log_groups = ['/app/*', 'exact.name']
  t.strictSame(nameOf('/app/x\u0000s', { allowed_log_groups }), ['/app/x', 's'])
  t.strictSame(nameOf('../../other\u0000s', { allowed_log_groups }), ['millrace-default', 's'])
  t.strictSame(nameOf('exactXname\u0000s', { allowed_log_groups }), ['millrace-default', 's'])
  const find = (overrides: Partial<CloudWatchOptions>) =>
    check({ ...DEFAULTS, ...overrides }).map(({ path }) => path.join('.'))
  t.strictSame(find({}), [])
  const log_group_name = '${record.group}'
  t.strictSame(find({ log_group_name }), ['log_group_name'])
  t.strictSame(find({ log_group_name, allowed_log_groups }), [])
  t.strictSame(find({ log_group_name, allow_unconfined_names: true }), [])
  t.strictSame(find({ endpoint: 'http://[', region: 'x' }), ['endpoint'])
  const { aws_sec_key: _, ...halfKeys } = DEFAULTS
  t.strictSame(
    check(halfKeys).map(({ path }) => path.join('.')),
    ['aws_key_id']
  )
  t.end()
})

t.test('C49 group and stream never mix', (t) => {
  const batches = bodies([
    { message: '1', target: 'ab\u0000c' },
    { message: '2', target: 'a\u0000bc' }
  ])
  t.strictSame(counts(batches), [1, 1])
  t.end()
})

t.test(
  'C52 gzip is signed as sent and stored the same; a server without it gets plain bodies',
  async (t) => {
    const overrides = { compression: 'gzip' } as const
    const { fake, output } = await started(t, overrides)
    const events = numbered(500)
    t.match(await output.flush(only(events, overrides), never), { verdict: { kind: 'stored' } })
    t.equal(fake.calls[0]?.headers['content-encoding'], 'gzip')
    t.ok(fake.stats.receivedBytes < fake.stats.plainBytes * 0.4)
    t.equal(fake.events('/app/web', 'one').length, 500)
    const old = await started(t, overrides, { isGzipRefused: true })
    await deliver(old.output, events, overrides)
    t.equal(old.fake.events('/app/web', 'one').length, 500)
    t.equal(
      old.fake.stats.errors['SerializationException'],
      1,
      'remembered after the first refusal'
    )
  }
)

t.test('C53 order holds under faults', async (t) => {
  const { fake, output } = await started(t)
  let random = 42
  for (let part = 0; part < 40; part++) {
    random = (random * 1_103_515_245 + 12_345) % 2 ** 31
    if (random % 4 === 0) fake.plan('PutLogEvents', { kind: 'error', code: 'ThrottlingException' })
    await deliver(output, numbered(1000).slice(part * 25, part * 25 + 25))
  }
  t.strictSame(
    fake.events('/app/web', 'one').map(({ message }) => message),
    numbered(1000).map(({ message }) => message)
  )
})

t.test(
  'every signature of a prebuilt body is right, and its hash is the one of the pool',
  async (t) => {
    const { fake, output } = await started(t)
    const batch = only(numbered(10))
    await output.flush(batch, never)
    const [call] = fake.calls
    t.equal(call?.headers['x-amz-content-sha256'], batch.sha256)
    t.equal(call?.headers['x-amz-target'], 'Logs_20140328.PutLogEvents')
    t.strictSame(fake.stats.errors, {})
  }
)
