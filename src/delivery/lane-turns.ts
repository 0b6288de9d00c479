// Step 6. Runs on: main.
// Which lane of a destination gets the next slot: a deficit round robin over bytes. However many lanes a destination has,
// it waits for slots of its output as one, so lanes take nothing from other routes; among the lanes, one with a flood
// waits for those with little. A lane that reads far behind waits for the catch-up limit too, the others do not. Backfills
// share some of the slots while other lanes have work, and leave one free when they have none.
// Invariant: a slot that is granted is kept for its lane until the lane takes it or gives its place up.

import type { CancelTimer, Clock } from '../core/clock.ts'
import { invariant } from '../core/invariant.ts'
import { TASK_INPUT_BYTES_MAX } from '../core/limits.ts'
import type { CatchUp } from './catch-up.ts'
import type { Slot, Slots } from './slots.ts'

/** Slots as a lane sees them. */
export type SlotSource = Pick<Slots, 'take' | 'give' | 'whenFree' | 'forget'>

/** What each lane may use of a round, bytes; no lane saves up more. */
const QUANTUM_BYTES = 1024 * 1024

/** `live`: reads the newest records beside a `backfill` of the same shard. */
export type LaneRole = 'only' | 'live' | 'backfill'

/** One lane: its view of the slots, and what its tasks cost. */
export interface LaneTurn extends SlotSource {
  /** A task was cut. `isBehind`: it reads far behind the visible end. */
  charge(byteCount: number, isBehind: boolean): void
  setRole(role: LaneRole): void
  /** The lane has ended; it asks for no slot any more. */
  leave(): void
}

interface Member {
  /** Bytes that it may use before others; below zero: others come first. */
  deficitBytes: number
  isBehind: boolean
  role: LaneRole
  /** Slots that it has, a granted one among them. */
  heldCount: number
  /** Called when a slot is granted; null: it does not wait. */
  onTurn: (() => void) | null
  granted: Slot | null
}

export class LaneTurns {
  readonly #slots: Slots
  readonly #clock: Clock
  readonly #catchUp: CatchUp
  /** Of the slots, for backfills. */
  readonly #backfillShare: number
  readonly #members: Member[] = []
  /** Whose turn it is when several may go. */
  #next = 0
  #cancelTimer: CancelTimer | null = null
  readonly #onSlot = () => {
    if (!this.#grant()) this.#slots.pass()
  }

  constructor(slots: Slots, clock: Clock, catchUp: CatchUp, backfillShare = 1) {
    this.#backfillShare = backfillShare
    this.#slots = slots
    this.#clock = clock
    this.#catchUp = catchUp
  }

  /** One more lane. */
  lane(): LaneTurn {
    const member: Member = {
      deficitBytes: 0,
      isBehind: false,
      role: 'only',
      heldCount: 0,
      onTurn: null,
      granted: null
    }
    this.#members.push(member)
    return {
      take: () => this.#take(member),
      give: (slot) => this.#give(member, slot),
      whenFree: (callback) => this.#wait(member, callback),
      forget: () => this.#forget(member),
      charge: (byteCount, isBehind) => this.#charge(member, byteCount, isBehind),
      setRole: (role) => this.#setRole(member, role),
      leave: () => this.#leave(member)
    }
  }

  #take(member: Member): Slot | null {
    const { granted } = member
    if (granted !== null) {
      member.granted = null
      return granted
    }
    if (!this.#mayGo(member)) return null
    const isAlone = !this.#members.some((other) => other !== member && this.#isCandidate(other))
    if (isAlone) return this.#takeFor(member)
    // Others wait: the turn decides, and may decide for this lane.
    const { onTurn } = member
    member.onTurn = onTurn ?? (() => {})
    this.#grant()
    const slot = member.granted
    member.granted = null
    member.onTurn = slot === null ? onTurn : null
    return slot
  }

  #takeFor(member: Member): Slot | null {
    const slot = this.#slots.take()
    if (slot !== null) member.heldCount++
    return slot
  }

  #give(member: Member, slot: Slot): void {
    member.heldCount--
    this.#slots.give(slot)
    this.#shareChanged()
  }

  #setRole(member: Member, role: LaneRole): void {
    member.role = role
    if (role === 'live') member.isBehind = false
    this.#shareChanged()
  }

  /** Backfills that were over their share may be below it now. */
  #shareChanged(): void {
    if (!this.#members.some(({ onTurn, role }) => role === 'backfill' && onTurn !== null)) return
    this.#ask()
    this.#slots.pass()
  }

  #wait(member: Member, callback: () => void): void {
    member.onTurn = callback
    this.#ask()
  }

  #forget(member: Member): void {
    member.onTurn = null
    const { granted } = member
    member.granted = null
    if (granted !== null) {
      member.heldCount--
      this.#slots.give(granted)
    }
    if (!this.#members.some((each) => this.#isCandidate(each))) this.#slots.forget(this.#onSlot)
    this.#shareChanged()
  }

  #leave(member: Member): void {
    this.#forget(member)
    const at = this.#members.indexOf(member)
    if (at < 0) return
    this.#members.splice(at, 1)
    if (this.#next > at) this.#next--
    this.#shareChanged()
  }

  #charge(member: Member, byteCount: number, isBehind: boolean): void {
    member.deficitBytes = Math.max(-TASK_INPUT_BYTES_MAX, member.deficitBytes - byteCount)
    // What is newest is never held, however old it has become.
    member.isBehind = isBehind && member.role !== 'live'
    if (member.isBehind) this.#catchUp.spend(byteCount)
  }

  /** Waits for slots, or for the time at which a lane that is held may go. */
  #ask(): void {
    if (this.#members.some((each) => this.#isCandidate(each))) {
      this.#slots.whenFree(this.#onSlot)
      return
    }
    if (this.#cancelTimer !== null) return
    const isHeld = this.#members.some(({ isBehind, onTurn }) => isBehind && onTurn !== null)
    const waitMs = isHeld ? this.#catchUp.waitMs() : 0
    // Who only waits for its share is asked for when that changes.
    if (waitMs === 0) return
    this.#catchUp.heldMs += waitMs
    this.#cancelTimer = this.#clock.after(waitMs, () => {
      this.#cancelTimer = null
      this.#grant()
    })
  }

  /** Grants free slots to lanes that wait. False: no lane of this destination can use one. */
  #grant(): boolean {
    let isGranted = false
    // Who is picked uses its turn up, so there has to be a slot.
    while (this.#slots.hasFree) {
      const member = this.#pick()
      const slot = member && this.#takeFor(member)
      if (member === null || slot === null) break
      const { onTurn } = member
      invariant(onTurn !== null, 'a slot for a lane that does not wait')
      member.granted = slot
      member.onTurn = null
      isGranted = true
      onTurn()
    }
    if (this.#members.some(({ onTurn }) => onTurn !== null)) this.#ask()
    return isGranted
  }

  /** The lane whose turn it is. */
  #pick(): Member | null {
    const count = this.#members.length
    const candidates = this.#members.filter((each) => this.#isCandidate(each))
    if (candidates.length === 0) return null
    for (;;) {
      for (let step = 0; step < count; step++) {
        const at = (this.#next + step) % count
        const member = this.#members[at]
        if (member === undefined || !candidates.includes(member)) continue
        if (member.deficitBytes < 0) continue
        this.#next = (at + 1) % count
        return member
      }
      for (const member of candidates) {
        member.deficitBytes = Math.min(QUANTUM_BYTES, member.deficitBytes + QUANTUM_BYTES)
      }
    }
  }

  #isCandidate(member: Member): boolean {
    return member.onTurn !== null && this.#mayGo(member)
  }

  #mayGo({ isBehind, role }: Member): boolean {
    if (role === 'backfill' && !this.#hasShareLeft()) return false
    return !isBehind || this.#catchUp.waitMs() === 0
  }

  #hasShareLeft(): boolean {
    let heldCount = 0
    let isOtherBusy = false
    for (const member of this.#members) {
      if (member.role === 'backfill') heldCount += member.heldCount
      else isOtherBusy ||= member.heldCount > 0 || member.onTurn !== null
    }
    const { count } = this.#slots
    const most = isOtherBusy ? Math.floor(count * this.#backfillShare) : count - 1
    return heldCount < Math.max(1, most)
  }
}
