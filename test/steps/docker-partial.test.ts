import { readFileSync } from 'node:fs'
import t from 'tap'
import { JOIN_MEMBERS_MAX } from '../../src/core/limits.ts'
import { skipValue } from '../../src/core/msgpack-skip.ts'
import { decodeCarry } from '../../src/steps/open-group.ts'
import type { TaskRequest } from '../../src/threads/messages.ts'
import { FrameStore } from '../support/frame-store.ts'
import { type Plain, packEntry } from '../support/msgpack-objects.ts'
import { harness } from '../support/task-harness.ts'

const END: Partial<TaskRequest> = { isAtEnd: true, watermarkMs: Number.MAX_SAFE_INTEGER }

interface PartOf {
  readonly container?: string
  readonly source?: string
  readonly id?: string
  readonly ordinal?: Plain
  readonly last?: Plain
  readonly log: string
  readonly seconds?: number
}

const part = ({
  container = 'a',
  source = 'stdout',
  id = 'p',
  ordinal,
  last,
  log,
  seconds
}: PartOf) =>
  packEntry(
    {
      container_id: container,
      source,
      log,
      partial_message: 'true',
      partial_id: id,
      partial_ordinal: ordinal ?? '1',
      partial_last: last ?? 'false'
    },
    seconds
  )
const line = (log: string, container = 'a', source = 'stdout') =>
  packEntry({ container_id: container, source, log })
const old = (log: string) =>
  packEntry({ container_id: 'a', source: 'stdout', log, partial_message: 'true' })

function storeOf(...frames: (readonly [number, readonly Buffer[]])[]): FrameStore {
  const store = new FrameStore()
  for (const [appendTimeMs, entries] of frames) store.append([{ entries }], appendTimeMs)
  return store
}

t.test(
  'S66 D04 parts of three containers and both streams interleave: each line is whole, with the time of its first part',
  (t) => {
    const store = storeOf([
      1,
      [
        part({ log: 'A1', ordinal: '1', seconds: 1_600_000_000 }),
        part({ log: 'B1', container: 'b', id: 'q' }),
        line('other', 'c'),
        part({ log: 'E1', source: 'stderr', id: 'r' }),
        part({ log: 'A2', ordinal: '2', seconds: 1_600_000_009 }),
        part({ log: 'B2', container: 'b', id: 'q', ordinal: '2', last: 'true' }),
        part({ log: 'A3', ordinal: '3', last: 'true', seconds: 1_600_000_009 }),
        part({ log: 'E2', source: 'stderr', id: 'r', ordinal: '2', last: 'true' }),
        line('after')
      ]
    ])
    const { run, documents, ids } = harness(store)
    const result = run()
    const rows = documents(result)
    t.strictSame(
      rows.map((row) => row['log']),
      ['other', 'B1B2', 'A1A2A3', 'E1E2', 'after']
    )
    t.strictSame(rows[2], {
      '@timestamp': '2020-09-13T12:26:40.000000000Z',
      container_id: 'a',
      source: 'stdout',
      log: 'A1A2A3'
    })
    t.match(ids(result)[2], /^[\w-]{24}\.[\w-]{4}$/, 'the id covers the members')
    t.match(ids(result)[0], /^[\w-]{24}$/)
    t.strictSame(result.joined, [
      { owner: 1, offsets: [5] },
      { owner: 0, offsets: [4, 6] },
      { owner: 3, offsets: [7] }
    ])
    t.equal(result.carry, null)
    t.equal(result.counters['join_records_total|route|complete'], 3)
    t.end()
  }
)

t.test(
  'S67 D03 a last output without newline waits for five seconds of watermark, not less',
  (t) => {
    const store = storeOf([10_000, [part({ log: 'no newline' })]])
    const { run, documents } = harness(store)
    const first = run({ isAtEnd: true, watermarkMs: 15_000 })
    t.equal(first.rowCount, 0)
    t.strictSame(first.open, [0])
    t.equal(first.dueMs, 15_001)
    const late = run({ ...END, frames: [], fromOffset: 1, carry: first.carry, watermarkMs: 15_001 })
    t.match(documents(late), [{ log: 'no newline', partial_incomplete: true, partial_id: 'p' }])
    t.strictSame(late.open, [])
    t.equal(late.dueMs, null)
    t.equal(late.resumeOffset, 1)
    t.equal(late.counters['join_records_total|route|incomplete'], 1)
    const notAtEnd = run({ frames: [], fromOffset: 1, carry: first.carry, watermarkMs: 99_999 })
    t.equal(notAtEnd.rowCount, 0, 'lines that are not read yet may belong to it')
    t.end()
  }
)

t.test('S68 D05 D06 parts out of order, missing and repeated', (t) => {
  const run = (entries: readonly Buffer[]) => {
    const one = harness(storeOf([1, entries]))
    const result = one.run(END)
    return { rows: one.documents(result), result }
  }
  const outOfOrder = run([
    part({ log: '1', ordinal: '1' }),
    part({ log: '3', ordinal: '3', last: 'true' }),
    part({ log: '2', ordinal: '2' })
  ])
  t.match(outOfOrder.rows, [{ log: '123', partial_incomplete: undefined }])
  const missing = run([
    part({ log: '1', ordinal: '1' }),
    part({ log: '3', ordinal: '3', last: 'true' }),
    line('next')
  ])
  t.match(missing.rows, [{ log: '13', partial_incomplete: true }, { log: 'next' }])
  const twice = run([
    part({ log: '1', ordinal: '1' }),
    part({ log: '2', ordinal: '2' }),
    part({ log: '2', ordinal: '2' }),
    part({ log: '3', ordinal: '3', last: 'true' })
  ])
  t.match(twice.rows, [{ log: '123' }])
  t.strictSame(twice.result.joined, [{ owner: 0, offsets: [1, 2, 3] }])
  t.equal(twice.result.counters['join_records_total|route|duplicate_part'], 1)
  const between = run([
    part({ log: '1', ordinal: '1' }),
    part({ log: 'x', id: 'q', ordinal: '1' }),
    part({ log: '2', ordinal: '2', last: 'true' })
  ])
  t.match(between.rows, [
    { log: '1', partial_incomplete: true, partial_id: 'p', partial_ordinal: '1' },
    { log: 'x', partial_incomplete: true },
    { log: '2', partial_incomplete: true, partial_ordinal: '2' }
  ])
  t.end()
})

t.test(
  'D10 engines without ids: consecutive parts, the first record without the mark is the last',
  (t) => {
    const { run, documents } = harness(storeOf([1, [old('a'), old('b'), line('c'), line('d')]]))
    const result = run()
    t.match(documents(result), [{ log: 'abc', partial_incomplete: undefined }, { log: 'd' }])
    t.strictSame(result.joined, [{ owner: 0, offsets: [1, 2] }])
    t.end()
  }
)

t.test('D11 the marks as boolean and integer are accepted', (t) => {
  const mark = (ordinal: number, last: boolean, log: string) =>
    packEntry({
      container_id: 'a',
      source: 'stdout',
      log,
      partial_message: true,
      partial_id: 'p',
      partial_ordinal: ordinal,
      partial_last: last
    })
  const { run, documents } = harness(storeOf([1, [mark(1, false, 'x'), mark(2, true, 'y')]]))
  t.match(documents(run()), [{ log: 'xy' }])
  t.end()
})

t.test('S72 a gap of flush_after keeps a line together, one millisecond more splits it', (t) => {
  for (const [gapMs, texts] of [
    [5000, ['12']],
    [5001, ['1', '2']]
  ] as const) {
    const store = storeOf(
      [1000, [part({ log: '1', ordinal: '1' })]],
      [1000 + gapMs, [part({ log: '2', ordinal: '2', last: 'true' })]]
    )
    const { run, documents } = harness(store)
    t.strictSame(
      documents(run(END)).map((row) => row['log']),
      texts
    )
  }
  t.end()
})

t.test('S73 D07 a line without end is cut at max_bytes, in bounded memory', (t) => {
  const entries = Array.from({ length: 200 }, (_, index) =>
    part({ log: 'x'.repeat(1024), ordinal: String(index + 1), last: String(index === 199) })
  )
  const { run, documents } = harness(storeOf([1, entries]), {
    steps: [{ docker_partial: { max_bytes: 65_536 } }]
  })
  const rows = documents(run(END))
  t.strictSame(
    rows.map((row) => String(row['log']).length),
    [65_536, 65_536, 65_536, 8 * 1024]
  )
  t.ok(rows.every((row) => row['partial_incomplete'] === true))
  t.end()
})

t.test(
  'S74 five thousand streams with one open part each: the oldest give way, all are delivered',
  (t) => {
    const store = new FrameStore(0, 1e9)
    for (let frame = 0; frame < 50; frame++) {
      store.append(
        [
          {
            entries: Array.from({ length: 100 }, (_, index) =>
              part({ log: `${frame * 100 + index}`, container: `c${frame}-${index}` })
            )
          }
        ],
        1000 + frame
      )
    }
    const { run, documents } = harness(store)
    const result = run({ bodyBytesMax: 3_900_000 })
    t.equal(decodeCarry(result.carry).length, 1024)
    t.equal(result.rowCount, 5000 - 1024)
    t.equal(documents(result)[0]!['log'], '0')
    t.equal(result.counters['join_records_total|route|evicted'], 5000 - 1024)
    const rest = run({ ...END, frames: [], fromOffset: 5000, carry: result.carry })
    t.equal(rest.rowCount, 1024)
    t.end()
  }
)

t.test('S75 a group of more members than the cursor can hold apart is closed', (t) => {
  const entries = Array.from({ length: JOIN_MEMBERS_MAX + 1 }, (_, index) =>
    part({ log: 'x', ordinal: String(index + 1) })
  )
  const { run } = harness(storeOf([1, entries]))
  const result = run()
  t.equal(result.rowCount, 1)
  t.strictSame(result.open, [])
  t.equal(result.joined[0]!.offsets.length, JOIN_MEMBERS_MAX)
  t.end()
})

t.test(
  'S76 open groups beyond 4 MiB: the largest is finished, and the carry stays bounded',
  (t) => {
    const store = new FrameStore(0, 1e9)
    for (let index = 0; index < 8; index++) {
      const log = 'x'.repeat(500_000 - index)
      store.append([{ entries: [part({ log, container: `c${index}` })] }], 1)
    }
    const { run, documents } = harness(store)
    const result = run({ bodyBytesMax: 15_000_000 })
    t.equal(result.rowCount, 4)
    t.strictSame(
      documents(result).map((row) => row['container_id']),
      ['c0', 'c1', 'c2', 'c3']
    )
    t.ok((result.carry?.length ?? 0) < 4 * 1024 * 1024)
    t.end()
  }
)

t.test(
  'S80 parts that begin in the middle after a reconnect are delivered as incomplete and counted',
  (t) => {
    const { run, documents } = harness(
      storeOf([
        1,
        [
          part({ log: '3', ordinal: '3', last: 'false' }),
          part({ log: '4', ordinal: '4', last: 'true' })
        ]
      ])
    )
    const result = run()
    t.match(documents(result), [{ log: '34', partial_incomplete: true, partial_ordinal: '3' }])
    t.equal(result.counters['join_records_total|route|orphan'], 1)
    t.end()
  }
)

t.test(
  'S82 two destinations with the same steps make equal groups and ids, whatever the cuts',
  (t) => {
    const store = storeOf(
      [1, [part({ log: '1', ordinal: '1' }), line('x', 'b')]],
      [2, [part({ log: '2', ordinal: '2' })]],
      [3, [part({ log: '3', ordinal: '3', last: 'true' })]]
    )
    const whole = harness(store)
    const wholeResult = whole.run()
    const cut = harness(store)
    const ids: string[] = []
    let carry: Uint8Array | null = null
    let fromOffset = 0
    for (const frame of store.frames) {
      const result = cut.run({ frames: [frame], fromOffset, carry })
      ids.push(...cut.ids(result))
      carry = result.carry
      fromOffset = result.resumeOffset
    }
    t.strictSame(ids.toSorted(), whole.ids(wholeResult).toSorted())
    t.end()
  }
)

t.test('S83 a grep behind the join sees whole lines; what it drops takes all parts along', (t) => {
  const store = storeOf([
    1,
    [part({ log: 'aa', ordinal: '1' }), part({ log: 'bb', ordinal: '2', last: 'true' }), line('cc')]
  ])
  const { run, documents } = harness(store, { steps: [{ grep: { exclude: { log: 'aabb' } } }] })
  const result = run()
  t.match(documents(result), [{ log: 'cc' }])
  t.strictSame(result.dropped, [
    { first: 0, end: 1, reason: '1:grep' },
    { first: 1, end: 2, reason: '1:grep' }
  ])
  t.strictSame(result.joined, [])
  t.end()
})

t.test(
  'S84 an idle shard: a due task without frames closes the group and the cursor reaches the end',
  (t) => {
    const store = storeOf([1000, [line('x', 'b'), part({ log: '1' })]])
    const { run } = harness(store)
    const first = run({ isAtEnd: true, watermarkMs: 2000 })
    t.equal(first.resumeOffset, 2)
    const due = run({
      frames: [],
      fromOffset: 2,
      carry: first.carry,
      isAtEnd: true,
      watermarkMs: first.dueMs ?? 0
    })
    t.equal(due.rowCount, 1)
    t.strictSame(due.open, [])
    t.end()
  }
)

t.test('a body without room keeps the group, and the next task renders it', (t) => {
  const store = storeOf([
    1,
    [
      line('first', 'b'),
      part({ log: '1', ordinal: '1' }),
      part({ log: '2', ordinal: '2', last: 'true' }),
      line('last', 'b')
    ]
  ])
  const { run, documents } = harness(store)
  const first = run({ rowsMax: 1 })
  t.match(documents(first), [{ log: 'first' }])
  t.equal(first.resumeOffset, 3)
  t.strictSame(first.open, [1, 2])
  t.equal(first.dueMs, 0)
  const second = run({ fromOffset: 3, carry: first.carry })
  t.match(documents(second), [{ log: '12' }, { log: 'last' }])
  t.strictSame(second.joined, [{ owner: 1, offsets: [2] }])
  t.end()
})

t.test('mode pass leaves parts as they are', (t) => {
  const { run, documents } = harness(storeOf([1, [part({ log: '1' }), part({ log: '2' })]]), {
    steps: [{ docker_partial: { mode: 'pass' } }]
  })
  t.match(documents(run()), [{ log: '1', partial_message: 'true' }, { log: '2' }])
  t.end()
})

t.test(
  'D02 the bytes of Docker 20.10.24 with a line of 40,000 bytes: one record, then the next line',
  (t) => {
    const bytes = readFileSync(
      new URL('../fixtures/wire/docker-20.10.24-partial-40k.c2s.bin', import.meta.url)
    )
    const entries: Buffer[] = []
    for (let at = 0; at < bytes.length; ) {
      const end = skipValue(bytes, at)
      entries.push(bytes.subarray(at, end))
      at = end
    }
    const store = new FrameStore()
    store.append([{ form: 2, entries }], 1)
    const { run, documents } = harness(store)
    const rows = documents(run(END))
    const long = rows.findIndex((row) => String(row['log']).length === 40_000)
    t.not(long, -1)
    t.equal(rows[long]!['partial_message'], undefined)
    t.equal(rows[long]!['partial_incomplete'], undefined)
    t.equal(rows[long + 1]!['log'], 'after')
    t.end()
  }
)
