// Steps 1 to 5. Runs on: ingest.
// The systemd input: one ingest thread has it. Entries go from the child to the queue; while there is no room the child is
// not read. When it ends it is started again behind the last entry that was read, after a wait that doubles up to
// RESTART_MS_MAX. A start of the server goes on behind the last entry that is durable.

import type { CancelTimer } from '../../../src/core/clock.ts'
import { errorText } from '../../../src/core/errors.ts'
import type { ScanKernel } from '../../../src/kernel/scan-kernel.ts'
import type { CreateInput, Input, InputAddresses, InputContext } from '../../../src/plugin/input.ts'
import { CursorFile } from './cursor-file.ts'
import { choiceOf } from './entry-batch.ts'
import { EntryQueue } from './entry-queue.ts'
import { ExportReader, type JournalEntry } from './export-reader.ts'
import { argumentsOf } from './journal-arguments.ts'
import { JournalProcess } from './journal-process.ts'
import type { SystemdOptions } from './options.ts'

const RESTART_MS = 1000
const RESTART_MS_MAX = 60_000
/** Needed whatever is chosen. */
const NEEDED = new Set(['MESSAGE', '__CURSOR', '__REALTIME_TIMESTAMP'])

const createInput: CreateInput<SystemdOptions, ScanKernel> = (options, context) =>
  new SystemdInput(options, context)

export default createInput

class SystemdInput implements Input {
  readonly #options: SystemdOptions
  readonly #context: InputContext<ScanKernel>
  readonly #isWanted: (name: string) => boolean
  #reader: ExportReader
  #process: JournalProcess | null = null
  #queue: EntryQueue | null = null
  #file: CursorFile | null = null
  /** Of the last entry that came out of the reader. */
  #readCursor: string | null = null
  #sinceSeconds = 0
  /** Read, and without room yet. */
  #held: JournalEntry | null = null
  #failureCount = 0
  #cancelRestart: CancelTimer = () => {}
  #isStopped = false

  constructor(options: SystemdOptions, context: InputContext<ScanKernel>) {
    this.#options = options
    this.#context = context
    const isChosen = choiceOf(options.fields)
    this.#isWanted = (name) => NEEDED.has(name) || isChosen(name)
    this.#reader = new ExportReader(this.#isWanted)
  }

  async start(): Promise<InputAddresses> {
    const { clock, log, ordinal, stateFile, thread } = this.#context
    if (ordinal % thread.count !== thread.index || this.#isStopped) return []
    const file = new CursorFile({ state: stateFile('cursor'), clock, log })
    this.#file = file
    const isFromNow = file.first === null && this.#options.start_at === 'end'
    const nowSeconds = isFromNow ? Math.floor(clock.nowMs()) / 1000 : 0
    const place = file.first ?? { cursor: null, sinceSeconds: nowSeconds }
    this.#readCursor = place.cursor
    this.#sinceSeconds = place.sinceSeconds
    // From now on a start is not the first.
    file.set(place)
    this.#queue = new EntryQueue({
      options: this.#options,
      context: this.#context,
      onDurable: (cursor) => this.#onDurable(cursor)
    })
    this.#run()
    return []
  }

  async stop(signal: AbortSignal): Promise<void> {
    if (this.#isStopped) return
    this.#isStopped = true
    this.#cancelRestart()
    await Promise.all([this.#process?.stop(signal), this.#queue?.stop(signal)])
    await this.#file?.stop()
  }

  #run(): void {
    const place = { cursor: this.#readCursor, sinceSeconds: this.#sinceSeconds }
    // What the last child began to say is said again.
    this.#reader = new ExportReader(this.#isWanted)
    try {
      this.#process = new JournalProcess({
        command: this.#options.command,
        args: argumentsOf(this.#options, place),
        clock: this.#context.clock,
        onData: (bytes) => this.#take(bytes),
        onEnd: (reason) => this.#onEnd(reason)
      })
      if (this.#held !== null) this.#process.pause()
    } catch (error) {
      this.#onEnd(errorText(error))
    }
  }

  #take(bytes: Buffer): void {
    this.#reader.push(bytes)
    this.#drain()
  }

  #drain(): void {
    try {
      for (;;) {
        const entry = this.#held ?? this.#next()
        if (entry === null) break
        this.#held = entry
        if (this.#queue?.add(entry) !== true) {
          this.#process?.pause()
          return
        }
        this.#held = null
      }
    } catch (error) {
      this.#process?.abandon(errorText(error))
    }
    this.#queue?.flush()
    this.#process?.resume()
  }

  #next(): JournalEntry | null {
    const entry = this.#reader.next()
    if (entry === null) return null
    this.#failureCount = 0
    this.#readCursor = entry.fields.get('__CURSOR')?.toString() ?? this.#readCursor
    if (entry.cutCount > 0) this.#context.counters.add('cut_fields', entry.cutCount)
    return entry
  }

  #onDurable(cursor: string | null): void {
    if (cursor !== null) this.#file?.set({ cursor, sinceSeconds: this.#sinceSeconds })
    if (!this.#isStopped && this.#held !== null) this.#drain()
  }

  #onEnd(reason: string): void {
    this.#process = null
    if (this.#isStopped) return
    this.#warn(reason)
    const waitMs = Math.min(RESTART_MS_MAX, RESTART_MS * 2 ** this.#failureCount)
    this.#failureCount++
    const { clock, counters } = this.#context
    counters.add('journal_restarts', 1)
    this.#cancelRestart = clock.after(waitMs, () => this.#run())
  }

  /** Once for ends in a row without an entry between them. */
  #warn(reason: string): void {
    if (this.#failureCount > 0) return
    const { command } = this.#options
    this.#context.log.warn(
      { event: 'systemd.child', command, reason },
      'the program that reads the journal ended, and is started again'
    )
  }
}
