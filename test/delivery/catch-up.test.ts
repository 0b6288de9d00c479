import t from 'tap'
import { CatchUp } from '../../src/delivery/catch-up.ts'
import { FakeClock } from '../support/fake-clock.ts'

const MIB = 2 ** 20
const RATE = 64 * MIB

/** A bucket, and what comes in. */
function build() {
  const clock = new FakeClock()
  const arrived = { bytes: 0 }
  const catchUp = new CatchUp({ clock, bytesPerSecond: RATE, arrivedBytes: () => arrived.bytes })
  /** Reads tasks of 1 MiB for so long as the limit allows; gives bytes read. `perMs` comes in meanwhile. */
  const readFor = (durationMs: number, perMs: number): number => {
    let readBytes = 0
    for (let ms = 0; ms < durationMs; ms++) {
      clock.advance(1)
      arrived.bytes += perMs
      // What the pool can do in a millisecond, not more.
      for (let task = 0; task < 10 && catchUp.waitMs() === 0; task++) {
        catchUp.spend(MIB)
        readBytes += MIB
      }
    }
    return readBytes
  }
  return { catchUp, readFor }
}

t.test('Q36 while records come in a backlog is read at their rate and the limit on top', (t) => {
  const { readFor } = build()
  const perMs = 20_000
  readFor(3000, perMs)
  const read = readFor(10_000, perMs)
  const expected = 10 * (RATE + 1000 * perMs)
  t.ok(Math.abs(read - expected) <= 0.02 * expected, `${read} bytes of ${expected}`)
  t.end()
})

t.test('Q36 tasks as large as they may be do not fall behind what comes in', (t) => {
  const clock = new FakeClock()
  let arrivedBytes = 0
  const rate = MIB
  const catchUp = new CatchUp({ clock, bytesPerSecond: rate, arrivedBytes: () => arrivedBytes })
  const bytesPerMs = 20_000
  const pass = (ms: number) => {
    arrivedBytes += ms * bytesPerMs
    clock.advance(ms)
  }
  let readBytes = 0
  pass(1000)
  catchUp.waitMs()
  const startMs = clock.monotonicMs()
  while (clock.monotonicMs() - startMs < 20_000) {
    const waitMs = catchUp.waitMs()
    pass(waitMs === 0 ? 15 : waitMs)
    if (waitMs > 0) continue
    catchUp.spend(8 * MIB)
    readBytes += 8 * MIB
  }
  const expected = 20 * (rate + 1000 * bytesPerMs)
  t.ok(Math.abs(readBytes - expected) <= 0.05 * expected, `${readBytes} bytes of ${expected}`)
  t.end()
})

t.test('when nothing comes in there is no limit, and no debt is left from before', (t) => {
  const { catchUp, readFor } = build()
  readFor(3000, 20_000)
  readFor(2000, 0)
  t.equal(readFor(1000, 0), 10_000 * MIB, 'as fast as the pool can')
  t.equal(catchUp.waitMs(), 0)
  t.end()
})

t.test('the wait ends when the debt is paid', (t) => {
  const clock = new FakeClock()
  let arrivedBytes = 0
  const catchUp = new CatchUp({ clock, bytesPerSecond: RATE, arrivedBytes: () => arrivedBytes })
  clock.advance(1000)
  arrivedBytes += MIB
  t.equal(catchUp.waitMs(), 0)
  catchUp.spend(RATE)
  let waitedMs = 0
  for (let waitMs = catchUp.waitMs(); waitMs > 0; waitMs = catchUp.waitMs()) {
    t.ok(waitMs <= 20, 'arrivals may pay it sooner')
    clock.advance(waitMs)
    waitedMs += waitMs
  }
  // A quarter of a second was saved up.
  t.equal(waitedMs, 750)
  t.end()
})
