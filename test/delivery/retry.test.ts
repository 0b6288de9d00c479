import fc from 'fast-check'
import t from 'tap'
import { DEFAULT_RETRY, retryDelayMs } from '../../src/delivery/retry.ts'
import { Slots } from '../../src/delivery/slots.ts'
import { judge } from '../../src/delivery/verdicts.ts'
import type { Verdict } from '../../src/plugin/output.ts'

t.test('waits double up to the ceiling, with jitter, and never are zero', (t) => {
  t.equal(
    retryDelayMs(DEFAULT_RETRY, 1, () => 1),
    1000
  )
  t.equal(
    retryDelayMs(DEFAULT_RETRY, 4, () => 1),
    8000
  )
  t.equal(
    retryDelayMs(DEFAULT_RETRY, 4000, () => 1),
    60_000
  )
  t.equal(
    retryDelayMs(DEFAULT_RETRY, 1, () => 0),
    100
  )
  t.equal(
    retryDelayMs(DEFAULT_RETRY, 1, () => 0, 7000),
    7000
  )
  t.equal(
    retryDelayMs(DEFAULT_RETRY, 1, () => 0, 1e9),
    60_000
  )
  t.end()
})

t.test('every row of every outcome has exactly one fate', (t) => {
  const verdict: fc.Arbitrary<Verdict> = fc.oneof(
    fc.record({ kind: fc.constant('stored' as const), duplicate: fc.boolean() }),
    fc.constant({ kind: 'retry' as const, reason: '429' }),
    fc.constant({ kind: 'park' as const, reason: '403' }),
    fc.constant({ kind: 'refuse' as const, reason: 'mapping' })
  )
  fc.assert(
    fc.property(fc.array(verdict, { minLength: 1, maxLength: 30 }), (verdicts) => {
      const { stored, duplicates, refused, retry } = judge(
        { kind: 'rows', verdicts },
        verdicts.length
      )
      const again = retry ?? verdicts.map((_, row) => row)
      const all = [...stored, ...duplicates, ...refused.map(({ row }) => row), ...again]
      t.same(
        all.sort((one, other) => one - other),
        verdicts.map((_, row) => row)
      )
    })
  )
  t.end()
})

t.test('slots are handed out once and given back once, waiters in turn', (t) => {
  const slots = new Slots(2, 64)
  const one = slots.take()
  const two = slots.take()
  t.ok(one !== null && two !== null && one.startByte !== two.startByte)
  t.equal(slots.take(), null)
  const woken: string[] = []
  slots.whenFree(() => woken.push('first'))
  slots.whenFree(() => woken.push('second'))
  if (one !== null) slots.give(one)
  t.same(woken, ['first'])
  t.equal(slots.inUse, 1)
  t.throws(() => one !== null && slots.give(one), /given back twice/)
  t.end()
})
