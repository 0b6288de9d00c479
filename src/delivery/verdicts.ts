// Step 9. Runs on: main.
// From the outcome of a flush to what happens to each row. Pure.

import { unreachable } from '../core/invariant.ts'
import type { FlushOutcome, Verdict } from '../plugin/output.ts'

/** A row that goes to the dead letters. */
export interface RefusedRow {
  readonly row: number
  readonly reason: string
  readonly status: number | null
  readonly text: string
}

/** How often a record was sent before it was refused. */
export interface Tries {
  readonly attempts: number
  /** Wall clock; null: just now. */
  readonly firstAttemptMs: number | null
}

/** What was tried with rows up to now; it goes with them when they leave their slot. */
export interface TriesSoFar {
  /** Number of the next try, from 1; anew for the halves of a body that was too large. */
  readonly attempt: number
  /** Requests that the rows were part of. */
  readonly flushCount: number
  /** Wall clock; null: never sent. */
  readonly firstAttemptMs: number | null
}

export const UNTRIED: TriesSoFar = { attempt: 1, flushCount: 0, firstAttemptMs: null }

/** Of rows that waited apart and travel together: the most that any of them had. */
export function joinTries(one: TriesSoFar, other: TriesSoFar): TriesSoFar {
  const firstMs = [one.firstAttemptMs, other.firstAttemptMs].filter((ms) => ms !== null)
  return {
    attempt: Math.max(one.attempt, other.attempt),
    flushCount: Math.max(one.flushCount, other.flushCount),
    firstAttemptMs: firstMs.length === 0 ? null : Math.min(...firstMs)
  }
}

/** Refused without having been sent, or at the first try. */
export const FIRST_TRY: Tries = { attempts: 1, firstAttemptMs: null }

/** Rows by fate; each row of the body stands in exactly one list. */
export interface Judgement {
  readonly stored: readonly number[]
  readonly duplicates: readonly number[]
  readonly refused: readonly RefusedRow[]
  /** Rows to send again, in order. `null`: every row (nothing was settled). */
  readonly retry: readonly number[] | null
  readonly retryReason: string
  /** Of the rows to send again those whose key is refused, and why. */
  readonly parked: ReadonlyMap<number, string>
  /** Wait that the destination asked for, milliseconds. */
  readonly retryAfterMs: number
  /** The body was refused as a whole: halve it. */
  readonly isSplit: boolean
}

const NOTHING: Judgement = {
  stored: [],
  duplicates: [],
  refused: [],
  retry: [],
  retryReason: '',
  parked: new Map(),
  retryAfterMs: 0,
  isSplit: false
}

/** Every row stored: the common case, for which nothing is listed. */
export function isAllStored(outcome: FlushOutcome): boolean {
  return (
    outcome.kind === 'all' &&
    outcome.verdict.kind === 'stored' &&
    outcome.verdict.duplicate !== true
  )
}

export function judge(outcome: FlushOutcome, rowCount: number): Judgement {
  switch (outcome.kind) {
    case 'all':
      return judgeRows(Array.from({ length: rowCount }, () => outcome.verdict))
    case 'rows':
      // A count that does not fit says nothing about any row.
      if (outcome.verdicts.length !== rowCount) return retryAll('row_count', 0)
      return judgeRows(outcome.verdicts)
    case 'split':
      return rowCount > 1 ? { ...retryAll(outcome.reason, 0), isSplit: true } : refuseOnly(outcome)
    default:
      return unreachable(outcome)
  }
}

/** Nothing was settled: the exception of a flush, a deadline, an answer that cannot be read. */
export function retryAll(reason: string, retryAfterMs: number): Judgement {
  return { ...NOTHING, retry: null, retryReason: reason, retryAfterMs }
}

function refuseOnly(outcome: { reason: string; status?: number; text?: string }): Judgement {
  const { reason, status = null, text = '' } = outcome
  return { ...NOTHING, refused: [{ row: 0, reason, status, text }] }
}

function judgeRows(verdicts: readonly Verdict[]): Judgement {
  const stored: number[] = []
  const duplicates: number[] = []
  const refused: RefusedRow[] = []
  const retry: number[] = []
  const parked = new Map<number, string>()
  let retryReason = ''
  let retryAfterMs = 0
  verdicts.forEach((verdict, row) => {
    switch (verdict.kind) {
      case 'stored':
        ;(verdict.duplicate === true ? duplicates : stored).push(row)
        break
      case 'refuse':
        refused.push({
          row,
          reason: verdict.reason,
          status: verdict.status ?? null,
          text: verdict.text ?? ''
        })
        break
      case 'park':
      case 'retry':
        retry.push(row)
        retryReason ||= verdict.reason
        if (verdict.kind === 'park') parked.set(row, verdict.reason)
        if (verdict.kind === 'retry') {
          retryAfterMs = Math.max(retryAfterMs, verdict.retryAfterMs ?? 0)
        }
        break
      default:
        unreachable(verdict)
    }
  })
  const isNothingSettled = retry.length === verdicts.length && retry.length > 0
  return {
    ...NOTHING,
    stored,
    duplicates,
    refused,
    retry: isNothingSettled ? null : retry,
    retryReason,
    parked,
    retryAfterMs
  }
}
