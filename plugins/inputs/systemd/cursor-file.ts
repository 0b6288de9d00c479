// Step 5. Runs on: ingest.
// How far the journal is stored, over starts: one small file of JSON. Invariants: the cursor in it is never ahead of what is
// durable; one write at a time, at most one per CURSOR_WRITE_MS, the last one at the stop.

import type { Clock } from '../../../src/core/clock.ts'
import { errorText } from '../../../src/core/errors.ts'
import type { StateFile } from '../../../src/plugin/input.ts'
import type { OutputLog } from '../../../src/plugin/output.ts'

/** What a kill may double. */
const CURSOR_WRITE_MS = 1000

export interface JournalPlace {
  /** Null: nothing is stored yet. */
  readonly cursor: string | null
  /** Without a cursor: entries before this time are not wanted; 0: all are. Seconds since 1970. */
  readonly sinceSeconds: number
}

export interface CursorFileOptions {
  readonly state: StateFile
  readonly clock: Clock
  readonly log: OutputLog
}

export class CursorFile {
  readonly #options: CursorFileOptions
  /** Null: the input never started before. */
  readonly first: JournalPlace | null
  #place: JournalPlace = { cursor: null, sinceSeconds: 0 }
  #isChanged = false
  #nextWriteMs = 0
  #cancel: (() => void) | null = null
  #writing: Promise<void> | null = null
  #isFailing = false
  #isStopped = false

  constructor(options: CursorFileOptions) {
    this.#options = options
    const bytes = options.state.read()
    this.first = bytes === null ? null : this.#decode(bytes)
  }

  set(place: JournalPlace): void {
    this.#place = place
    this.#isChanged = true
    this.#writeSoon()
  }

  async stop(): Promise<void> {
    this.#isStopped = true
    this.#cancel?.()
    this.#cancel = null
    await this.#writing
    if (this.#isChanged) await this.#write()
  }

  #writeSoon(): void {
    if (this.#cancel !== null || this.#writing !== null || this.#isStopped) return
    const { clock } = this.#options
    const waitMs = Math.max(0, this.#nextWriteMs - clock.monotonicMs())
    this.#cancel = clock.after(waitMs, () => {
      this.#cancel = null
      this.#nextWriteMs = clock.monotonicMs() + CURSOR_WRITE_MS
      this.#writing = this.#write().finally(() => {
        this.#writing = null
        if (this.#isChanged) this.#writeSoon()
      })
    })
  }

  async #write(): Promise<void> {
    const { log, state } = this.#options
    this.#isChanged = false
    const { cursor, sinceSeconds } = this.#place
    const text = JSON.stringify({ version: 1, cursor, since: sinceSeconds })
    try {
      await state.write(Buffer.from(`${text}\n`))
      this.#isFailing = false
    } catch (error) {
      this.#isChanged = true
      if (this.#isFailing) return
      this.#isFailing = true
      log.warn(
        { event: 'systemd.cursor', error: errorText(error) },
        'the cursor of the journal cannot be written: entries may come twice after a restart'
      )
    }
  }

  /** What cannot be read counts as a start from the beginning: rather twice than not at all. */
  #decode(bytes: Buffer): JournalPlace {
    try {
      const { version, cursor, since } = Object(JSON.parse(bytes.toString()))
      const isCursor = cursor === null || (typeof cursor === 'string' && cursor !== '')
      if (version === 1 && isCursor && Number.isFinite(since)) {
        return { cursor, sinceSeconds: since }
      }
    } catch {
      // Said below.
    }
    this.#options.log.error(
      { event: 'systemd.cursor' },
      'the cursor of the journal cannot be read: the journal is read from the beginning'
    )
    return { cursor: null, sinceSeconds: 0 }
  }
}
