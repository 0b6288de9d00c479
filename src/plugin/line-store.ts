// Steps 2 to 4. Runs on: ingest.
// Lines of text -> records -> queue, for inputs that read streams of lines. Every line is a record with its text under one
// key and the same further fields; JavaScript runs per read, never per line. What finds no room is offered again.

import type { ScanKernel } from '../kernel/scan-kernel.ts'
import { type EntryTime, EntryWriter } from './entry-writer.ts'
import type { AppendSource, DurableListener, InputContext } from './input.ts'

export interface LineStoreOptions {
  /** Field that has the text. */
  readonly key: string
  /** Bytes of one record's text; a longer line goes on in the next record. At least 64. */
  readonly lineBytesMax: number
  readonly keepsEmpty: boolean
}

export interface LineChunk {
  readonly tag: Buffer
  readonly text: Buffer
  /** Fields in front of the text, the same for every line: path, peer address. */
  readonly fields: readonly (readonly [string, string])[]
  /** Of all its lines. */
  readonly time: EntryTime
  /** The text ends here: what has no line end is a line too. */
  readonly isLast: boolean
}

/**
 * `taken`: the first `consumedBytes` of the text are in the queue's hands, and the listener is told when they are durable.
 * `none`: they hold no record (or the text no whole line); the listener is not told. `full`: offer the same chunk again
 * when `onRoom` calls; nothing was taken.
 */
export interface LineOutcome {
  readonly kind: 'taken' | 'none' | 'full'
  readonly consumedBytes: number
  readonly recordCount: number
}

const FULL: LineOutcome = { kind: 'full', consumedBytes: 0, recordCount: 0 }
const PREFIX_BYTES_MAX = 64 * 1024

export class LineStore {
  readonly #context: InputContext<ScanKernel>
  readonly #options: LineStoreOptions
  readonly #prefix = Buffer.alloc(PREFIX_BYTES_MAX)

  constructor(context: InputContext<ScanKernel>, options: LineStoreOptions) {
    this.#context = context
    this.#options = options
  }

  append(source: AppendSource, chunk: LineChunk, listener: DurableListener | null): LineOutcome {
    const { appender, counters, kernel } = this.#context
    const { lineBytesMax, keepsEmpty } = this.#options
    const result = kernel.lines.toEntries(chunk.text, {
      prefix: this.#prefixOf(chunk),
      lineBytesMax,
      keepsEmpty,
      isLast: chunk.isLast
    })
    if (result === null) return FULL
    const { bytes, recordCount, consumedBytes } = result
    try {
      if (recordCount === 0) return { kind: 'none', consumedBytes, recordCount }
      const { seconds } = chunk.time
      const run = {
        tag: chunk.tag,
        form: 1,
        entries: bytes,
        recordCount,
        ingestId: null,
        hasIngestIds: false,
        minTimeSeconds: seconds,
        maxTimeSeconds: seconds
      } as const
      if (appender.append(source, [run], listener) === 'full') return FULL
      counters.add('received_records', recordCount)
      if (result.cutCount > 0) counters.add('cut_lines', result.cutCount)
      return { kind: 'taken', consumedBytes, recordCount }
    } finally {
      kernel.giveBack(bytes)
    }
  }

  /** An entry up to its last value: `[time, {fields, key:`. */
  #prefixOf({ fields, time }: LineChunk): Buffer {
    const writer = new EntryWriter(this.#prefix)
    writer.begin(time)
    for (const [key, value] of fields) writer.text(key, value)
    return writer.openAt(this.#options.key)
  }
}
