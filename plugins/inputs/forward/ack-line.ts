// Step 5. Runs on: ingest.
// Acks of one connection: they leave in the order of its messages, and those that become ready together share one write.
// An ack is `{"ack": <the chunk value, byte for byte>}` and is never split. What the sender may not know when the
// connection ends is handed to the resends. Limit: the messages between read and commit.

import type { Clock } from '../../../src/core/clock.ts'
import type { DurableListener, Resends } from '../../../src/plugin/input.ts'

/** MessagePack map of one key: 81 a3 'ack'. */
const ACK_HEAD = Buffer.from([0x81, 0xa3, 0x61, 0x63, 0x6b])
/** An ack counts as arrived when the connection lives this long after it, or bytes came. */
const CONFIRM_MS = 5000

export interface AckLineOptions {
  readonly clock: Clock
  readonly resends: Resends
  /** `window`: every acked id is remembered; `unconfirmed`: those that the sender may not know; `off`: none. */
  readonly dedupe: 'unconfirmed' | 'window' | 'off'
  /** Writes acks; false: the socket took them into memory and the sender does not read. */
  write(bytes: Buffer, ackCount: number): void
  /** The messages of these acks were given up: the sender has to see an error. */
  reset(): void
  /** No ack is waiting any more. */
  onDrained(): void
}

/** Acks of one run of messages; told once when they are durable. */
export class Ack implements DurableListener {
  readonly tag: Buffer
  /** Ready to be sent: one map per message. */
  readonly bytes: Buffer
  isDurable = false
  /** The resends know of it and are told what becomes of it. */
  isPending = false
  /** Ids that came again and were answered there: nothing is to be remembered of them. */
  #answered: Buffer[] = []
  /** Where the map of each message ends in `bytes`. */
  readonly #ends: readonly number[]
  readonly #line: AckLine

  constructor(line: AckLine, tag: Buffer, acks: AckBytes) {
    this.#line = line
    this.#ends = acks.ends
    this.tag = tag
    this.bytes = acks.bytes
  }

  get count(): number {
    return this.#ends.length
  }

  onDurable(): void {
    this.isDurable = true
    this.#line.onReady(this)
  }

  onRejected(_reason: string, storedIn: readonly string[] = []): void {
    this.#line.onRejected(this, storedIn)
  }

  /** Chunk values of its messages whose sender may not know. */
  ids(): Buffer[] {
    let start = 0
    const ids = this.#ends.map((end) => {
      const id = this.bytes.subarray(start + ACK_HEAD.length, end)
      start = end
      return id
    })
    if (this.#answered.length === 0) return ids
    return ids.filter((id) => !this.#answered.some((each) => each.equals(id)))
  }

  noteAnswered(id: Buffer): void {
    this.#answered.push(id)
  }
}

export class AckLine {
  readonly #options: AckLineOptions
  /** Not written yet, in message order. */
  #waiting: Ack[] = []
  /** Written since the last byte came from the sender. */
  #unconfirmed: Ack[] = []
  #writtenMs = 0
  #isFlushing = false
  #isEnded = false
  #isClosed = false
  readonly #flush = () => this.#writeReady()

  constructor(options: AckLineOptions) {
    this.#options = options
  }

  get isEmpty(): boolean {
    return this.#waiting.length === 0
  }

  /** Takes a place in the line. `tag` is kept. */
  add(tag: Buffer, acks: AckBytes): Ack {
    const ack = new Ack(this, tag, acks)
    this.#waiting.push(ack)
    // A window knows a message before it is durable: its sender may send it again on a second connection.
    const { dedupe } = this.#options
    if (dedupe === 'window' || (dedupe === 'unconfirmed' && this.#isEnded)) this.#setPending(ack)
    return ack
  }

  /** Bytes came from the sender: it lives, and so do the acks that were sent before. */
  onRead(): void {
    if (this.#unconfirmed.length > 0) this.#unconfirmed = []
  }

  /**
   * The sender ended its half: it may wait for its acks, or have given up and send again on another connection, before
   * what it waits for is durable and this one is closed.
   */
  onEnd(): void {
    if (this.#isEnded || this.#options.dedupe !== 'unconfirmed') return
    this.#isEnded = true
    for (const ack of this.#waiting) if (!ack.isDurable) this.#setPending(ack)
  }

  onReady(ack: Ack): void {
    this.#settle(ack, true)
    if (this.#isClosed) return
    if (!this.#isFlushing && this.#waiting[0] === ack) {
      this.#isFlushing = true
      queueMicrotask(this.#flush)
    }
  }

  /** `storedIn`: logs that have its messages; they need them no second time. */
  onRejected(ack: Ack, storedIn: readonly string[]): void {
    const { dedupe, resends } = this.#options
    this.#settle(ack, false)
    if (dedupe !== 'off' && storedIn.length > 0) {
      for (const id of ack.ids()) resends.addStored(ack.tag, id, storedIn)
    }
    if (this.#isClosed) return
    this.#waiting = this.#waiting.filter((other) => other !== ack)
    this.#options.reset()
  }

  /** The connection is gone. */
  close(unwrittenBytes: number): void {
    if (this.#isClosed) return
    this.#isClosed = true
    if (this.#options.dedupe === 'unconfirmed') this.#handOver(unwrittenBytes)
    this.#waiting = []
    this.#unconfirmed = []
  }

  /** What the sender may not know. */
  #handOver(unwrittenBytes: number): void {
    const { clock } = this.#options
    const isRecent = clock.monotonicMs() - this.#writtenMs < CONFIRM_MS
    if (isRecent || unwrittenBytes > 0) for (const ack of this.#unconfirmed) this.#setStored(ack)
    for (const ack of this.#waiting) {
      if (ack.isDurable) this.#setStored(ack)
      else if (!ack.isPending) this.#setPending(ack)
    }
  }

  #setStored(ack: Ack): void {
    for (const id of ack.ids()) this.#options.resends.addStored(ack.tag, id, null)
  }

  #setPending(ack: Ack): void {
    ack.isPending = true
    for (const id of ack.ids()) this.#options.resends.addPending(ack.tag, id)
  }

  #settle(ack: Ack, isStored: boolean): void {
    if (!ack.isPending) return
    ack.isPending = false
    const { dedupe, resends } = this.#options
    for (const id of ack.ids()) {
      const isAnswered = resends.settle(ack.tag, id, isStored, dedupe === 'window')
      if (isAnswered) ack.noteAnswered(id)
    }
  }

  #writeReady(): void {
    this.#isFlushing = false
    if (this.#isClosed) return
    let readyCount = 0
    let ackCount = 0
    for (const ack of this.#waiting) {
      if (!ack.isDurable) break
      readyCount++
      ackCount += ack.count
    }
    if (readyCount === 0) return
    const ready = this.#waiting.splice(0, readyCount)
    this.#remember(ready)
    const first = ready[0]
    const bytes =
      readyCount === 1 && first !== undefined ? first.bytes : Buffer.concat(ready.map(bytesOf))
    this.#options.write(bytes, ackCount)
    if (this.#waiting.length === 0) this.#options.onDrained()
  }

  #remember(ready: readonly Ack[]): void {
    if (this.#options.dedupe !== 'unconfirmed') return
    this.#writtenMs = this.#options.clock.monotonicMs()
    this.#unconfirmed.push(...ready)
  }
}

const bytesOf = (ack: Ack): Buffer => ack.bytes

export interface AckBytes {
  readonly bytes: Buffer
  readonly ends: readonly number[]
}

/** Puts acks together; `ids` are read during the call. */
export function ackBytes(ids: readonly Uint8Array[]): AckBytes {
  let byteCount = 0
  for (const id of ids) byteCount += ACK_HEAD.length + id.length
  const bytes = Buffer.allocUnsafe(byteCount)
  const ends: number[] = []
  let at = 0
  for (const id of ids) {
    bytes.set(ACK_HEAD, at)
    bytes.set(id, at + ACK_HEAD.length)
    at += ACK_HEAD.length + id.length
    ends.push(at)
  }
  return { bytes, ends }
}
