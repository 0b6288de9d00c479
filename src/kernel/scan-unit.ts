// Runs on: ingest.
// What a scan found, read in place: one shared view over the tables that assembly/scan-results.ts fills. Nothing is
// built per message. All places are indexes into the bytes that were scanned. A view is good until the next scan.

/**
 * entries: a Forward or PackedForward body, form 1. messages: Message-mode messages of one tag side by side, form 2.
 * gzip, zstd: a body to decompress and give to scanBody. skipped: no logs (fluent_signal). invalid: no tag or shape.
 */
export type UnitKind = 'entries' | 'messages' | 'gzip' | 'zstd' | 'skipped' | 'invalid'

/** Why an entry or message was left out, in the order of the table's counters. */
export const INVALID_REASONS = [
  'bad_message',
  'not_an_entry',
  'bad_record',
  'too_deep',
  'too_large',
  'cut_short',
  'nested_batch'
] as const

export type InvalidReason = (typeof INVALID_REASONS)[number]

/** Why the rest of a body was not looked at; it belongs to the dead letters as received. */
export type GiveUpReason = 'consecutive_invalid' | 'entries_max' | 'scattered_invalid'

/** Sizes of rows in bytes, as in assembly/scan-results.ts. */
export const ROW_BYTES = { unit: 128, span: 28, ack: 8 } as const

const SPAN_WORDS = ROW_BYTES.span / 4

/** Addresses of the tables and their room in rows. */
export interface ScanTables {
  readonly unitsByte: number
  readonly unitsMax: number
  readonly spansByte: number
  readonly spansMax: number
  readonly acksByte: number
  readonly acksMax: number
}

/** Numbers of a unit row, in 32-bit words. */
const WORD = {
  kind: 0,
  tagStart: 1,
  tagBytes: 2,
  start: 3,
  end: 4,
  bodyStart: 5,
  bodyEnd: 6,
  spanFirst: 7,
  spanCount: 8,
  ackFirst: 9,
  ackCount: 10,
  recordCount: 11,
  invalid: 12,
  unwrappedCount: 19,
  badTimeCount: 20,
  arrivalCount: 21,
  markerCount: 22,
  givenUp: 23,
  givenUpByte: 24,
  isMismatch: 25,
  messageCount: 30,
  signal: 31
} as const
/** The same in 64-bit words. */
const DOUBLE = { minSeconds: 13, maxSeconds: 14 } as const

const KINDS: readonly (UnitKind | undefined)[] = [
  undefined,
  'entries',
  'messages',
  'gzip',
  'zstd',
  'skipped',
  'invalid'
]
const GIVE_UPS: readonly (GiveUpReason | null)[] = [
  null,
  'consecutive_invalid',
  'entries_max',
  'scattered_invalid'
]

export class ScanUnit {
  readonly #words: Uint32Array
  readonly #doubles: Float64Array
  readonly #tables: ScanTables
  /** First word of the row, of its first span, of its first ack. */
  #row = 0
  #spans = 0
  #acks = 0

  constructor(memory: Buffer, tables: ScanTables) {
    this.#words = new Uint32Array(memory.buffer)
    this.#doubles = new Float64Array(memory.buffer)
    this.#tables = tables
  }

  /** Turns the view to another row. */
  select(index: number): this {
    this.#row = (this.#tables.unitsByte + index * ROW_BYTES.unit) / 4
    this.#spans = (this.#tables.spansByte + this.#word(WORD.spanFirst) * ROW_BYTES.span) / 4
    this.#acks = (this.#tables.acksByte + this.#word(WORD.ackFirst) * ROW_BYTES.ack) / 4
    return this
  }

  get kind(): UnitKind {
    return KINDS[this.#word(WORD.kind)] ?? 'invalid'
  }

  /** The tag as received: str or bin payload, UTF-8 not checked, perhaps empty or longer than TAG_BYTES_MAX. */
  get tagStartByte(): number {
    return this.#word(WORD.tagStart)
  }

  get tagByteCount(): number {
    return this.#word(WORD.tagBytes)
  }

  /** The whole message or messages, tag and option included. */
  get startByte(): number {
    return this.#word(WORD.start)
  }

  get endByte(): number {
    return this.#word(WORD.end)
  }

  /** The body as received: what to decompress, or what to keep of a unit that is given up. */
  get bodyStartByte(): number {
    return this.#word(WORD.bodyStart)
  }

  get bodyEndByte(): number {
    return this.#word(WORD.bodyEnd)
  }

  /** Runs of valid entries, in order. Each holds records and, unless it is one record, at most 4 MiB. */
  get spanCount(): number {
    return this.#word(WORD.spanCount)
  }

  spanStartByte(span: number): number {
    return this.#spanWord(span, 0)
  }

  spanEndByte(span: number): number {
    return this.#spanWord(span, 1)
  }

  spanRecordCount(span: number): number {
    return this.#spanWord(span, 2)
  }

  /** The group marker that is open where the span starts, to be repeated; start = end: none. */
  spanMarkerStartByte(span: number): number {
    return this.#spanWord(span, 3)
  }

  spanMarkerEndByte(span: number): number {
    return this.#spanWord(span, 4)
  }

  /** Tag of the batch within the message that the span comes from; start 0: the unit's tag. */
  spanTagStartByte(span: number): number {
    return this.#spanWord(span, 5)
  }

  spanTagByteCount(span: number): number {
    return this.#spanWord(span, 6)
  }

  /** Values of the `chunk` options in the order of the messages, type byte included. */
  get ackCount(): number {
    return this.#word(WORD.ackCount)
  }

  ackStartByte(ack: number): number {
    return this.#words[this.#acks + ack * 2] ?? 0
  }

  ackByteCount(ack: number): number {
    return this.#words[this.#acks + ack * 2 + 1] ?? 0
  }

  get messageCount(): number {
    return this.#word(WORD.messageCount)
  }

  get recordCount(): number {
    return this.#word(WORD.recordCount)
  }

  invalidCount(reason: InvalidReason): number {
    return this.#word(WORD.invalid + INVALID_REASONS.indexOf(reason))
  }

  /** Entries and messages left out, whatever the reason. */
  get invalidTotal(): number {
    let total = 0
    for (let index = 0; index < INVALID_REASONS.length; index += 1) {
      total += this.#word(WORD.invalid + index)
    }
    return total
  }

  /** Records whose time is the arrival time; of these, badTimeCount had a time that is none. */
  get arrivalTimeCount(): number {
    return this.#word(WORD.arrivalCount)
  }

  get badTimeCount(): number {
    return this.#word(WORD.badTimeCount)
  }

  /** Group markers among the spans; they are no records. */
  get markerCount(): number {
    return this.#word(WORD.markerCount)
  }

  /** Batches that stood in the place of an entry; their entries are among the spans. */
  get nestedBatchCount(): number {
    return this.#word(WORD.unwrappedCount)
  }

  /** Bounds of the event times, seconds since 1970 rounded down; Infinity and -Infinity when none is known. */
  get minSeconds(): number {
    return this.#doubles[this.#row / 2 + DOUBLE.minSeconds] ?? 0
  }

  get maxSeconds(): number {
    return this.#doubles[this.#row / 2 + DOUBLE.maxSeconds] ?? 0
  }

  /** Set when the body was left at givenUpByte; what came before stands. */
  get giveUpReason(): GiveUpReason | null {
    return GIVE_UPS[this.#word(WORD.givenUp)] ?? null
  }

  get givenUpByte(): number {
    return this.#word(WORD.givenUpByte)
  }

  /** The `compressed` option says something else than the body. */
  get isCompressionMismatch(): boolean {
    return this.#word(WORD.isMismatch) !== 0
  }

  /** fluent_signal of a skipped unit: 1 metrics, 2 traces, 3 blobs, 4 profiles. */
  get signal(): number {
    return this.#word(WORD.signal)
  }

  #spanWord(span: number, word: number): number {
    return this.#words[this.#spans + span * SPAN_WORDS + word] ?? 0
  }

  #word(index: number): number {
    return this.#words[this.#row + index] ?? 0
  }
}
