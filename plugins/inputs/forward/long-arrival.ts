// Step 2. Runs on: ingest.
// One message that is too long for memory while it arrives: all of it goes to a spool file. One that is longer than allowed
// is passed over where `on_oversize` says so: only its option is kept, for the ack. Limits: OPTION_BYTES_MAX, one read.

import type { ByteSource } from '../../../src/codec/zstd-frames.ts'
import type { ScanKernel } from '../../../src/kernel/scan-kernel.ts'
import type { SpoolFile, Spools } from '../../../src/plugin/input.ts'
import { type MessageHead, MessageWalk } from './message-walk.ts'

/** An option map is a hundred bytes; the chunk id is at most 4 KiB of it. */
export const OPTION_BYTES_MAX = 1024 * 1024

/** `wait`: nothing more is to be read until `retry` says so. */
export type Arrived = 'more' | 'complete' | 'too_large' | 'wait'

export class LongArrival {
  readonly #walk: MessageWalk
  readonly #spool: SpoolFile | null
  /** Taken from the sender, and the volume had no room for it. */
  readonly #unwritten: Buffer[] = []
  /** What is kept of a message that is passed over. */
  readonly #option: Buffer[] = []
  #optionBytes = 0

  constructor(walk: MessageWalk, spool: SpoolFile | null) {
    this.#walk = walk
    this.#spool = spool
  }

  /** To be stored. `byteCountMax`: longest message. */
  static toSpool(
    kernel: ScanKernel,
    head: MessageHead,
    byteCountMax: number,
    spools: Spools
  ): LongArrival {
    return new LongArrival(new MessageWalk(kernel, head, byteCountMax), spools.open())
  }

  /** To be passed over. */
  static toNowhere(kernel: ScanKernel, head: MessageHead): LongArrival {
    return new LongArrival(new MessageWalk(kernel, head, Number.MAX_SAFE_INTEGER), null)
  }

  /** The same message from here on, its bytes so far forgotten. */
  passedOver(): LongArrival {
    this.#walk.byteCountMax = Number.MAX_SAFE_INTEGER
    return new LongArrival(this.#walk, null)
  }

  get head(): MessageHead {
    return this.#walk.head
  }

  get isPassedOver(): boolean {
    return this.#spool === null
  }

  /** Bytes of the message that came. */
  get byteCount(): number {
    return this.#walk.position
  }

  /** The first bytes, up to where the walk begins, belong to the head. */
  begin(bytes: Buffer): void {
    this.#keep(bytes.subarray(0, this.#walk.position), 0)
  }

  /** `bytes` go on where the last ones were taken up to. */
  take(bytes: Buffer): { readonly takenBytes: number; readonly arrived: Arrived } {
    const startByte = this.#walk.position
    const takenBytes = this.#walk.advance(bytes)
    if (takenBytes === 'wrong') {
      return { takenBytes: this.#walk.position - startByte, arrived: 'too_large' }
    }
    this.#keep(bytes.subarray(0, takenBytes), startByte)
    return { takenBytes, arrived: this.#state }
  }

  /** The volume may have room again. */
  retry(): Arrived {
    const spool = this.#spool
    for (let next = this.#unwritten[0]; next !== undefined; next = this.#unwritten[0]) {
      if (spool === null || !spool.append(next)) break
      this.#unwritten.shift()
    }
    return this.#state
  }

  /** The body as received: from behind its header to its end. Of a complete message. */
  body(): ByteSource {
    const { head, optionStartByte } = this.#walk
    return this.#slice(head.bodyStartByte, optionStartByte)
  }

  whole(): ByteSource {
    return this.#slice(0, this.#walk.position)
  }

  /** Its option, empty when there is none; null: longer than one can be. */
  option(): Buffer | null {
    const { optionEndByte, optionStartByte } = this.#walk
    const byteCount = optionEndByte - optionStartByte
    if (byteCount > OPTION_BYTES_MAX) return null
    if (this.#spool === null) return Buffer.concat(this.#option).subarray(0, byteCount)
    const option = Buffer.allocUnsafe(byteCount)
    if (byteCount > 0) this.#spool.read(option, optionStartByte)
    return option
  }

  close(): void {
    this.#spool?.close()
  }

  get #state(): Arrived {
    if (this.#unwritten.length > 0) return 'wait'
    if (this.#walk.isEnded) return 'complete'
    return this.#spool === null || this.#spool.hasRoom ? 'more' : 'wait'
  }

  #slice(startByte: number, endByte: number): ByteSource {
    const spool = this.#spool
    return {
      byteCount: endByte - startByte,
      read: (into, atByte) => spool?.read(into, startByte + atByte)
    }
  }

  #keep(bytes: Buffer, startByte: number): void {
    if (bytes.length === 0) return
    if (this.#spool !== null) {
      const isWaiting = this.#unwritten.length > 0 || !this.#spool.append(bytes)
      if (isWaiting) this.#unwritten.push(Buffer.from(bytes))
      return
    }
    const { optionStartByte } = this.#walk
    if (optionStartByte < 0 || this.#optionBytes > OPTION_BYTES_MAX) return
    const part = bytes.subarray(Math.max(0, optionStartByte - startByte))
    this.#optionBytes += part.length
    if (part.length > 0) this.#option.push(Buffer.from(part))
  }
}
