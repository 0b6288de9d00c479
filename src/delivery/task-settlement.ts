// Step 9. Runs on: main.
// From what became of the rows of one task to the cursor: stored rows and the members joined into them, dead letters
// (durable first), what steps removed, what is damaged.

import { unreachable } from '../core/invariant.ts'
import type { Hole } from '../storage/reader/segments.ts'
import type { TaskResult } from '../threads/messages.ts'
import type { RowOffsets } from './again-jobs.ts'
import type { Settlement } from './body-flight.ts'
import { eachOffsetRange, type RowIndex, type RowSet, rowList } from './row-index.ts'
import { FIRST_TRY, type RefusedRow, type Tries, type TriesSoFar } from './verdicts.ts'

export type Fate =
  | { readonly kind: 'delivered' }
  | { readonly kind: 'duplicate' }
  | { readonly kind: 'dead_lettered' }
  /** Parked: durable in a log of its own, where its fate is counted. */
  | { readonly kind: 'moved' }
  | { readonly kind: 'dropped'; readonly reason: string }
  | { readonly kind: 'lost'; readonly reason: string }

/** The part of a cursor that settlement writes. */
export interface FinishSink {
  finish(firstOffset: number, endOffset: number, fate: Fate): void
  /** Why somebody else finished offsets last: the reason of a drop. */
  readonly passReason: string
}

/** Why a record goes to the dead letters, before its bytes are read. */
export interface LetterRequest {
  readonly offsets: readonly number[]
  readonly reason: string
  readonly step: string
  readonly status: number | null
  readonly text: string
  readonly target: string
  readonly tries: Tries
}

/** Writes dead letters; settles when they are durable. */
export type WriteLetters = (letters: readonly LetterRequest[]) => Promise<void>

export class TaskSettlement implements Settlement {
  readonly #rows: RowIndex
  readonly #sink: FinishSink
  readonly #writeLetters: WriteLetters
  readonly #target: string
  readonly #membersOf: ReadonlyMap<number, readonly number[]>
  readonly #onRenderAgain: (rows: readonly RowOffsets[], tries: TriesSoFar) => void
  readonly #onLeave: (key: string, rows: readonly RowOffsets[], tries: TriesSoFar) => void

  constructor(options: {
    rows: RowIndex
    sink: FinishSink
    writeLetters: WriteLetters
    target: string
    joined: TaskResult['joined']
    onRenderAgain: (rows: readonly RowOffsets[], tries: TriesSoFar) => void
    onLeave: (key: string, rows: readonly RowOffsets[], tries: TriesSoFar) => void
  }) {
    this.#rows = options.rows
    this.#sink = options.sink
    this.#writeLetters = options.writeLetters
    this.#target = options.target
    this.#membersOf = new Map(options.joined.map(({ owner, offsets }) => [owner, offsets]))
    this.#onRenderAgain = options.onRenderAgain
    this.#onLeave = options.onLeave
  }

  stored(rows: RowSet, isDuplicate: boolean): void {
    const fate: Fate = { kind: isDuplicate ? 'duplicate' : 'delivered' }
    eachOffsetRange(this.#rows, rows, (first, end) => {
      this.#sink.finish(first, end, fate)
      if (this.#membersOf.size > 0) this.#finishMembers(first, end, fate)
    })
  }

  async refused(rows: readonly RefusedRow[], tries: Tries): Promise<void> {
    const letters = rows.map(({ row, reason, status, text }) => ({
      offsets: this.#offsetsOf(this.#rows.offset(row)),
      reason,
      step: '',
      status,
      text,
      target: this.#target,
      tries
    }))
    await this.#writeLetters(letters)
    for (const { offsets } of letters) finishEach(this.#sink, offsets, { kind: 'dead_lettered' })
  }

  renderAgain(rows: RowSet, tries: TriesSoFar): void {
    this.#onRenderAgain(this.#rowsOf(rows), tries)
  }

  leave(key: string, rows: RowSet, tries: TriesSoFar): void {
    this.#onLeave(key, this.#rowsOf(rows), tries)
  }

  /** Members of a row may lie in frames before those of the task. */
  #rowsOf(rows: RowSet): RowOffsets[] {
    return rowList(rows).map((row) => this.#offsetsOf(this.#rows.offset(row)))
  }

  /** A joined record whose first part was dropped is dropped as a whole. */
  passed(rows: RowSet): void {
    if (this.#membersOf.size === 0) return
    const fate: Fate = { kind: 'dropped', reason: this.#sink.passReason }
    eachOffsetRange(this.#rows, rows, (first, end) => this.#finishMembers(first, end, fate))
  }

  offsetsWithin(start: number, end: number): readonly [number, number] {
    // Rows of a body may stand in the order of their times.
    let first = Number.MAX_SAFE_INTEGER
    let highest = 0
    for (let row = start; row < end; row++) {
      const owner = this.#rows.offset(row)
      first = Math.min(first, owner)
      highest = Math.max(highest, owner, this.#membersOf.get(owner)?.at(-1) ?? 0)
    }
    return [first, highest + 1]
  }

  #offsetsOf(owner: number): number[] {
    return [owner, ...(this.#membersOf.get(owner) ?? [])]
  }

  #finishMembers(first: number, end: number, fate: Fate): void {
    for (let offset = first; offset < end; offset++) {
      finishEach(this.#sink, this.#membersOf.get(offset) ?? [], fate)
    }
  }
}

/** What the pool thread decided by itself: removed, damaged, refused by a step. */
export async function settleSteps(
  result: TaskResult,
  sink: FinishSink,
  writeLetters: WriteLetters,
  judge: (firstOffset: number, endOffset: number) => readonly Hole[]
): Promise<void> {
  for (const { first, end } of result.dropped) {
    sink.finish(first, end, { kind: 'dropped', reason: 'filtered' })
  }
  for (const { first, end } of result.damaged) {
    // What was never acknowledged is no loss.
    for (const { firstOffset, endOffset, reason } of judge(first, end)) {
      sink.finish(firstOffset, endOffset, { kind: 'lost', reason })
    }
  }
  if (result.deadLetters.length === 0) return
  const letters = result.deadLetters.map(({ offset, members, step, reason }) => ({
    offsets: [offset, ...(members ?? []).filter((member) => member !== offset)],
    reason,
    step,
    status: null,
    text: '',
    target: '',
    tries: FIRST_TRY
  }))
  await writeLetters(letters)
  for (const { offsets } of letters) finishEach(sink, offsets, { kind: 'dead_lettered' })
}

function finishEach(sink: FinishSink, offsets: readonly number[], fate: Fate): void {
  for (const offset of offsets) sink.finish(offset, offset + 1, fate)
}

/** Label of a fate in metrics: `dropped` and `lost` have a reason. */
export function fateReason(fate: Fate): string {
  switch (fate.kind) {
    case 'dropped':
    case 'lost':
      return fate.reason
    case 'delivered':
    case 'duplicate':
    case 'dead_lettered':
    case 'moved':
      return ''
    default:
      return unreachable(fate)
  }
}
