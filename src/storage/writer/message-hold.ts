// Step 4. Runs on: ingest.
// The hold that one long message has on a shard, from before its first part until it is durable: parts come over several
// turns of the event loop, nothing else is taken in between, and no copies are kept of what may be 272 MiB. So the message
// is always the last thing in the log: when the disk fails it is cut off and its holder gives it again.

import type { MessageHolder } from './append.ts'
import type { FrameWriter, LogEnd, WriteFailure } from './frame-writer.ts'

interface Held {
  readonly holder: MessageHolder
  /** The log before it. */
  readonly start: LogEnd
  /** Number after its last frame; null: parts are missing. */
  endFrames: number | null
}

export interface MessageHoldOptions {
  readonly frames: FrameWriter
  onFailure(failure: WriteFailure): void
  onReleased(): void
}

export class MessageHold {
  readonly #options: MessageHoldOptions
  #held: Held | null = null

  constructor(options: MessageHoldOptions) {
    this.#options = options
  }

  get isHeld(): boolean {
    return this.#held !== null
  }

  /** Parts of the message are missing. */
  get isOpen(): boolean {
    return this.#held !== null && this.#held.endFrames === null
  }

  /** End of the log before the message; null: there is none. */
  get start(): LogEnd | null {
    return this.#held?.start ?? null
  }

  take(holder: MessageHolder): void {
    this.#held = { holder, start: this.#options.frames.whole, endFrames: null }
  }

  /** Its last part is written. */
  finish(): void {
    if (this.#held !== null) this.#held.endFrames = this.#options.frames.whole.frames
  }

  /** The holder gives up. */
  letGo(): void {
    if (!this.isOpen) return
    this.#held = null
    this.#takeBack()
    this.#options.onReleased()
  }

  /** `isFileGone`: the file is cut by the caller. */
  lose(isFileGone: boolean): void {
    const held = this.#held
    if (held === null) return
    this.#held = null
    if (!isFileGone) this.#takeBack()
    this.#options.frames.forgetFrom(held.start.frames)
    queueMicrotask(() => held.holder.onLost())
    this.#options.onReleased()
  }

  /** Frames below this number hold as the policy of the shard asks. */
  settle(endFrames: number): void {
    const held = this.#held
    if (held === null || held.endFrames === null || endFrames < held.endFrames) return
    this.#held = null
    queueMicrotask(() => held.holder.onDurable())
    this.#options.onReleased()
  }

  #takeBack(): void {
    const failure = this.#options.frames.takeBackOpen()
    if (failure !== null) this.#options.onFailure(failure)
  }
}
