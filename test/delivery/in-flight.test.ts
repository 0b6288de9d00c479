import t from 'tap'
import type { BodyFlight } from '../../src/delivery/body-flight.ts'
import { InFlight } from '../../src/delivery/in-flight.ts'

/** A flight that is busy with the offsets until `land`. */
function flightOf(busyOffsets: readonly [number, number] | null) {
  const { promise, resolve } = Promise.withResolvers<void>()
  // Only what InFlight reads of a flight.
  const flight = { busyOffsets, run: () => promise } as unknown as BodyFlight
  return { flight, land: resolve }
}

t.test('offsets are out of reach while a request of theirs is out', async (t) => {
  const inFlight = new InFlight()
  const late = flightOf([30, 40])
  const early = flightOf([10, 20])
  const waiting = flightOf(null)
  const runs = [late, early, waiting].map(({ flight }) => inFlight.run(flight))
  t.same(inFlight.within(0, 100), [
    [10, 20],
    [30, 40]
  ])
  t.same(inFlight.within(20, 30), [])
  t.same(inFlight.within(19, 31).length, 2)
  for (const { land } of [late, early, waiting]) land()
  await Promise.all(runs)
  t.same(inFlight.within(0, 100), [])
})

t.test(
  'offsets are out of reach while their dead letters are written, or fail to be',
  async (t) => {
    const inFlight = new InFlight()
    const { promise, reject } = Promise.withResolvers<void>()
    const settled = inFlight.whileSettling([7, 3, 5], () => promise)
    t.same(inFlight.within(0, 4), [[3, 8]])
    reject(new Error('no room'))
    await t.rejects(settled)
    t.same(inFlight.within(0, 100), [])
  }
)
