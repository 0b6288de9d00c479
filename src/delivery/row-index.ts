// Step 8. Runs on: main.
// The rows of one task as the pool thread left them in the slot: three 32-bit words a row. Read only where something
// depends on a single row; a body that is stored whole costs one pass to find its ranges of offsets.

const WORDS_PER_ROW = 3
/** Bytes that a row takes in the slot. */
export const ROW_INDEX_BYTES = WORDS_PER_ROW * 4

export class RowIndex {
  readonly #words: Uint32Array
  readonly #baseOffset: number

  /** `slot` is the slot's bytes; the index starts at `startByte` in it. */
  constructor(slot: Buffer, startByte: number, rowCount: number, baseOffset: number) {
    this.#words = new Uint32Array(
      slot.buffer,
      slot.byteOffset + startByte,
      rowCount * WORDS_PER_ROW
    )
    this.#baseOffset = baseOffset
  }

  offset(row: number): number {
    // Signed: a joined record may begin before the task.
    return this.#baseOffset + ((this.#words[row * WORDS_PER_ROW] ?? 0) | 0)
  }

  startByte(row: number): number {
    return this.#words[row * WORDS_PER_ROW + 1] ?? 0
  }

  byteCount(row: number): number {
    return this.#words[row * WORDS_PER_ROW + 2] ?? 0
  }

  /** Overwrites row `to` with row `from`, which now starts at `startByte`. */
  move(from: number, to: number, startByte: number): void {
    const target = to * WORDS_PER_ROW
    this.#words[target] = this.#words[from * WORDS_PER_ROW] ?? 0
    this.#words[target + 1] = startByte
    this.#words[target + 2] = this.#words[from * WORDS_PER_ROW + 2] ?? 0
  }
}

/** Rows of a body that share a fate: a stretch, or single ones. */
export type RowSet = { readonly start: number; readonly end: number } | readonly number[]

/** Calls back for each run of consecutive offsets among the rows. */
export function eachOffsetRange(
  index: RowIndex,
  rows: RowSet,
  callback: (first: number, end: number) => void
): void {
  const isList = 'length' in rows
  const start = isList ? 0 : rows.start
  const stop = isList ? rows.length : rows.end
  let first = -1
  let end = -1
  for (let at = start; at < stop; at++) {
    const offset = index.offset(isList ? (rows[at] ?? 0) : at)
    if (offset === end && first >= 0) {
      end++
      continue
    }
    if (first >= 0) callback(first, end)
    first = offset
    end = offset + 1
  }
  if (first >= 0) callback(first, end)
}

/** The rows one by one, for what is rare. */
export function rowList(rows: RowSet): readonly number[] {
  if ('length' in rows) return rows
  return Array.from({ length: rows.end - rows.start }, (_, index) => rows.start + index)
}
