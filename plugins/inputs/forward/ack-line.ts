// Step 5. Runs on: ingest.
// Acks of one connection: they leave in the order of its messages, and those that become ready together share one write.
// An ack is `{"ack": <the chunk value, byte for byte>}` and is never split. What the sender may not know when the
// connection ends is handed to the resends. Limit: the messages between read and commit.

import type { Clock } from '../../../src/core/clock.ts'
import { type DurableListener, type Resends, resendKey } from '../../../src/plugin/input.ts'

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
  /** Keys handed to the resends when the connection ended before it was durable. */
  pendingKeys: readonly string[] = []
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

  onRejected(): void {
    this.#line.onRejected(this)
  }

  /** Keys of its messages. */
  keys(): string[] {
    let start = 0
    return this.#ends.map((end) => {
      const key = resendKey(this.tag, this.bytes.subarray(start + ACK_HEAD.length, end))
      start = end
      return key
    })
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
    return ack
  }

  /** Bytes came from the sender: it lives, and so do the acks that were sent before. */
  onRead(): void {
    if (this.#unconfirmed.length > 0) this.#unconfirmed = []
  }

  onReady(ack: Ack): void {
    if (this.#isClosed) this.#settle(ack, true)
    else if (!this.#isFlushing && this.#waiting[0] === ack) {
      this.#isFlushing = true
      queueMicrotask(this.#flush)
    }
  }

  onRejected(ack: Ack): void {
    if (this.#isClosed) {
      this.#settle(ack, false)
      return
    }
    this.#waiting = this.#waiting.filter((other) => other !== ack)
    this.#options.reset()
  }

  /** The connection is gone. */
  close(unwrittenBytes: number): void {
    if (this.#isClosed) return
    this.#isClosed = true
    const { clock, dedupe, resends } = this.#options
    if (dedupe === 'off') return
    const isRecent = clock.monotonicMs() - this.#writtenMs < CONFIRM_MS
    if (dedupe === 'unconfirmed' && (isRecent || unwrittenBytes > 0)) {
      for (const ack of this.#unconfirmed) for (const key of ack.keys()) resends.addStored(key)
    }
    for (const ack of this.#waiting) {
      if (ack.isDurable) {
        for (const key of ack.keys()) resends.addStored(key)
      } else {
        ack.pendingKeys = ack.keys()
        for (const key of ack.pendingKeys) resends.addPending(key)
      }
    }
    this.#waiting = []
    this.#unconfirmed = []
  }

  #settle(ack: Ack, isStored: boolean): void {
    for (const key of ack.pendingKeys) this.#options.resends.settle(key, isStored)
    ack.pendingKeys = []
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
    const { clock, dedupe, resends } = this.#options
    if (dedupe === 'unconfirmed') {
      this.#writtenMs = clock.monotonicMs()
      this.#unconfirmed.push(...ready)
    } else if (dedupe === 'window') {
      for (const ack of ready) for (const key of ack.keys()) resends.addStored(key)
    }
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
