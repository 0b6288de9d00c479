// Step 6. Runs on: main.
// Slots of shared memory that pool threads render into and clients send from. A slot is free again only when every body
// in it is settled: the response is complete or the socket is closed. One set per output, shared by its routes.

import { invariant } from '../core/invariant.ts'
import { sharedMemory } from '../kernel/memory-copy.ts'

export interface Slot {
  readonly index: number
  readonly startByte: number
  readonly byteCount: number
  readonly bytes: Buffer
}

export class Slots {
  /** Shared; a memory of WebAssembly, so that pool threads copy to it at full speed (kernel/memory-copy.ts). */
  readonly memory: WebAssembly.Memory
  readonly #free: Slot[]
  readonly #slotCount: number
  /** Flights that wait, by slot. */
  readonly #stuck = new Map<Slot, number>()
  /** In the order of asking; who asks again keeps its place. */
  readonly #waiting = new Set<() => void>()

  /** Untouched pages of a slot cost no memory. */
  constructor(slotCount: number, slotBytes: number) {
    this.memory = sharedMemory(slotCount * slotBytes)
    this.#slotCount = slotCount
    this.#free = Array.from({ length: slotCount }, (_, index) => ({
      index,
      startByte: index * slotBytes,
      byteCount: slotBytes,
      bytes: Buffer.from(this.memory.buffer, index * slotBytes, slotBytes)
    })).reverse()
  }

  get inUse(): number {
    return this.#slotCount - this.#free.length
  }

  get hasFree(): boolean {
    return this.#free.length > 0
  }

  get count(): number {
    return this.#slotCount
  }

  /** Slots with a body that waits for its next try, or behind such a body. */
  get stuckCount(): number {
    return this.#stuck.size
  }

  /** A body in the slot begins or ends to wait. */
  noteStuck(slot: Slot, by: 1 | -1): void {
    const count = (this.#stuck.get(slot) ?? 0) + by
    if (count === 0) this.#stuck.delete(slot)
    else this.#stuck.set(slot, count)
  }

  /** A free slot, or null; then `whenFree` calls back. */
  take(): Slot | null {
    return this.#free.pop() ?? null
  }

  give(slot: Slot): void {
    invariant(!this.#free.includes(slot), `slot ${slot.index} was given back twice`)
    this.#free.push(slot)
    this.pass()
  }

  /** A free slot is for the next one that waits: first come, first served, so two routes of one output take turns. */
  pass(): void {
    const [next] = this.#waiting
    if (next === undefined || this.#free.length === 0) return
    this.#waiting.delete(next)
    next()
  }

  /** Calls back once, at the next slot that is given back. The same function waits only once. */
  whenFree(callback: () => void): void {
    this.#waiting.add(callback)
  }

  /** The callback is not wanted any more; its turn goes to the next. */
  forget(callback: () => void): void {
    this.#waiting.delete(callback)
  }
}
