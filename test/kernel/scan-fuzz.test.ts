// Runs on: any.
// Generated and damaged streams: the scanner against the oracle, whole and in pieces.

import fc from 'fast-check'
import t from 'tap'
import { judgeBody, merge, readStream, type Summary } from './forward-oracle.ts'
import { newKernel, scanPieces, summarize } from './scan-harness.ts'

const kernel = newKernel()
const guard = kernel.reserve(4096).fill(0xa5)

const hex = (text: string) => Buffer.from(text, 'hex')
const joined = (...parts: readonly Uint8Array[]) => Buffer.concat(parts)

const scalar = fc.constantFrom(
  ...['00', '7f', 'ff', 'c0', 'c2', 'c3', 'cc80', 'cd0100', 'ce00010000', 'cf0000000100000000'],
  ...['d080', 'd18000', 'd280000000', 'd38000000000000000', 'ca3fc00000', 'cb7ff8000000000000'],
  ...['a0', 'a161', 'd90161', 'da000161', 'db0000000161', 'c40161', 'c5000161', 'c600000001ff'],
  ...['d40501', 'd5050102', 'd60501020304', 'c70105ff', 'c8000105ff', 'c90000000105ff', 'c1']
)

/** Mostly valid values of any depth. */
const value: fc.Arbitrary<Buffer> = fc.letrec<{ value: Buffer; group: Buffer }>((tie) => ({
  value: fc.oneof(
    { weight: 5, arbitrary: scalar.map(hex) },
    { weight: 1, arbitrary: tie('group') }
  ),
  group: fc
    .tuple(
      fc.constantFrom('9', '8', 'dc', 'de', 'dd', 'df'),
      fc.array(tie('value'), { maxLength: 4 })
    )
    .map(([head, items]) => groupOf(head, items))
})).value

function groupOf(head: string, items: readonly Buffer[]): Buffer {
  const isMap = head === '8' || head === 'de' || head === 'df'
  const count = isMap ? items.length >> 1 : items.length
  const used = isMap ? items.slice(0, count * 2) : items
  if (head.length === 1) return joined(hex(`${head}${count.toString(16)}`), ...used)
  const width = head === 'dc' || head === 'de' ? 4 : 8
  return joined(hex(head + count.toString(16).padStart(width, '0')), ...used)
}

const time = fc.oneof(
  fc
    .constantFrom(
      ...['d7006553f100075bcd15', 'd7000000000000000000', 'd700ffffffff00000000'],
      ...['d700fffffffe00000000', 'd70080000000ffffffff', 'c708006553f100075bcd15', 'd6ff6553f100'],
      ...['d7ff00000001ffffffff', 'c70cff00000005fffffffffffffffe', 'd6006553f100', 'd26553f100'],
      ...['ce6553f100', 'cf0000018bcfe5687b', 'cb41d954fc40200000', 'ca4ecaa7e2', 'fb', '00', 'c0'],
      ...['cb7ff0000000000000', 'c3', 'd9', 'c70cff', 'cfffffffffffffffff', 'd3ffffffffffffffff']
    )
    .map(hex),
  { weight: 4, arbitrary: fc.integer({ min: 1, max: 2 ** 32 - 1 }).map(eventTime) }
)

function eventTime(seconds: number): Buffer {
  return hex(`d700${seconds.toString(16).padStart(8, '0')}00000001`)
}

const record = fc.oneof(
  { weight: 6, arbitrary: fc.constant(hex('82a161a178a162d903787878')) },
  { weight: 2, arbitrary: fc.array(value, { maxLength: 6 }).map((items) => groupOf('8', items)) },
  { weight: 1, arbitrary: value }
)

const header = fc.oneof(
  { weight: 3, arbitrary: time },
  fc.tuple(time, record).map(([at, metadata]) => joined(hex('92'), at, metadata)),
  time.map((at) => joined(hex('91'), at)),
  fc.constant(hex('90')),
  fc.constant(hex('92d700ffffffff0000000080')),
  fc.constant(hex('92d700fffffffe0000000080'))
)

const innerEntry = fc.oneof(
  { weight: 3, arbitrary: fc.tuple(header, record).map((parts) => groupOf('9', parts)) },
  value
)

const nestedBatch = fc
  .tuple(
    fc.constantFrom('a178', 'a0', 'd90178'),
    fc.array(innerEntry, { maxLength: 4 }),
    fc.boolean()
  )
  .map(([name, entries, isPacked]) => {
    return groupOf('9', [hex(name), isPacked ? packed(joined(...entries)) : groupOf('dc', entries)])
  })

const entry = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.tuple(header, record).map(([head, body]) => joined(hex('92'), head, body))
  },
  fc.tuple(header, record, value).map((parts) => groupOf('dd', parts)),
  fc.tuple(value, value).map((parts) => groupOf('9', parts)),
  nestedBatch,
  value
)

const option = fc
  .array(
    fc.oneof(
      fc
        .constantFrom(
          ...['a56368756e6ba3633031', 'c4056368756e6bc40101', 'a56368756e6bc0', 'a56368756e6b07'],
          ...['aa636f6d70726573736564a4677a6970', 'aa636f6d70726573736564a474657874'],
          ...['ad666c75656e745f7369676e616c01', 'ad666c75656e745f7369676e616c00'],
          ...['ad666c75656e745f7369676e616ccd0002', 'ad666c75656e745f7369676e616cff']
        )
        .map(hex),
      fc.tuple(value, value).map((pair) => joined(...pair))
    ),
    { maxLength: 4 }
  )
  .chain((pairs) =>
    fc.constantFrom('8', 'df', 'de').map((head) => {
      const count = pairs.length
        .toString(16)
        .padStart(head === '8' ? 1 : head === 'de' ? 4 : 8, '0')
      return joined(hex(head + count), ...pairs)
    })
  )

const tag = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom('a174', 'a175', 'd90174', 'a0', 'c40174').map(hex) },
  value
)

const rest = fc.oneof(
  { weight: 2, arbitrary: fc.constant<Buffer[]>([]) },
  option.map((map) => [map]),
  value.map((other) => [other]),
  fc.tuple(option, value)
)

const body = fc.array(entry, { maxLength: 8 }).map((entries) => joined(...entries))

function packed(bytes: Buffer): Buffer {
  return joined(hex(`c6${bytes.length.toString(16).padStart(8, '0')}`), bytes)
}

const content = fc.oneof(
  fc.tuple(header, record),
  fc.array(entry, { maxLength: 6 }).map((entries) => [groupOf('dc', entries)]),
  body.map((bytes) => [packed(bytes)]),
  fc.constant([hex('c4041f8b0800')]),
  value.map((other) => [other])
)

const message = fc
  .tuple(tag, content, rest, fc.constantFrom('9', 'dc', 'dd'))
  .map(([name, middle, last, head]) => groupOf(head, [name, ...middle, ...last]))

const stream = fc
  .array(
    fc.oneof({ weight: 9, arbitrary: message }, fc.constantFrom('c0', '00', '90', '9100').map(hex)),
    { minLength: 1, maxLength: 12 }
  )
  .map((messages) => joined(...messages))

const damage = fc.array(fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 })), { maxLength: 3 })

function damaged(bytes: Buffer, changes: readonly (readonly [number, number])[]): Buffer {
  const copy = Buffer.from(bytes)
  for (const [at, byte] of changes) if (copy.length > 0) copy[at % copy.length] = byte
  return copy
}

/** A length or count that does not fit ends the stream sooner than the oracle, which waits for the bytes. */
function judge(bytes: Buffer, cuts: readonly number[]): void {
  const oracle = readStream(bytes)
  const result = scanPieces(kernel, bytes, cuts)
  const isSame = show(result.units) === show(oracle.units)
  if (!isSame)
    throw new Error(
      `${bytes.toString('hex')} by ${cuts}:\n${show(result.units)}\n${show(oracle.units)}`
    )
  if (result.consumed !== oracle.consumed) throw new Error(`consumed ${result.consumed}`)
  if (result.error === 'message_too_large' && oracle.error !== 'not_a_message') return
  const isUndecided = oracle.units.length === 0 && oracle.error === 'not_a_message'
  if (isUndecided) return
  if (result.error !== oracle.error) throw new Error(`error ${result.error}, not ${oracle.error}`)
  if (oracle.error === null && oracle.consumed < bytes.length !== result.needed > 0) {
    throw new Error(`needed ${result.needed}`)
  }
  if (result.needed > 0 && result.needed <= bytes.length - result.consumed) {
    throw new Error('asks for bytes that are there')
  }
}

function show(units: readonly Summary[]): string {
  return JSON.stringify(merge(units).map((unit) => ({ ...unit, invalid: sorted(unit.invalid) })))
}

const cutsOf = fc.array(fc.nat(), { maxLength: 6 })

/** What fuzzing found once. */
const FOUND: readonly (readonly [string, string])[] = [
  ['a c1 in a packed batch within a batch', '92a174dc000192a178c600000001c1'],
  ['a metadata header whose time is an extension of type 0 and one byte', '93a17492d400ff8080'],
  ['a damaged length beside a reserved byte', '92a174c6ffffffffc1']
]

t.test('streams that once were told wrong give the oracle’s units', (t) => {
  for (const [name, text] of FOUND) {
    judge(hex(text), [])
    judge(joined(hex(text), hex('93a174d7006553f100075bcd1581a16101')), [5])
    t.pass(name)
  }
  t.end()
})

t.test('generated streams give the oracle’s units, whole and in pieces', (t) => {
  fc.assert(
    fc.property(stream, cutsOf, (bytes, cuts) => {
      judge(bytes, [])
      judge(
        bytes,
        cuts.map((cut) => cut % bytes.length).sort((a, b) => a - b)
      )
    }),
    { numRuns: 3000 }
  )
  t.end()
})

t.test('damaged streams give the oracle’s units, whole, in pieces and byte by byte', (t) => {
  fc.assert(
    fc.property(stream, damage, cutsOf, (bytes, changes, cuts) => {
      const copy = damaged(bytes, changes)
      judge(copy, [])
      judge(
        copy,
        cuts.map((cut) => cut % copy.length).sort((a, b) => a - b)
      )
      judge(
        copy,
        Array.from({ length: copy.length - 1 }, (_, index) => index + 1)
      )
    }),
    { numRuns: 3000 }
  )
  t.end()
})

t.test('damaged bodies give the oracle’s spans', (t) => {
  fc.assert(
    fc.property(body, damage, (bytes, changes) => {
      const copy = damaged(bytes, changes)
      const block = kernel.borrow(copy.length + 64)
      if (!block) throw new Error('no block')
      block.set(copy)
      block.fill(0x92, copy.length)
      const view = block.subarray(0, copy.length)
      kernel.scanBody(view)
      const summary = summarize(kernel.unit(0), view, 0)
      kernel.giveBack(block)
      const expected = { ...summary, spans: [], records: 0, invalid: {}, arrival: 0, badTime: 0 }
      const oracle: Summary = {
        ...expected,
        markers: 0,
        nested: 0,
        min: Number.POSITIVE_INFINITY,
        max: Number.NEGATIVE_INFINITY,
        giveUp: null
      }
      judgeBody(oracle, copy, 0, copy.length)
      const normal = (unit: Summary) => JSON.stringify({ ...unit, invalid: sorted(unit.invalid) })
      if (normal(summary) !== normal(oracle)) {
        throw new Error(`${copy.toString('hex')}\n${normal(summary)}\n${normal(oracle)}`)
      }
    }),
    { numRuns: 3000 }
  )
  t.end()
})

function sorted(counts: Record<string, number>): [string, number][] {
  return Object.entries(counts).sort(([a], [b]) => (a < b ? -1 : 1))
}

t.test('random bytes are told in the oracle’s words', (t) => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 1, maxLength: 60 }), (bytes) => {
      // 92 a1 74: a message has begun, so that no other protocol is in question.
      judge(joined(hex('92a174'), bytes), [])
    }),
    { numRuns: 5000 }
  )
  t.ok(
    guard.every((byte) => byte === 0xa5),
    'no byte outside the tables was written'
  )
  t.end()
})
