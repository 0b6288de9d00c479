// Step 3. Runs on: ingest.
// Messages that are stored although their sender may not know: recovered ones, ones whose ack could not be written whole,
// ones whose connection ended soon after the ack. When such a message comes again it is acknowledged and not stored twice.
// Invariant: an id leaves the table when its message was found, so two honest messages of one content (Fluent Bit's id is
// a hash of it) are both stored. Limit: RESENDS_MAX ids per thread, the oldest leaves. The threads tell each other over a
// channel, because a sender may come back on another one.

import type { DurableListener, Resends } from '../plugin/input.ts'
import type { ShardSpec } from '../threads/messages.ts'

/** Ids remembered; a key is about 60 bytes. */
export const RESENDS_MAX = 100_000

export type ResendNews = {
  readonly kind: 'stored' | 'pending' | 'failed' | 'found'
  readonly key: string
}

/** How the threads tell each other. */
export interface ResendChannel {
  send(news: ResendNews): void
}

/** null: stored. A list: not durable yet, and who wants to know. */
type Entry = DurableListener[] | null

export class ResendTable implements Resends {
  readonly #entries = new Map<string, Entry>()
  readonly #channel: ResendChannel | null

  constructor(recovered: readonly string[], channel: ResendChannel | null) {
    this.#channel = channel
    for (const key of recovered) this.#set(key, null)
  }

  get isEmpty(): boolean {
    return this.#entries.size === 0
  }

  get count(): number {
    return this.#entries.size
  }

  find(key: string, isKept: boolean, listener: DurableListener): 'fresh' | 'stored' | 'pending' {
    const entry = this.#entries.get(key)
    if (entry === undefined) return 'fresh'
    if (entry !== null) {
      entry.push(listener)
      return 'pending'
    }
    if (!isKept) {
      this.#entries.delete(key)
      this.#channel?.send({ kind: 'found', key })
    }
    return 'stored'
  }

  addStored(key: string): void {
    this.#set(key, null)
    this.#channel?.send({ kind: 'stored', key })
  }

  addPending(key: string): void {
    this.#set(key, [])
    this.#channel?.send({ kind: 'pending', key })
  }

  settle(key: string, isStored: boolean): void {
    this.#settle(key, isStored)
    this.#channel?.send({ kind: isStored ? 'stored' : 'failed', key })
  }

  /** What another thread found out. */
  hear(news: ResendNews): void {
    const { kind, key } = news
    if (kind === 'pending') this.#set(key, [])
    else if (kind === 'found') this.#entries.delete(key)
    else this.#settle(key, kind === 'stored')
  }

  /** Listeners that came meanwhile are told; then the message counts as known to its sender. */
  #settle(key: string, isStored: boolean): void {
    const waiting = this.#entries.get(key) ?? []
    if (isStored && waiting.length === 0) this.#set(key, null)
    else this.#entries.delete(key)
    if (isStored && waiting.length > 0) this.#channel?.send({ kind: 'found', key })
    for (const listener of waiting) {
      if (isStored) listener.onDurable()
      else listener.onRejected('sync')
    }
  }

  #set(key: string, entry: Entry): void {
    this.#entries.delete(key)
    if (this.#entries.size >= RESENDS_MAX) this.#dropOldest()
    this.#entries.set(key, entry)
  }

  #dropOldest(): void {
    for (const [key, entry] of this.#entries) {
      // Somebody waits for it.
      if (entry !== null && entry.length > 0) continue
      this.#entries.delete(key)
      return
    }
  }
}

/**
 * Ids found in the shards at start that no resend needs to be stored for: every route that takes the tag has the message.
 * One that only some of its routes have was cut short by the end of the process; stored again it is twice in those, left
 * out it would be missing in the others. `logsOf`: per input, the logs that take a tag.
 */
export function recoveredKeys(
  shards: readonly ShardSpec[],
  logsOf: (tag: Buffer) => readonly (readonly string[])[]
): string[] {
  const logsByKey = new Map<string, Set<string>>()
  for (const { log, recoveredIngestIds } of shards) {
    for (const key of recoveredIngestIds) {
      const logs = logsByKey.get(key)
      if (logs === undefined) logsByKey.set(key, new Set([log]))
      else logs.add(log)
    }
  }
  const keys: string[] = []
  for (const [key, logs] of logsByKey) {
    const tag = Buffer.from(key.slice(0, key.indexOf('\0')), 'latin1')
    const isWhole = logsOf(tag).every(
      (taking) => !taking.some((log) => logs.has(log)) || taking.every((log) => logs.has(log))
    )
    if (isWhole) keys.push(key)
  }
  return keys
}
