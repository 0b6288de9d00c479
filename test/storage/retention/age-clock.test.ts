import t from 'tap'
import type { Clock } from '../../../src/core/clock.ts'
import { AGE_PAUSE_MS, AgeClock } from '../../../src/storage/retention/age-clock.ts'

const SECOND_MS = 1000
const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS
const YEARS_MS = 3650 * DAY_MS

/** Wall clock and monotonic clock that go apart when told. */
class TwoClocks implements Clock {
  wallMs = 1_700_000_000_000
  uptimeMs = 5000

  nowMs(): number {
    return this.wallMs
  }

  monotonicMs(): number {
    return this.uptimeMs
  }

  pass(byMs: number): void {
    this.wallMs += byMs
    this.uptimeMs += byMs
  }

  jump(byMs: number): void {
    this.wallMs += byMs
  }

  after(): () => void {
    return () => {}
  }

  sleep(): Promise<void> {
    return Promise.resolve()
  }
}

function setUp() {
  const clock = new TwoClocks()
  return { clock, ages: new AgeClock(clock) }
}

t.test('records grow old as time passes', (t) => {
  const { ages, clock } = setUp()
  const appendMs = clock.nowMs()
  clock.pass(DAY_MS)
  t.equal(ages.look(), 0)
  t.equal(ages.ageMs(appendMs), DAY_MS)
  t.notOk(ages.isPaused)
  t.end()
})

t.test('Q31 a jump of +10 years makes no record older, before it or after it', (t) => {
  const { ages, clock } = setUp()
  const before = clock.nowMs()
  clock.pass(HOUR_MS)
  clock.jump(YEARS_MS)
  const after = clock.nowMs()
  t.equal(ages.ageMs(before), HOUR_MS, 'even before the look of the second')
  t.equal(ages.look(), YEARS_MS)
  t.equal(ages.look(), 0, 'told once')
  t.ok(ages.isPaused)
  t.equal(ages.jumpCount, 1)
  clock.pass(2 * HOUR_MS)
  t.notOk(ages.isPaused, `nothing is dropped for ${AGE_PAUSE_MS} ms, then ages are right`)
  t.equal(ages.ageMs(before), 3 * HOUR_MS)
  t.equal(ages.ageMs(after), 2 * HOUR_MS)
  t.end()
})

t.test('Q31 a jump of -1 day makes records younger at most, and so does its correction', (t) => {
  const { ages, clock } = setUp()
  const before = clock.nowMs()
  clock.pass(HOUR_MS)
  clock.jump(-DAY_MS)
  const within = clock.nowMs()
  t.equal(ages.look(), -DAY_MS)
  t.ok(ages.isPaused)
  clock.pass(HOUR_MS)
  t.ok(ages.ageMs(before) <= 2 * HOUR_MS)
  t.equal(ages.ageMs(within), HOUR_MS)
  clock.jump(DAY_MS)
  t.equal(ages.look(), DAY_MS)
  t.ok(ages.ageMs(before) <= 2 * HOUR_MS)
  t.equal(ages.ageMs(within), HOUR_MS, 'not a day older by the correction')
  t.equal(ages.ageMs(clock.nowMs()), 0)
  t.end()
})

t.test('Q31 a jump that is taken back leaves ages as they were', (t) => {
  const { ages, clock } = setUp()
  const before = clock.nowMs()
  clock.jump(YEARS_MS)
  ages.look()
  clock.pass(HOUR_MS)
  clock.jump(-YEARS_MS)
  t.equal(ages.look(), -YEARS_MS)
  clock.pass(HOUR_MS)
  t.equal(ages.ageMs(before), 2 * HOUR_MS)
  t.end()
})

t.test('an adjustment of the clock is no jump', (t) => {
  const { ages, clock } = setUp()
  const before = clock.nowMs()
  clock.jump(HOUR_MS)
  t.equal(ages.look(), 0)
  t.equal(ages.ageMs(before), HOUR_MS)
  clock.jump(SECOND_MS)
  t.equal(ages.look(), HOUR_MS + SECOND_MS, 'what adds up to more than an hour is one')
  t.equal(ages.ageMs(before), 0)
  t.end()
})

t.test('Q31 through a restart: time that nobody can vouch for is no age', (t) => {
  const { ages, clock } = setUp()
  const newest = clock.nowMs() - YEARS_MS
  t.equal(ages.began(newest), YEARS_MS)
  t.equal(ages.ageMs(newest), 0)
  t.equal(ages.ageMs(newest - HOUR_MS), HOUR_MS, 'what was old before is')
  clock.pass(DAY_MS)
  t.equal(ages.ageMs(newest), DAY_MS, 'from the start on it ages')
  t.equal(ages.ageMs(clock.nowMs() - HOUR_MS), HOUR_MS)
  clock.jump(-YEARS_MS)
  ages.look()
  t.equal(ages.ageMs(newest), DAY_MS, 'the clock of the start was wrong, and is set right')
  t.end()
})

t.test('a short stop is age', (t) => {
  const { ages, clock } = setUp()
  t.equal(ages.began(0), 0, 'an empty store')
  t.equal(ages.began(clock.nowMs() - HOUR_MS), 0)
  t.equal(ages.ageMs(clock.nowMs() - HOUR_MS), HOUR_MS)
  t.end()
})

t.test('any number of jumps is remembered in bounded memory, and never too little', (t) => {
  const { ages, clock } = setUp()
  const before = clock.nowMs()
  for (let jump = 0; jump < 100; jump++) {
    clock.pass(SECOND_MS)
    clock.jump(2 * HOUR_MS)
    ages.look()
  }
  t.equal(ages.ageMs(before), 100 * SECOND_MS)
  t.equal(ages.jumpCount, 100)
  t.equal(ages.ageMs(clock.nowMs()), 0)
  t.end()
})
