import { gunzipSync, gzipSync } from 'node:zlib'
import t from 'tap'
import { BodyFlight, type FlightOptions } from '../../src/delivery/body-flight.ts'
import { Circuit } from '../../src/delivery/circuit.ts'
import { OpenKeys } from '../../src/delivery/keys.ts'
import { DEFAULT_RETRY } from '../../src/delivery/retry.ts'
import { ROW_INDEX_BYTES, RowIndex, rowList } from '../../src/delivery/row-index.ts'
import { UNTRIED } from '../../src/delivery/verdicts.ts'
import type { Batch, FlushOutcome, Output, RenderedBody } from '../../src/plugin/output.ts'
import { FakeClock, settled } from '../support/fake-clock.ts'

const STORED: FlushOutcome = { kind: 'all', verdict: { kind: 'stored' } }

function fixture(texts: string[], answer: (batch: Batch, call: number) => unknown, wrap = '') {
  const clock = new FakeClock()
  const slot = Buffer.alloc(4096)
  const indexByte = 2048
  const words = new Uint32Array(slot.buffer, slot.byteOffset + indexByte, texts.length * 3)
  let byte = slot.write(wrap, 16) + 16
  texts.forEach((text, row) => {
    words.set([row, byte, text.length], row * 3)
    byte += slot.write(text, byte)
  })
  byte += slot.write(wrap, byte)
  const sent: string[] = []
  const settledRows: Record<string, string> = {}
  const renderedAgain: number[] = []
  const left: (string | number)[][] = []
  const waits: number[] = []
  let call = 0
  const output: Output = {
    start: async () => {},
    stop: async () => {},
    async flush(batch, signal) {
      const plain = batch.isCompressed ? gunzipSync(batch.body) : batch.body
      sent.push(plain.toString())
      return (await answer(Object.assign(batch, { signal }), ++call)) as FlushOutcome
    }
  }
  const abort = new AbortController()
  const passed = { passCount: 0, offsets: new Set<number>() }
  const gone: number[] = []
  const rows = new RowIndex(slot, indexByte, texts.length, 1000)
  const body: RenderedBody = {
    target: 'index',
    startByte: 16,
    byteCount: byte - 16,
    rowStart: 0,
    rowCount: texts.length,
    compressed: null,
    sha256: null
  }
  const retries: string[] = []
  const options: FlightOptions = {
    output,
    slot,
    rows,
    circuit: new Circuit(clock, () => 0.5, DEFAULT_RETRY),
    keys: new OpenKeys(),
    tries: UNTRIED,
    heldKey: null,
    isTry: false,
    isAnyHeld: () => false,
    isHeld: () => false,
    onWait: (by) => waits.push(by),
    clock,
    random: () => 0.5,
    retry: DEFAULT_RETRY,
    flushTimeoutMs: 30_000,
    passed: {
      get passCount() {
        return passed.passCount
      },
      has: (offset) => passed.offsets.has(offset)
    },
    passCount: 0,
    signal: abort.signal,
    observer: {
      flushed: () => {},
      retrying: (reason, attempt, delayMs) => retries.push(`${reason} ${attempt} ${delayMs}`)
    },
    settlement: {
      stored: (list, isDuplicate) => {
        for (const row of rowList(list))
          settledRows[rows.offset(row)] = isDuplicate ? 'duplicate' : 'stored'
      },
      refused: async (list) => {
        for (const { row, reason } of list) settledRows[rows.offset(row)] = reason
      },
      renderAgain: (list) => renderedAgain.push(...rowList(list)),
      leave: (key, list) => left.push([key, ...rowList(list).map((row) => rows.offset(row))]),
      passed: (list) => gone.push(...rowList(list)),
      offsetsWithin: (start, end) => [1000 + start, 1000 + end]
    }
  }
  const drop = (...offsets: number[]) => {
    passed.passCount++
    for (const offset of offsets) passed.offsets.add(offset)
  }
  return {
    drop,
    gone,
    clock,
    slot,
    sent,
    settledRows,
    renderedAgain,
    retries,
    abort,
    body,
    options
  }
}

t.test('a body that is stored whole is sent once and settles every row', async (t) => {
  const f = fixture(['a\n', 'b\n'], () => STORED)
  await new BodyFlight(f.body, f.options).run()
  t.same(f.sent, ['a\nb\n'])
  t.same(f.settledRows, { 1000: 'stored', 1001: 'stored' })
})

t.test('Q39 of items 201, 429, 400 and 409 only the 429 is sent again', async (t) => {
  const f = fixture(['aa\n', 'b\n', 'cccc\n', 'ddd\n', 'e\n'], (_, call) => {
    if (call > 1) return STORED
    return {
      kind: 'rows',
      verdicts: [
        { kind: 'stored' },
        { kind: 'retry', reason: '429' },
        { kind: 'refuse', reason: 'mapping', status: 400 },
        { kind: 'retry', reason: '429', retryAfterMs: 5000 },
        { kind: 'stored', duplicate: true }
      ]
    }
  })
  const done = new BodyFlight(f.body, f.options).run()
  await settled()
  t.same(f.retries, ['429 1 5000'], 'the wait that the destination asked for is kept')
  f.clock.advance(5000)
  await done
  t.same(f.sent, ['aa\nb\ncccc\nddd\ne\n', 'b\nddd\n'])
  t.same(f.settledRows, {
    1000: 'stored',
    1001: 'stored',
    1002: 'mapping',
    1003: 'stored',
    1004: 'duplicate'
  })
})

t.test('a body refused as a whole is halved until the culprit is alone', async (t) => {
  const f = fixture(['a\n', 'b\n', 'X\n', 'd\n', 'e\n'], (batch) =>
    batch.body.includes('X') ? { kind: 'split', reason: 'too_large', status: 413 } : STORED
  )
  await new BodyFlight(f.body, f.options).run()
  t.same(f.settledRows, {
    1000: 'stored',
    1001: 'stored',
    1002: 'too_large',
    1003: 'stored',
    1004: 'stored'
  })
  t.ok(f.sent.length <= 7, `${f.sent.length} requests`)
})

t.test('rows that remain of a compressed body travel compressed', async (t) => {
  const f = fixture(['a\n', 'b\n'], (batch, call) => {
    t.ok(batch.isCompressed)
    if (call > 1) return STORED
    return { kind: 'rows', verdicts: [{ kind: 'stored' }, { kind: 'retry', reason: '503' }] }
  })
  const packed = gzipSync('a\nb\n')
  packed.copy(f.slot, 1024)
  const body = { ...f.body, compressed: { startByte: 1024, byteCount: packed.length } }
  const done = new BodyFlight(body, f.options).run()
  while (f.retries.length === 0) await settled()
  f.clock.advance(60_000)
  await done
  t.same(f.sent, ['a\nb\n', 'b\n'])
})

t.test('rows of a wrapped body are rendered again instead of being cut out', async (t) => {
  const f = fixture(
    ['a', 'b', 'c'],
    () => ({
      kind: 'rows',
      verdicts: [{ kind: 'stored' }, { kind: 'retry', reason: 'x' }, { kind: 'stored' }]
    }),
    '[]'
  )
  await new BodyFlight(f.body, f.options).run()
  t.same(f.renderedAgain, [1])
  t.same(f.settledRows, { 1000: 'stored', 1002: 'stored' })
})

t.test('an exception, a wrong count and silence mean: send everything again', async (t) => {
  const f = fixture(['a\n', 'b\n'], (batch, call) => {
    if (call === 1) throw new Error('connection reset')
    if (call === 2) return { kind: 'rows', verdicts: [{ kind: 'stored' }] }
    if (call > 3) return STORED
    const { signal } = batch as Batch & { signal: AbortSignal }
    return new Promise((_, reject) => {
      signal.addEventListener('abort', () => reject(signal.reason))
    })
  })
  const done = new BodyFlight(f.body, f.options).run()
  for (let turn = 0; turn < 8; turn++) {
    await settled()
    f.clock.advance(60_000)
  }
  await done
  t.equal(f.sent.length, 4)
  t.match(f.retries[0], /^connection reset 1 /)
  t.match(f.retries[1], /^row_count 2 /)
  t.match(f.retries[2], /^no answer within 30000 ms 3 /)
  t.same(f.settledRows, { 1000: 'stored', 1001: 'stored' })
})

t.test('rows that were dropped to make room are not sent again', async (t) => {
  const f = fixture(['a\n', 'b\n'], () => ({
    kind: 'all',
    verdict: { kind: 'retry', reason: 'down' }
  }))
  const done = new BodyFlight(f.body, f.options).run()
  await settled()
  f.drop(1000, 1001)
  f.clock.advance(60_000)
  await done
  t.equal(f.sent.length, 1)
  t.same(f.settledRows, {})
})

t.test('of a body that is dropped in part the rest is sent, compressed or not', async (t) => {
  for (const isCompressed of [false, true]) {
    const f = fixture(['a\n', 'b\n', 'c\n'], (_, call) =>
      call > 1 ? STORED : { kind: 'all', verdict: { kind: 'retry', reason: 'down' } }
    )
    const packed = gzipSync('a\nb\nc\n')
    packed.copy(f.slot, 1024)
    const compressed = isCompressed ? { startByte: 1024, byteCount: packed.length } : null
    const done = new BodyFlight({ ...f.body, compressed }, f.options).run()
    while (f.retries.length === 0) await settled()
    f.drop(1000, 1001)
    f.clock.advance(60_000)
    await done
    t.same(f.sent, ['a\nb\nc\n', 'c\n'])
    t.same(f.settledRows, { 1002: 'stored' })
    t.same(f.gone, [0, 1], 'what is joined into them is told')
  }
})

t.test('rows that were dropped while they were rendered are not sent at all', async (t) => {
  const f = fixture(['a\n', 'b\n'], () => STORED)
  f.drop(1000)
  await new BodyFlight(f.body, f.options).run()
  t.same(f.sent, ['b\n'])
  t.same(f.settledRows, { 1001: 'stored' })
})

t.test('the rest of a wrapped body is rendered again when a part of it was dropped', async (t) => {
  const f = fixture(['a\n', 'b\n'], () => STORED, '#')
  f.drop(1000)
  await new BodyFlight(f.body, f.options).run()
  t.same(f.sent, [])
  t.same(f.renderedAgain, [1])
})

t.test(
  'a body is busy while its request is out or settled, and not between two tries',
  async (t) => {
    const answers: ((outcome: FlushOutcome) => void)[] = []
    const f = fixture(['a\n', 'b\n'], () => new Promise((resolve) => answers.push(resolve)))
    const flight = new BodyFlight(f.body, f.options)
    t.equal(flight.busyOffsets, null)
    const done = flight.run()
    await settled()
    t.same(flight.busyOffsets, [1000, 1002])
    answers[0]?.({ kind: 'rows', verdicts: [{ kind: 'stored' }, { kind: 'retry', reason: '429' }] })
    await settled()
    t.equal(flight.busyOffsets, null, 'it waits for its next try')
    f.clock.advance(60_000)
    await settled()
    t.same(flight.busyOffsets, [1000, 1001], 'the row that is left')
    answers[1]?.(STORED)
    await done
    t.equal(flight.busyOffsets, null)
  }
)

t.test('shutdown ends a wait and leaves the rows without a verdict', async (t) => {
  const f = fixture(['a\n'], () => ({ kind: 'all', verdict: { kind: 'retry', reason: 'down' } }))
  const done = new BodyFlight(f.body, f.options).run()
  await settled()
  f.abort.abort()
  await done
  t.same(f.settledRows, {})
  t.equal(f.clock.timerCount, 0, 'no timer outlives the flight')
})

t.equal(ROW_INDEX_BYTES, 12)
