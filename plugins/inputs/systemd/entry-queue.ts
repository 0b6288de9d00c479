// Steps 3 to 5. Runs on: ingest.
// Two batches: one is filled while the other is on its way. What the queue has no room for, or gives back, is offered again
// as it is, so that the order stays and routes that have it do not get it twice. Limit: two blocks of BLOCK_BYTES.

import type { CancelTimer } from '../../../src/core/clock.ts'
import type { ScanKernel } from '../../../src/kernel/scan-kernel.ts'
import type { AppendSource, DurableListener, InputContext } from '../../../src/plugin/input.ts'
import { BLOCK_BYTES, EntryBatch } from './entry-batch.ts'
import type { JournalEntry } from './export-reader.ts'
import type { SystemdOptions } from './options.ts'

/** A batch that was given back waits so long. */
const RETRY_MS = 1000

export interface EntryQueueOptions {
  readonly options: SystemdOptions
  readonly context: InputContext<ScanKernel>
  /** All entries up to this one are durable; there is room again. */
  onDurable(cursor: string | null): void
}

export class EntryQueue {
  readonly #options: EntryQueueOptions
  readonly #source: AppendSource
  #filling: EntryBatch
  #leaving: EntryBatch
  /** `leaving` is on its way, waits for room, or for its next try. */
  #isBusy = false
  #isTaken = false
  #storedIn: readonly string[] = []
  #isStopped = false
  #cancelRetry: CancelTimer = () => {}
  #onSettled = () => {}

  constructor(queueOptions: EntryQueueOptions) {
    this.#options = queueOptions
    const { context, options } = queueOptions
    this.#source = { inputId: context.id, peer: '' }
    this.#filling = new EntryBatch(context.kernel.reserve(BLOCK_BYTES), options)
    this.#leaving = new EntryBatch(context.kernel.reserve(BLOCK_BYTES), options)
  }

  /** False: there is no room until `onDurable`. */
  add(entry: JournalEntry): boolean {
    const nowMs = this.#options.context.clock.nowMs()
    if (this.#filling.add(entry, nowMs)) return true
    this.flush()
    return this.#filling.add(entry, nowMs)
  }

  flush(): void {
    if (this.#isBusy || this.#isStopped || this.#filling.recordCount === 0) return
    const batch = this.#filling
    this.#filling = this.#leaving
    this.#leaving = batch
    this.#isBusy = true
    this.#storedIn = []
    this.#offer(this.#listener())
  }

  /** Settles when nothing is on its way any more. */
  stop(signal: AbortSignal): Promise<void> {
    this.#isStopped = true
    this.#cancelRetry()
    return new Promise((resolve) => {
      const check = () => {
        if (!this.#isTaken || signal.aborted) resolve()
      }
      this.#onSettled = check
      signal.addEventListener('abort', check, { once: true })
      check()
    })
  }

  #listener(): DurableListener {
    return {
      onDurable: () => this.#onDurable(),
      onRejected: (_reason, logs) => this.#onRejected(logs ?? [])
    }
  }

  #offer(listener: DurableListener): void {
    if (this.#isStopped) return
    const { appender, counters } = this.#options.context
    this.#isTaken = true
    const run = this.#leaving.run()
    const { recordCount, entries } = run
    if (appender.append(this.#source, [run], listener, this.#storedIn) === 'full') {
      this.#isTaken = false
      counters.add('input_paused_total/room', 1)
      appender.onRoom(() => this.#offer(listener))
      return
    }
    counters.add('received_records', recordCount)
    counters.add('received_bytes', entries.length)
  }

  #onDurable(): void {
    const { cursor } = this.#leaving
    this.#leaving.clear()
    this.#isBusy = false
    this.#isTaken = false
    this.#options.onDurable(cursor)
    this.#onSettled()
    this.flush()
  }

  #onRejected(logs: readonly string[]): void {
    this.#isTaken = false
    this.#storedIn = [...new Set([...this.#storedIn, ...logs])]
    this.#onSettled()
    if (this.#isStopped) return
    const { clock, counters } = this.#options.context
    counters.add('journal_retries', 1)
    this.#cancelRetry = clock.after(RETRY_MS, () => this.#offer(this.#listener()))
  }
}
