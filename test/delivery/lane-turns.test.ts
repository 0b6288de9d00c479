import t from 'tap'
import { CatchUp } from '../../src/delivery/catch-up.ts'
import { LaneTurns } from '../../src/delivery/lane-turns.ts'
import { type Slot, Slots } from '../../src/delivery/slots.ts'
import { FakeClock } from '../support/fake-clock.ts'

const MIB = 2 ** 20

interface Setup {
  readonly slots: Slots
  readonly clock: FakeClock
  readonly turns: LaneTurns
  /** Bytes that came in. */
  readonly arrived: { bytes: number }
}

function build(slotCount: number): Setup {
  const slots = new Slots(slotCount, 16)
  const clock = new FakeClock()
  const arrived = { bytes: 0 }
  const catchUp = new CatchUp({ clock, bytesPerSecond: MIB, arrivedBytes: () => arrived.bytes })
  return { slots, clock, arrived, turns: new LaneTurns(slots, clock, catchUp) }
}

/** A lane that always has another task of `taskBytes`, and what it does when it gets a slot. */
class Worker {
  readonly held: Slot[] = []
  readonly #turn: ReturnType<LaneTurns['lane']>
  readonly #log: (worker: Worker) => void
  readonly taskBytes: number

  constructor(turns: LaneTurns, taskBytes: number, log: (worker: Worker) => void) {
    this.#turn = turns.lane()
    this.taskBytes = taskBytes
    this.#log = log
  }

  /** Asks as a lane does: takes a slot, or waits for one. */
  ask(): void {
    const slot = this.#turn.take()
    if (slot === null) {
      this.#turn.whenFree(() => this.ask())
      return
    }
    this.#turn.forget(() => {})
    this.held.push(slot)
    this.#turn.charge(this.taskBytes, false)
    this.#log(this)
  }

  finish(): void {
    const slot = this.held.shift()
    if (slot !== undefined) this.#turn.give(slot)
  }

  leave(): void {
    this.#turn.forget(() => {})
  }
}

t.test(
  "Q38 a tenant with 50 times the bytes gets a lane's share: the others go in between",
  (t) => {
    const { turns } = build(1)
    const order: Worker[] = []
    const noisy = new Worker(turns, 50 * 16_384, (worker) => order.push(worker))
    const quiet = Array.from({ length: 7 }, () => new Worker(turns, 16_384, (w) => order.push(w)))
    const all = [noisy, ...quiet]
    for (const worker of all) worker.ask()
    for (let turn = 0; turn < 400; turn++) {
      const owner = all.find(({ held }) => held.length > 0)
      // Everybody wants more at once; the slot comes back last.
      owner?.ask()
      owner?.finish()
    }
    // Between two tasks of a quiet lane at most one of the noisy one stands.
    for (const worker of quiet) {
      const turnsOf = order.flatMap((each, at) => (each === worker ? [at] : []))
      t.ok(turnsOf.length > 20, `${turnsOf.length} turns`)
      for (const [i, at] of turnsOf.entries()) {
        const before = turnsOf[i - 1] ?? at
        const between = order.slice(before + 1, at).filter((each) => each === noisy)
        t.ok(between.length <= 1, `${between.length} tasks of the noisy lane between two`)
      }
    }
    const bytesOf = (worker: Worker) =>
      order.filter((each) => each === worker).length * worker.taskBytes
    const shares = quiet.map((worker) => bytesOf(worker))
    t.ok(bytesOf(noisy) <= 3 * Math.max(...shares) + 2 * MIB, 'bytes, not tasks, are shared')
    t.end()
  }
)

t.test('a lane that had the destination for itself owes nothing later', (t) => {
  const { turns } = build(1)
  const order: string[] = []
  const long = new Worker(turns, 8 * MIB, () => order.push('long'))
  for (let turn = 0; turn < 100; turn++) {
    long.ask()
    long.finish()
  }
  const late = new Worker(turns, 8 * MIB, () => order.push('late'))
  order.length = 0
  long.ask()
  late.ask()
  for (let turn = 0; turn < 20; turn++) {
    const owner = long.held.length > 0 ? long : late
    owner.ask()
    owner.finish()
  }
  const count = (name: string) => order.filter((each) => each === name).length
  t.ok(Math.abs(count('long') - count('late')) <= 2, order.join(' '))
  t.end()
})

t.test('a destination waits for slots as one, however many lanes it has', (t) => {
  const slots = new Slots(1, 16)
  const clock = new FakeClock()
  const turnsOf = () =>
    new LaneTurns(slots, clock, new CatchUp({ clock, bytesPerSecond: MIB, arrivedBytes: () => 0 }))
  const order: string[] = []
  const [many, single] = [turnsOf(), turnsOf()]
  const lanes = Array.from({ length: 8 }, () => new Worker(many, 100, () => order.push('many')))
  const alone = new Worker(single, 100, () => order.push('single'))
  const all = [...lanes, alone]
  for (const worker of all) worker.ask()
  for (let turn = 0; turn < 40; turn++) {
    const owner = all.find(({ held }) => held.length > 0)
    owner?.ask()
    owner?.finish()
  }
  const singles = order.filter((name) => name === 'single').length
  t.ok(singles >= order.length / 2 - 2, `${singles} of ${order.length}`)
  t.end()
})

t.test('a granted slot that is not taken goes to the next lane', (t) => {
  const { slots, turns } = build(1)
  const first = turns.lane()
  const second = turns.lane()
  const third = turns.lane()
  const slot = first.take()
  let secondCalls = 0
  let thirdCalls = 0
  second.whenFree(() => secondCalls++)
  third.whenFree(() => thirdCalls++)
  first.give(slot!)
  t.same([secondCalls, thirdCalls], [1, 0])
  t.equal(first.take(), null, 'it is kept for the second')
  second.forget(() => {})
  t.same([secondCalls, thirdCalls], [1, 1])
  t.not(third.take(), null)
  t.equal(slots.inUse, 1)
  t.end()
})

t.test('a lane far behind waits for the limit, one at the tail does not', (t) => {
  const { arrived, clock, slots, turns } = build(2)
  const comesIn = (ms: number) => {
    arrived.bytes += 200 * ms
    clock.advance(ms)
  }
  const behind = turns.lane()
  const live = turns.lane()
  comesIn(1000)
  const slot = behind.take()
  // More than may be saved up: a task.
  behind.charge(12 * MIB, true)
  behind.give(slot!)
  t.equal(behind.take(), null)
  let isCalled = false
  behind.whenFree(() => {
    isCalled = true
  })
  const other = live.take()
  t.not(other, null, 'slots are free, and the lane at the tail gets one')
  live.charge(100, false)
  live.give(other!)
  for (let ms = 0; ms < 1000; ms++) comesIn(1)
  t.notOk(isCalled)
  for (let ms = 0; ms < 4000; ms++) comesIn(1)
  t.ok(isCalled, 'the debt is paid')
  const again = behind.take()
  t.not(again, null)
  behind.give(again!)
  t.equal(slots.inUse, 0)
  t.end()
})

/** Slots of a lane until it gets no more. */
function takeAll(turn: ReturnType<LaneTurns['lane']>): Slot[] {
  const taken: Slot[] = []
  for (let slot = turn.take(); slot !== null; slot = turn.take()) taken.push(slot)
  return taken
}

t.test('a backfill has its share while others have work, all but one slot when not', (t) => {
  const slots = new Slots(10, 16)
  const clock = new FakeClock()
  const catchUp = new CatchUp({ clock, bytesPerSecond: MIB, arrivedBytes: () => 0 })
  const turns = new LaneTurns(slots, clock, catchUp, 0.3)
  const [live, old, older] = [turns.lane(), turns.lane(), turns.lane()]
  live.setRole('live')
  old.setRole('backfill')
  older.setRole('backfill')
  const alone = takeAll(old)
  t.equal(alone.length, 9, 'one slot is left for what comes')
  const first = live.take()
  t.not(first, null)
  let calls = 0
  old.whenFree(() => calls++)
  for (const slot of alone.slice(3)) old.give(slot)
  t.equal(calls, 0, 'over its share')
  t.equal(older.take(), null, 'which backfills have in common')
  old.give(alone[0]!)
  t.equal(calls, 1)
  t.not(old.take(), null)
  let again = 0
  old.whenFree(() => again++)
  t.equal(clock.timerCount, 0, 'nobody looks for the share: it is told')
  live.give(first!)
  t.equal(again, 1, 'the live lane has no work')
  old.forget(() => {})
  t.equal(slots.inUse, 3)
  t.end()
})

t.test('a backfill gets a slot of one, and a share that comes to none', (t) => {
  const slots = new Slots(1, 16)
  const clock = new FakeClock()
  const catchUp = new CatchUp({ clock, bytesPerSecond: MIB, arrivedBytes: () => 0 })
  const turns = new LaneTurns(slots, clock, catchUp, 0.05)
  const [live, old] = [turns.lane(), turns.lane()]
  live.setRole('live')
  old.setRole('backfill')
  const slot = live.take()
  let calls = 0
  old.whenFree(() => calls++)
  live.give(slot!)
  t.equal(calls, 1)
  t.not(old.take(), null)
  t.end()
})

t.test('a live lane is not held by the catch-up limit, the backfill beside it is', (t) => {
  const { arrived, clock, turns } = build(4)
  const [live, old] = [turns.lane(), turns.lane()]
  old.setRole('backfill')
  live.charge(MIB, true)
  live.setRole('live')
  for (let ms = 0; ms < 1000; ms++) {
    arrived.bytes += 200
    clock.advance(1)
  }
  live.charge(100 * MIB, true)
  const slot = live.take()
  t.not(slot, null)
  old.charge(100 * MIB, true)
  t.equal(old.take(), null)
  live.give(slot!)
  t.not(live.take(), null)
  t.end()
})
