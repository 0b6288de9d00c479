import fc from 'fast-check'
import t from 'tap'
import {
  carriedBytes,
  decodeCarry,
  encodeCarry,
  isConsecutive,
  isWhole,
  joinedText,
  type OpenGroup
} from '../../src/steps/open-group.ts'

const bytes = fc.uint8Array({ maxLength: 40 }).map((array) => Buffer.from(array))
const latin1 = bytes.map((each) => each.toString('latin1'))
const group: fc.Arbitrary<OpenGroup> = fc
  .record({
    streamKey: latin1,
    partialId: fc.option(latin1, { nil: null }),
    firstEntry: bytes,
    form: fc.constantFrom(1 as const, 2 as const),
    tag: bytes,
    source: bytes,
    firstArrivalMs: fc.nat(2 ** 31),
    lastArrivalMs: fc.nat(2 ** 31),
    lastOrdinal: fc.nat(10),
    parts: fc.array(fc.record({ ordinal: fc.integer({ min: 1, max: 9 }), text: bytes }), {
      minLength: 1,
      maxLength: 5
    }),
    members: fc.array(
      fc.record({ epoch: fc.nat(2 ** 31), offset: fc.maxSafeNat().map((n) => n % 2 ** 48) }),
      { minLength: 1, maxLength: 5 }
    )
  })
  .map((each) => ({
    ...each,
    textBytes: each.parts.reduce((sum, part) => sum + part.text.length, 0)
  }))

t.test(
  'groups cross from task to task unchanged, in as many bytes as they are counted with',
  (t) => {
    fc.assert(
      fc.property(fc.array(group, { maxLength: 4 }), (groups) => {
        const carry = encodeCarry(groups)
        t.same(decodeCarry(carry), groups)
        const counted = groups.reduce((sum, each) => sum + carriedBytes(each), 0)
        t.equal(carry?.length ?? 4, 4 + counted)
      }),
      { numRuns: 50 }
    )
    t.end()
  }
)

t.test('no open group is no carry; a carry that was cut is a broken invariant', (t) => {
  t.equal(encodeCarry([]), null)
  t.strictSame(decodeCarry(null), [])
  const carry = encodeCarry([
    {
      streamKey: 'a',
      partialId: null,
      firstEntry: Buffer.from('entry'),
      form: 1,
      tag: Buffer.from('tag'),
      source: Buffer.alloc(0),
      firstArrivalMs: 1,
      lastArrivalMs: 2,
      textBytes: 1,
      lastOrdinal: 0,
      parts: [{ ordinal: 1, text: Buffer.from('x') }],
      members: [{ epoch: 1, offset: 2 }]
    }
  ])
  t.throws(() => decodeCarry(carry!.subarray(0, carry!.length - 14)))
  t.end()
})

t.test('a line is whole from part one to the last, without a gap', (t) => {
  const of = (ordinals: readonly number[], lastOrdinal: number): OpenGroup => ({
    streamKey: '',
    partialId: 'p',
    firstEntry: Buffer.alloc(0),
    form: 1,
    tag: Buffer.alloc(0),
    source: Buffer.alloc(0),
    firstArrivalMs: 0,
    lastArrivalMs: 0,
    textBytes: 0,
    lastOrdinal,
    parts: ordinals.map((ordinal) => ({ ordinal, text: Buffer.from(String(ordinal)) })),
    members: [{ epoch: 1, offset: 0 }]
  })
  t.ok(isWhole(of([1, 3, 2], 3)))
  t.equal(joinedText(of([1, 3, 2], 3)).toString(), '123')
  t.notOk(isWhole(of([1, 3], 3)))
  t.notOk(isWhole(of([1, 2], 0)))
  t.notOk(isWhole(of([2, 3], 3)))
  t.notOk(isWhole(of([1, 2, 3], 2)), 'a part behind the last is no part of the line')
  t.ok(isConsecutive(of([3, 2], 0)))
  t.notOk(isConsecutive(of([3, 1], 0)))
  t.end()
})
