// Step 3. Runs on: ingest.
// Messages that are stored although their sender may not know: recovered ones, ones whose ack could not be written whole,
// ones whose connection ended soon after the ack; under `window` all of them. When such a message comes again it is
// acknowledged and not stored twice. There is a window of ids per route, in memory that all ingest threads share, because
// a sender may come back on another one; a message that only some of its routes have is stored in the others.
// Invariants: under `unconfirmed` an id leaves the window when its message was found, so two honest messages of one
// content (Fluent Bit's id is a hash of it) are both stored. Who came again before the first copy is durable is told
// when that is; threads tell each other over a channel, and only what somebody waits for.

import { type IdHash, IdWindow, idHash, idSketch } from '../core/id-window.ts'
import { RESENDS_MAX } from '../core/limits.ts'
import type { DurableListener, Resend, ResendAnswer, Resends } from '../plugin/input.ts'
import { RESEND_STATE as STATE, WAITED } from '../threads/shared.ts'

/** A message that somebody on another thread waits for is durable, or given up. */
export interface ResendNews {
  readonly key: string
  readonly isStored: boolean
}

/** How the threads tell each other. */
export interface ResendChannel {
  send(news: ResendNews): void
}

export interface ResendTableOptions {
  /** Windows of all logs, one after another. */
  readonly shared: SharedArrayBuffer
  /** Which log each window is of. */
  readonly logs: readonly string[]
  /** Logs that take a tag of an input. */
  readonly logsOf: (inputId: string, tag: Uint8Array) => readonly string[]
  readonly channel: ResendChannel | null
}

/** A window and its log. */
interface LogWindow {
  readonly log: string
  readonly ids: IdWindow
}

export class ResendTable {
  readonly #options: ResendTableOptions
  readonly #windows: ReadonlyMap<string, LogWindow>
  /** Who waits on this thread, by text of the hash. */
  readonly #waiting = new Map<string, DurableListener[]>()

  constructor(options: ResendTableOptions) {
    this.#options = options
    this.#windows = new Map(
      options.logs.map((log, ordinal) => [log, { log, ids: windowOf(options.shared, ordinal) }])
    )
  }

  /** What one input sees. */
  of(inputId: string): Resends {
    const table = this
    const windowsOf = (tag: Uint8Array) => this.#windowsOf(inputId, tag)
    return {
      get isEmpty() {
        return table.isEmpty
      },
      find: (resend) => this.#find(windowsOf(resend.tag), resend),
      addStored: (tag, id, logs) => {
        const hash = idHash(tag, id)
        const windows = windowsOf(tag).filter(({ log }) => logs === null || logs.includes(log))
        for (const { ids } of windows) ids.put(hash, STATE.stored)
      },
      addPending: (tag, id) => {
        const hash = idHash(tag, id)
        // Another copy may be known already, and waited for.
        for (const { ids } of windowsOf(tag)) ids.change(hash, (value) => value || STATE.pending)
      },
      settle: (tag, id, isStored, isKept) =>
        this.#settle(windowsOf(tag), idHash(tag, id), isStored, isKept)
    }
  }

  get isEmpty(): boolean {
    for (const { ids } of this.#windows.values()) if (ids.count > 0) return false
    return true
  }

  /** What another thread found out. */
  hear({ key, isStored }: ResendNews): void {
    const waiting = this.#waiting.get(key) ?? []
    this.#waiting.delete(key)
    for (const listener of waiting) {
      if (isStored) listener.onDurable()
      else listener.onRejected('sync')
    }
  }

  #windowsOf(inputId: string, tag: Uint8Array): LogWindow[] {
    const windows: LogWindow[] = []
    for (const log of this.#options.logsOf(inputId, tag)) {
      const window = this.#windows.get(log)
      if (window !== undefined) windows.push(window)
    }
    return windows
  }

  #find(windows: readonly LogWindow[], resend: Resend): ResendAnswer {
    const { id, isKept, isWholeOnly, listener, tag } = resend
    const sketch = idSketch(id)
    if (!windows.some(({ ids }) => ids.mayHold(sketch))) return 'fresh'
    const hash = idHash(tag, id)
    const storedIn: string[] = []
    for (const { ids, log } of windows) {
      const state = ids.change(hash, (value) => {
        if ((value & ~WAITED) === STATE.pending) return value | WAITED
        // What is found is forgotten, unless it is to be found again.
        return isKept || (isWholeOnly && value === STATE.recovered) ? value : 0
      })
      if ((state & ~WAITED) === STATE.pending) {
        // Where it is not durable yet in one route, it is on its way to all of them.
        this.#wait(hash, listener)
        return 'pending'
      }
      const isTrusted = state === STATE.stored || (state === STATE.recovered && !isWholeOnly)
      if (isTrusted) storedIn.push(log)
    }
    if (storedIn.length === 0) return 'fresh'
    return storedIn.length === windows.length ? 'stored' : { storedIn }
  }

  #wait(hash: IdHash, listener: DurableListener): void {
    const key = textOf(hash)
    const waiting = this.#waiting.get(key)
    if (waiting === undefined) this.#waiting.set(key, [listener])
    else waiting.push(listener)
  }

  /** Listeners that came meanwhile are told; then the message counts as known to its sender. */
  #settle(
    windows: readonly LogWindow[],
    hash: IdHash,
    isStored: boolean,
    isKept: boolean
  ): boolean {
    let isAnswered = false
    let isUnknown = false
    for (const { ids } of windows) {
      const before = ids.change(hash, () => (isStored ? STATE.stored : 0))
      if ((before & WAITED) !== 0) isAnswered = true
      // An id that left the window meanwhile may have been waited for.
      if (before === 0) isUnknown = true
    }
    if (!isAnswered && !isUnknown) return false
    // Its sender is answered: the next message of this id is another one.
    if (isAnswered && !isKept) for (const { ids } of windows) ids.change(hash, () => 0)
    const news = { key: textOf(hash), isStored }
    this.hear(news)
    this.#options.channel?.send(news)
    return isAnswered
  }
}

const windowBytes = IdWindow.byteCount(RESENDS_MAX)

function windowOf(shared: SharedArrayBuffer, ordinal: number): IdWindow {
  return new IdWindow(shared, ordinal * windowBytes, RESENDS_MAX)
}

const textOf = (hash: IdHash): string =>
  Buffer.from(hash.buffer, hash.byteOffset, hash.byteLength).toString('latin1')
