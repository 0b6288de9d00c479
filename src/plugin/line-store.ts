// Steps 2 to 4. Runs on: ingest.
// Lines of text -> records -> queue, for inputs that read streams of lines. Every line is a record with its text under one
// key and the same further fields; JavaScript runs per read, never per line. What finds no room is offered again.

import type { LineFormat } from '../kernel/line-converter.ts'
import type { ScanKernel } from '../kernel/scan-kernel.ts'
import { type EntryTime, type PackedFields, packFields } from './entry-writer.ts'
import type { AppendSource, DurableListener, InputContext } from './input.ts'

export interface LineStoreOptions {
  /**
   * `cri`, `docker`: files of container runtimes; lines of another form are stored as they are and counted. `counted`:
   * frames with their length in front.
   */
  readonly format: LineFormat
  /** Field that has the text. */
  readonly key: string
  /** Bytes of one record's text; a longer line goes on in the next record. At least 64. */
  readonly lineBytesMax: number
  readonly keepsEmpty: boolean
}

export interface LineChunk {
  readonly tag: Buffer
  readonly text: Buffer
  /** Further fields of every line: path, peer address. To be packed once per source (packFields). */
  readonly fields: PackedFields
  /** Of lines that bring none. */
  readonly time: EntryTime
  /** The text ends here: what has no line end is a line too. */
  readonly isLast: boolean
  /** Chunk id of so many first bytes of the text, with its MessagePack type byte. */
  readonly idOf?: (consumedBytes: number) => Uint8Array
  /** Logs that have it from before. */
  readonly storedIn?: readonly string[]
  /** `counted`: as the outcome before said. */
  readonly openBytes?: number
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
  /** `counted`: bytes that the last frame still has, of which a part was taken. */
  readonly openBytes: number
  /** Bytes without which what is left is no line; 0: not known. */
  readonly neededBytes: number
  /** `counted`: what is left is no frame. */
  readonly isBroken: boolean
}

const FULL: LineOutcome = {
  kind: 'full',
  consumedBytes: 0,
  recordCount: 0,
  openBytes: 0,
  neededBytes: 0,
  isBroken: false
}

export class LineStore {
  readonly #context: InputContext<ScanKernel>
  readonly #options: LineStoreOptions
  /** The key as MessagePack. */
  readonly #key: Buffer

  constructor(context: InputContext<ScanKernel>, options: LineStoreOptions) {
    this.#context = context
    this.#options = options
    this.#key = packFields([[options.key, '']]).bytes.subarray(0, -1)
  }

  append(source: AppendSource, chunk: LineChunk, listener: DurableListener | null): LineOutcome {
    const { appender, counters, kernel } = this.#context
    const { format, lineBytesMax, keepsEmpty } = this.#options
    const result = kernel.lines.toEntries(chunk.text, {
      format,
      time: chunk.time,
      fields: chunk.fields,
      key: this.#key,
      lineBytesMax,
      keepsEmpty,
      isLast: chunk.isLast,
      openBytes: chunk.openBytes ?? 0
    })
    if (result === null) return FULL
    const { bytes, recordCount, consumedBytes, openBytes, neededBytes, isBroken } = result
    const outcome = { recordCount, consumedBytes, openBytes, neededBytes, isBroken }
    try {
      if (recordCount === 0) return { kind: 'none', ...outcome }
      const { minSeconds, maxSeconds } = this.#timesOf(bytes, chunk.time)
      const run = {
        tag: chunk.tag,
        form: 1,
        entries: bytes,
        recordCount,
        ingestId: chunk.idOf?.(consumedBytes) ?? null,
        hasIngestIds: false,
        minTimeSeconds: minSeconds,
        maxTimeSeconds: maxSeconds
      } as const
      const answer = appender.append(source, [run], listener, chunk.storedIn)
      if (answer === 'full') return FULL
      counters.add('received_records', recordCount)
      if (result.unreadCount > 0) counters.add('unread_lines', result.unreadCount)
      if (result.cutCount > 0) counters.add('cut_lines', result.cutCount)
      return { kind: 'taken', ...outcome }
    } finally {
      kernel.giveBack(bytes)
    }
  }

  /** Lines of container runtimes bring their own times. */
  #timesOf(bytes: Buffer, { seconds }: EntryTime) {
    const { format } = this.#options
    if (format === 'plain' || format === 'counted')
      return { minSeconds: seconds, maxSeconds: seconds }
    const { kernel } = this.#context
    kernel.scanBody(bytes)
    const { minSeconds, maxSeconds } = kernel.unit(0)
    return { minSeconds, maxSeconds }
  }
}
