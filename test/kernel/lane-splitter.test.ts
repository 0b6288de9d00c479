import { encode } from '@msgpack/msgpack'
import fc from 'fast-check'
import t from 'tap'
import { EventTime, encodeValue } from '../../src/codec/msgpack-value.ts'
import type { LaneRule } from '../../src/kernel/lane-splitter.ts'
import { xxh64 } from '../support/xxh64.ts'
import { newKernel } from './scan-harness.ts'

const kernel = newKernel()
const TIME = new EventTime(1_700_000_000, 5)
const MARKER_OPEN = new EventTime(0xffffffff, 0)
const MARKER_CLOSE = new EventTime(0xfffffffe, 0)

/** Lane of a key, by the twin of the hash. */
const laneOf = (key: Uint8Array, laneCount: number): number =>
  Number(xxh64([key], 0n) % BigInt(laneCount))

/** What the lane is decided by, or null: the field is not there. */
function keyOf(record: unknown, path: readonly string[]): Buffer | null {
  let value = record
  for (const name of path) {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return null
    value = (value as Record<string, unknown>)[name]
    if (value === undefined) return null
  }
  if (value === null) return null
  return typeof value === 'string' ? Buffer.from(value) : Buffer.from(encode(value))
}

interface Entry {
  readonly bytes: Buffer
  readonly record: unknown
  /** 'open' and 'close' are group markers. */
  readonly kind: 'record' | 'open' | 'close'
}

/** Entries per lane as the rule asks, markers repeated before the first record of a lane that has not seen them. */
function twin(entries: readonly Entry[], rule: LaneRule) {
  const lanes = new Map<number, { bytes: Buffer[]; recordCount: number; marker: object | null }>()
  let marker: { readonly bytes: Buffer } | null = null
  for (const { bytes, kind, record } of entries) {
    if (kind !== 'record') {
      marker = { bytes }
      continue
    }
    const key = keyOf(record, rule.path)
    const lane = key === null ? rule.otherLane : laneOf(key, rule.laneCount)
    const mine = lanes.get(lane) ?? { bytes: [], recordCount: 0, marker: null }
    lanes.set(lane, mine)
    if (marker !== null && mine.marker !== marker) {
      mine.bytes.push(marker.bytes)
      mine.marker = marker
    }
    mine.bytes.push(bytes)
    mine.recordCount++
  }
  return [...lanes]
    .map(([lane, { bytes, recordCount }]) => [
      lane,
      recordCount,
      Buffer.concat(bytes).toString('hex')
    ])
    .sort(([a], [b]) => Number(a) - Number(b))
}

function split(bytes: Buffer, form: 1 | 2, rule: LaneRule) {
  const parts = kernel.lanes.split(bytes, form, rule)
  const found = new Map<number, { recordCount: number; hex: string }>()
  for (const { lane, recordCount, entries } of parts ?? []) {
    const mine = found.get(lane) ?? { recordCount: 0, hex: '' }
    mine.recordCount += recordCount
    mine.hex += entries.toString('hex')
    found.set(lane, mine)
  }
  kernel.lanes.release()
  return [...found]
    .map(([lane, { recordCount, hex }]) => [lane, recordCount, hex])
    .sort(([a], [b]) => Number(a) - Number(b))
}

/** In kernel memory, with bytes behind it that must not be believed. */
function inKernel<T>(bytes: Buffer, use: (view: Buffer) => T): T {
  const block = kernel.borrow(bytes.length + 128)
  if (block === null) throw new Error('no block')
  block.fill(0x81)
  block.set(bytes)
  try {
    return use(block.subarray(0, bytes.length))
  } finally {
    kernel.giveBack(block)
  }
}

const entry = (record: unknown, time: unknown = TIME): Entry => ({
  bytes: Buffer.from(encodeValue([time, record])),
  record,
  kind: 'record'
})
const marked = (kind: 'open' | 'close', attributes: object): Entry => ({
  bytes: Buffer.from(encodeValue([[kind === 'open' ? MARKER_OPEN : MARKER_CLOSE, {}], attributes])),
  record: null,
  kind
})

const value = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom('a', 'b', 'c', 'tenant-4', 'x'.repeat(40)) },
  fc.integer({ min: -5, max: 5 }),
  fc.boolean(),
  fc.constant(null),
  fc.constant({ inner: 1 }),
  fc.constant(['list'])
)
const record = fc.record(
  {
    log: fc.string({ maxLength: 20 }),
    k: value,
    kube: fc.oneof(fc.record({ ns: value, pod: fc.string() }, { requiredKeys: [] }), value)
  },
  { requiredKeys: [] }
)
const entries = fc.array(
  fc.oneof(
    { weight: 8, arbitrary: record.map((each) => entry(each)) },
    { weight: 2, arbitrary: record.map((each) => entry(each, [TIME, {}])) },
    { weight: 1, arbitrary: record.map((each) => entry(each, 1_700_000_000)) },
    { weight: 1, arbitrary: fc.nat(3).map((n) => marked('open', { group: n })) },
    { weight: 1, arbitrary: fc.constant(marked('close', {})) }
  ),
  { minLength: 1, maxLength: 60 }
)
const rule: fc.Arbitrary<LaneRule> = fc.integer({ min: 1, max: 64 }).chain((laneCount) =>
  fc.record({
    laneCount: fc.constant(laneCount),
    otherLane: fc.nat(laneCount - 1),
    path: fc.constantFrom(['k'], ['kube', 'ns'], ['absent'], ['kube'])
  })
)

t.test('entries go to the lanes that the twin says, in their order, under their markers', (t) => {
  fc.assert(
    fc.property(entries, rule, fc.boolean(), (list, rule, isInside) => {
      const bytes = Buffer.concat(list.map((each) => each.bytes))
      const found = isInside
        ? inKernel(bytes, (view) => split(view, 1, rule))
        : split(bytes, 1, rule)
      t.strictSame(found, twin(list, rule))
    }),
    { numRuns: 300 }
  )
  t.end()
})

t.test('whole messages are cut between messages', (t) => {
  const message = (record: object, ...option: object[]): Entry => ({
    bytes: Buffer.from(encodeValue(['tag', TIME, record, ...option])),
    record,
    kind: 'record'
  })
  const list = Array.from({ length: 100 }, (_, i) =>
    message({ k: `t${i % 7}`, i }, ...(i % 3 === 0 ? [{ chunk: `c${i}` }] : []))
  )
  const rule = { path: ['k'], laneCount: 8, otherLane: 0 }
  const bytes = Buffer.concat(list.map((each) => each.bytes))
  t.strictSame(
    inKernel(bytes, (view) => split(view, 2, rule)),
    twin(list, rule)
  )
  t.end()
})

t.test('more changes of lane than one table holds, and more bytes than one part', (t) => {
  const rule = { path: ['k'], laneCount: 2, otherLane: 0 }
  const keys = [0, 1].map((lane) =>
    [...'abcdefgh'].find((key) => laneOf(Buffer.from(key), 2) === lane)
  )
  t.notOk(keys.includes(undefined), 'the two keys have different lanes')
  const many = Array.from({ length: 40_000 }, (_, i) => entry({ k: keys[i % 2] }))
  const large = Array.from({ length: 60 }, (_, i) => entry({ k: `${i}`, log: 'x'.repeat(200_000) }))
  for (const list of [many, large]) {
    const bytes = Buffer.concat(list.map((each) => each.bytes))
    t.strictSame(
      inKernel(bytes, (view) => split(view, 1, rule)),
      twin(list, rule)
    )
  }
  t.end()
})

t.test('a run of one lane is not copied', (t) => {
  const list = Array.from({ length: 10 }, () => entry({ k: 'same' }))
  const bytes = Buffer.concat(list.map((each) => each.bytes))
  inKernel(bytes, (view) => {
    const before = kernel.borrowedBytes
    const parts = kernel.lanes.split(view, 1, { path: ['k'], laneCount: 64, otherLane: 0 })
    t.equal(parts?.length, 1)
    t.equal(parts?.[0]?.entries.byteOffset, view.byteOffset)
    t.equal(kernel.borrowedBytes, before)
    kernel.lanes.release()
  })
  t.end()
})

t.test('without memory there are no parts, and nothing stays lent', (t) => {
  const list = Array.from({ length: 10 }, (_, i) => entry({ k: `${i}` }))
  const bytes = Buffer.concat(list.map((each) => each.bytes))
  const rule = { path: ['k'], laneCount: 64, otherLane: 0 }
  const taken: Buffer[] = []
  const view = kernel.borrow(bytes.length + 128)
  view?.set(bytes)
  for (let block = kernel.borrow(4096); block !== null; block = kernel.borrow(4096)) {
    taken.push(block)
  }
  t.equal(kernel.lanes.split(view!.subarray(0, bytes.length), 1, rule), null)
  kernel.lanes.release()
  for (const block of taken) kernel.giveBack(block)
  kernel.giveBack(view!)
  t.equal(kernel.borrowedBytes, 0)
  t.end()
})
