// Step 5. Runs on: ingest.
// Waits for the commits of all shards that a message was appended to, and knows which routes have it when one of them
// fails: the sender has to send again, and those routes need it no second time.

import { invariant } from '../core/invariant.ts'
import type { DurableListener } from '../plugin/input.ts'

export class RouteCommits {
  readonly #listener: DurableListener | null
  /** One per shard; a route with lanes comes several times. */
  readonly #logs: readonly string[]
  readonly #failed = new Set<string>()
  #commitsLeft: number
  #reason: string | null = null

  constructor(listener: DurableListener | null, logs: readonly string[]) {
    this.#listener = listener
    this.#logs = logs
    this.#commitsLeft = logs.length
  }

  /** For one of the shards of a log; null: nobody waits. */
  waiterOf(log: string): DurableListener | null {
    if (this.#listener === null) return null
    return {
      onDurable: () => this.#settle(),
      onRejected: (reason) => {
        this.#reason ??= reason
        this.#failed.add(log)
        this.#settle()
      }
    }
  }

  #settle(): void {
    invariant(this.#commitsLeft > 0, 'a commit was told twice')
    this.#commitsLeft--
    if (this.#commitsLeft > 0) return
    if (this.#reason === null) this.#listener?.onDurable()
    else {
      const storedIn = [...new Set(this.#logs)].filter((log) => !this.#failed.has(log))
      this.#listener?.onRejected(this.#reason, storedIn)
    }
  }
}
