// Step 5. Runs on: any.
// Waits for a count of commits: a message may lie in several shards, and its listener is told once, when the last of them
// holds. Commits of one shard come in order, so the acks of one shard are in the order of its messages.

import { invariant } from '../core/invariant.ts'
import type { DurableListener } from './input.ts'

/** Handed to the writer of each shard that the message was appended to. */
export class CommitCount implements DurableListener {
  readonly #listener: DurableListener
  #commitsLeft: number
  #reason: string | null = null

  constructor(listener: DurableListener, commitCount: number) {
    invariant(commitCount > 0, 'a message that waits for no commit is durable already')
    this.#listener = listener
    this.#commitsLeft = commitCount
  }

  onDurable(): void {
    this.#settle()
  }

  /** The sender has to send again, so no other commit can make an ack of it; the last commit tells the listener. */
  onRejected(reason: string): void {
    this.#reason ??= reason
    this.#settle()
  }

  #settle(): void {
    invariant(this.#commitsLeft > 0, 'a commit was told twice')
    this.#commitsLeft--
    if (this.#commitsLeft > 0) return
    if (this.#reason === null) this.#listener.onDurable()
    else this.#listener.onRejected(this.#reason)
  }
}
