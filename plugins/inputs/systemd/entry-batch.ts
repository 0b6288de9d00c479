// Step 2. Runs on: ingest.
// Entries of the journal as records of one message, in a block of kernel memory. The largest entry that the reader gives
// has room in an empty block.

import { EntryWriter, entryTimeOf } from '../../../src/plugin/entry-writer.ts'
import type { Run } from '../../../src/plugin/input.ts'
import type { JournalEntry } from './export-reader.ts'
import type { SystemdOptions } from './options.ts'

/** ENTRY_BYTES_MAX and its head, and room for more of them. */
export const BLOCK_BYTES = 2 * 1024 * 1024
const MICROS_PER_SECOND = 1e6
const NANOS_PER_MICRO = 1000
const SECONDS_END = 2 ** 32

export class EntryBatch {
  readonly #writer: EntryWriter
  readonly #key: string
  readonly #tag: Buffer
  readonly #isChosen: (name: string) => boolean
  #cursor: string | null = null

  constructor(block: Buffer, options: Pick<SystemdOptions, 'key' | 'tag' | 'fields'>) {
    this.#writer = new EntryWriter(block)
    this.#key = options.key
    this.#tag = Buffer.from(options.tag)
    this.#isChosen = choiceOf(options.fields)
  }

  get recordCount(): number {
    return this.#writer.recordCount
  }

  /** Of the last entry that has one. */
  get cursor(): string | null {
    return this.#cursor
  }

  /** False: there is no room, and nothing of it is in the batch. */
  add({ fields }: JournalEntry, nowMs: number): boolean {
    const writer = this.#writer
    writer.begin(timeOf(fields.get('__REALTIME_TIMESTAMP')) ?? entryTimeOf(nowMs))
    for (const [name, value] of fields) {
      if (name === 'MESSAGE') writer.text(this.#key, value)
      else if (name !== this.#key && this.#isChosen(name)) writer.text(name, value)
    }
    if (!writer.end()) return false
    this.#cursor = fields.get('__CURSOR')?.toString() ?? this.#cursor
    return true
  }

  /** A view, good until `clear`. */
  run(): Run {
    const writer = this.#writer
    return {
      tag: this.#tag,
      form: 1,
      entries: writer.bytes,
      recordCount: writer.recordCount,
      ingestId: null,
      hasIngestIds: false,
      minTimeSeconds: writer.minTimeSeconds,
      maxTimeSeconds: writer.maxTimeSeconds
    }
  }

  clear(): void {
    this.#writer.clear()
    this.#cursor = null
  }
}

/** Fields that records get besides the text. */
export function choiceOf(fields: readonly string[]): (name: string) => boolean {
  if (fields.includes('*')) return (name) => !name.startsWith('__')
  const names = new Set(fields)
  return (name) => names.has(name)
}

/** Null: no number of microseconds that a record may bear. */
function timeOf(micros: Buffer | undefined) {
  if (micros === undefined || !/^\d{1,16}$/.test(micros.toString('latin1'))) return null
  const count = Number(micros.toString('latin1'))
  const seconds = Math.floor(count / MICROS_PER_SECOND)
  if (seconds >= SECONDS_END) return null
  return { seconds, nanos: (count - seconds * MICROS_PER_SECOND) * NANOS_PER_MICRO }
}
