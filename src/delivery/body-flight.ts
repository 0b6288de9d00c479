// Step 8. Runs on: main.
// One body on its way: flush, judge, settle, and send again what is left, until every row has a verdict. What is sent
// again is byte-identical per row. Rows that remain are moved together inside the slot; a body that cannot be cut there
// (the destination wraps its rows) is rendered again from the queue.

import { promisify } from 'node:util'
import { gzip } from 'node:zlib'
import { linkAbort } from '../core/abort.ts'
import type { Clock, Random } from '../core/clock.ts'
import { errorText } from '../core/errors.ts'
import { invariant } from '../core/invariant.ts'
import type { Batch, FlushOutcome, Output, RenderedBody } from '../plugin/output.ts'
import type { Circuit, Pass } from './circuit.ts'
import { type Keys, NO_KEY } from './keys.ts'
import { type RetryPolicy, retryDelayMs } from './retry.ts'
import type { RowIndex, RowSet } from './row-index.ts'
import {
  isAllStored,
  type Judgement,
  judge,
  type RefusedRow,
  retryAll,
  type Tries,
  type TriesSoFar
} from './verdicts.ts'

const gzipAsync = promisify(gzip)

/** What delivery does with rows that got a verdict. Rows are numbers of the task's index. */
export interface Settlement {
  stored(rows: RowSet, isDuplicate: boolean): void
  /** Settles when the dead letters are durable. */
  refused(rows: readonly RefusedRow[], tries: Tries): Promise<void>
  /** Rows whose body cannot be cut in the slot: render them again, fewer at once. */
  renderAgain(rows: RowSet, tries: TriesSoFar): void
  /** Rows of a key that fails: they wait without a slot. */
  leave(key: string, rows: RowSet, tries: TriesSoFar): void
  /** Rows that somebody else finished before they were sent: what was joined into them goes with them. */
  passed(rows: RowSet): void
  /** Offsets [first, end) that rows from `start` to `end` may lie in, with what was joined into them. */
  offsetsWithin(start: number, end: number): readonly [number, number]
}

/** What was finished by somebody else than the flights: dropped to make room. */
export interface PassedOffsets {
  /** Grows with every such change, so that rows are looked through only after one. */
  readonly passCount: number
  has(offset: number): boolean
}

/** For metrics and the log. */
export interface FlushObserver {
  flushed(outcome: 'stored' | 'partial' | 'failed', seconds: number, bytes: number): void
  retrying(reason: string, attempt: number, delayMs: number): void
}

export interface FlightOptions {
  readonly output: Output
  readonly slot: Buffer
  readonly rows: RowIndex
  readonly settlement: Settlement
  readonly circuit: Circuit
  readonly keys: Keys
  /** What was tried with these rows before they came into this slot. */
  readonly tries: TriesSoFar
  /** Rows that had waited for their key; null: straight from the queue. */
  readonly heldKey: string | null
  /** Sent to see whether the key works again: its closed key does not stop it. */
  readonly isTry: boolean
  /** Whether earlier rows of any key, of this key, still wait. */
  readonly isAnyHeld: () => boolean
  readonly isHeld: (key: string) => boolean
  /** The body begins (1) or ends (-1) to wait for its next try. */
  readonly onWait: (by: 1 | -1) => void
  readonly observer: FlushObserver
  readonly clock: Clock
  readonly random: Random
  readonly retry: RetryPolicy
  readonly flushTimeoutMs: number
  readonly passed: PassedOffsets
  /** `passed.passCount` when the rows were chosen. */
  readonly passCount: number
  /** Ends the flight at shutdown; what has no verdict stays pending. */
  readonly signal: AbortSignal
  /** Ends a request that is on the wire: a while after `signal`, so that an answer on its way counts. Default: `signal`. */
  readonly wireSignal?: AbortSignal
}

/** A stretch of rows that travels as one body. */
interface Part {
  readonly rowStart: number
  rowEnd: number
  startByte: number
  byteCount: number
  compressed: Buffer | null
  sha256: string | null
  attempt: number
  /** Of all tries of its rows, also before a split. */
  flushCount: number
}

export class BodyFlight {
  readonly #options: FlightOptions
  readonly #body: RenderedBody
  readonly #parts: Part[]
  /** When the first request went out, wall clock. */
  #firstAttemptMs: number | null
  #passCount: number
  /** Being sent or settled: its rows cannot be taken away. */
  #busy: Part | null = null

  constructor(body: RenderedBody, options: FlightOptions) {
    this.#options = options
    this.#body = body
    this.#passCount = options.passCount
    const { attempt, firstAttemptMs, flushCount } = options.tries
    this.#firstAttemptMs = firstAttemptMs
    const { compressed } = body
    this.#parts = [
      {
        rowStart: body.rowStart,
        rowEnd: body.rowStart + body.rowCount,
        startByte: body.startByte,
        byteCount: body.byteCount,
        compressed:
          compressed === null
            ? null
            : options.slot.subarray(
                compressed.startByte,
                compressed.startByte + compressed.byteCount
              ),
        sha256: body.sha256,
        attempt,
        flushCount
      }
    ]
  }

  /**
   * Offsets [first, end) whose request is on the wire, or whose answer is being settled; null while none is, as between
   * two tries.
   */
  get busyOffsets(): readonly [number, number] | null {
    const part = this.#busy
    if (part === null) return null
    return this.#options.settlement.offsetsWithin(part.rowStart, part.rowEnd)
  }

  /** Settles when every row has a verdict, was given back for rendering, left the slot, or the signal aborted. */
  async run(): Promise<void> {
    const { circuit, signal } = this.#options
    while (this.#parts.length > 0 && !signal.aborted) {
      if (this.#passCount !== this.#options.passed.passCount) {
        await this.#takeOutPassed()
        continue
      }
      // Keys may close, and rows be dropped, while this waits.
      if (circuit.isOpen) this.#options.onWait(1)
      const wasOpen = circuit.isOpen
      const pass = wasOpen ? await circuit.enter(signal) : 'free'
      if (wasOpen) this.#options.onWait(-1)
      if (pass === null) return
      const isChanged = this.#passCount !== this.#options.passed.passCount
      if (isChanged || this.#isAnyClosed()) {
        const isSendable = !isChanged && (await this.#leaveClosed())
        if (!isSendable) {
          circuit.unused(pass)
          continue
        }
      }
      await this.#send(pass)
    }
  }

  async #send(pass: Pass): Promise<void> {
    const { circuit, keys, settlement, signal } = this.#options
    const part = this.#parts[0]
    invariant(part !== undefined, 'a flight without parts goes on')
    this.#busy = part
    const outcome = await this.#flush(part)
    if (signal.aborted && outcome === null) return circuit.unused(pass)
    if (outcome !== null && isAllStored(outcome)) {
      settlement.stored({ start: part.rowStart, end: part.rowEnd }, false)
      this.#parts.shift()
      this.#busy = null
      circuit.worked()
      keys.worked(this.#keysOf(part))
      return
    }
    await this.#afterTrouble(part, outcome, pass)
  }

  /** null: aborted by shutdown. */
  async #flush(part: Part): Promise<FlushOutcome | null> {
    const { output, clock, flushTimeoutMs, observer, signal } = this.#options
    const wireSignal = this.#options.wireSignal ?? signal
    const limit = linkAbort(wireSignal)
    const cancel = clock.after(flushTimeoutMs, () =>
      limit.abort(new Error(`no answer within ${flushTimeoutMs} ms`))
    )
    const startedMs = clock.monotonicMs()
    this.#firstAttemptMs ??= clock.nowMs()
    part.flushCount++
    let outcome: FlushOutcome
    try {
      outcome = await output.flush(this.#batch(part), limit.signal)
    } catch (error) {
      outcome = { kind: 'all', verdict: { kind: 'retry', reason: errorText(error) } }
    } finally {
      cancel()
      limit.release()
    }
    const seconds = (clock.monotonicMs() - startedMs) / 1000
    observer.flushed(flushResult(outcome), seconds, part.compressed?.length ?? part.byteCount)
    return wireSignal.aborted && flushResult(outcome) === 'failed' ? null : outcome
  }

  #batch(part: Part): Batch {
    const { slot, rows } = this.#options
    const { target } = this.#body
    return {
      target,
      body: part.compressed ?? slot.subarray(part.startByte, part.startByte + part.byteCount),
      isCompressed: part.compressed !== null,
      sha256: part.sha256,
      rowCount: part.rowEnd - part.rowStart,
      rawByteCount: part.byteCount,
      attempt: part.attempt,
      rowBytes(row) {
        const startByte = rows.startByte(part.rowStart + row)
        return slot.subarray(startByte, startByte + rows.byteCount(part.rowStart + row))
      }
    }
  }

  async #afterTrouble(part: Part, outcome: FlushOutcome | null, pass: Pass): Promise<void> {
    const rowCount = part.rowEnd - part.rowStart
    const judgement = outcome === null ? retryAll('aborted', 0) : judge(outcome, rowCount)
    const { circuit } = this.#options
    // An answer to single rows or about a key: somebody is there.
    const isDown = judgement.retry === null && judgement.parked.size === 0 && !judgement.isSplit
    if (isDown && outcome?.kind === 'all') circuit.failed(pass, judgement.retryAfterMs)
    else circuit.worked()
    await this.#settle(part, judgement)
    this.#busy = null
    if (judgement.isSplit) return await this.#split(part)
    const { attempt } = part
    part.attempt++
    const left = this.#leaveFailed(part, judgement, outcome?.kind === 'all')
    if (left !== null && left.length === 0) {
      this.#parts.shift()
      return
    }
    if (left !== null && !(await this.#keepOnly(part, left))) return
    await this.#wait(attempt, judgement)
  }

  /** Tells what works and what fails. Rows of closed keys leave; returns those that stay, null: all of them. */
  #leaveFailed(part: Part, judgement: Judgement, isWhole: boolean): readonly number[] | null {
    const { heldKey, keys } = this.#options
    const { duplicates, parked, refused, retry, retryAfterMs, retryReason, stored } = judgement
    const works = [...stored, ...duplicates, ...refused.map(({ row }) => row)]
    if (works.length > 0) keys.worked(this.#keysOf(part, works))
    if (retry !== null && retry.length === 0) return retry
    const rows = retry ?? Array.from({ length: part.rowEnd - part.rowStart }, (_, row) => row)
    const byKey = new Map<string, number[]>()
    for (const row of rows) {
      // A request that failed as a whole says nothing about one of its keys.
      const isKnown = !isWhole || parked.size > 0
      const key = isKnown ? this.#keyOf(part.rowStart + row) : this.#wholeKey(part)
      const ofKey = byKey.get(key)
      if (ofKey === undefined) byKey.set(key, [row])
      else ofKey.push(row)
    }
    const staying: number[] = []
    for (const [key, ofKey] of byKey) {
      const parkReason = parked.get(ofKey[0] ?? 0)
      const isPark = parkReason !== undefined
      const reason = parkReason ?? retryReason
      const isLeaving = keys.failed(key, { isPark, reason, retryAfterMs })
      // Rows that had waited wait on: they are the ones that are tried.
      if (isLeaving || heldKey !== null) {
        // Rows of an unknown culprit stay together until one of them shows its key.
        const holder = isLeaving ? key : (heldKey ?? key)
        this.#options.settlement.leave(holder, shift(ofKey, part.rowStart), this.#triesOf(part))
      } else for (const row of ofKey) staying.push(row)
    }
    if (staying.length === rows.length) return retry
    return staying.sort((one, other) => one - other)
  }

  /** Whether some row may belong to a key whose rows must not be sent now. */
  #isAnyClosed(): boolean {
    const { isAnyHeld, isTry, keys } = this.#options
    return !isTry && (keys.isAnyClosed || isAnyHeld())
  }

  /** Takes rows of closed keys out of the part that is next. False: look again. */
  async #leaveClosed(): Promise<boolean> {
    const part = this.#parts[0]
    invariant(part !== undefined, 'a flight without parts goes on')
    const { heldKey, isHeld, keys, settlement } = this.#options
    const left: number[] = []
    const gone = new Map<string, number[]>()
    for (let row = part.rowStart; row < part.rowEnd; row++) {
      const key = this.#keyOf(row)
      const isBehind = key !== heldKey && isHeld(key)
      if (!isBehind && !keys.isClosed(key)) {
        left.push(row - part.rowStart)
        continue
      }
      const ofKey = gone.get(key)
      if (ofKey === undefined) gone.set(key, [row])
      else ofKey.push(row)
    }
    if (gone.size === 0) return true
    for (const [key, rows] of gone) settlement.leave(key, rows, this.#triesOf(part))
    if (left.length > 0) return await this.#keepOnly(part, left)
    this.#parts.shift()
    return false
  }

  #keyOf(row: number): string {
    const { output, rows, slot } = this.#options
    if (output.keyOf === undefined) return this.#body.target
    const startByte = rows.startByte(row)
    return output.keyOf(slot.subarray(startByte, startByte + rows.byteCount(row)))
  }

  /** Key of a part that failed as a whole. */
  #wholeKey(part: Part): string {
    return this.#body.target === '' ? NO_KEY : this.#keyOf(part.rowStart)
  }

  /** Keys of the rows of a part, all of one where it has one target. Read only while something fails. */
  *#keysOf(part: Part, rows?: readonly number[]): Iterable<string> {
    const { heldKey } = this.#options
    if (heldKey !== null) yield heldKey
    if (this.#body.target !== '') {
      yield this.#keyOf(part.rowStart)
      return
    }
    if (rows !== undefined) for (const row of rows) yield this.#keyOf(part.rowStart + row)
    else for (let row = part.rowStart; row < part.rowEnd; row++) yield this.#keyOf(row)
  }

  async #settle(part: Part, judgement: Judgement): Promise<void> {
    const { settlement } = this.#options
    const { stored, duplicates, refused } = judgement
    if (stored.length > 0) settlement.stored(shift(stored, part.rowStart), false)
    if (duplicates.length > 0) settlement.stored(shift(duplicates, part.rowStart), true)
    if (refused.length > 0) {
      const tries = { attempts: part.flushCount, firstAttemptMs: this.#firstAttemptMs }
      const rows = refused.map((row) => ({ ...row, row: row.row + part.rowStart }))
      await settlement.refused(rows, tries)
    }
  }

  #triesOf({ attempt, flushCount }: Part): TriesSoFar {
    return { attempt, flushCount, firstAttemptMs: this.#firstAttemptMs }
  }

  /** Halves the part; each half starts its tries anew. */
  async #split(part: Part): Promise<void> {
    const { rows, settlement } = this.#options
    this.#parts.shift()
    if (!this.#isTiled(part)) {
      const tries = { ...this.#triesOf(part), attempt: 1 }
      settlement.renderAgain({ start: part.rowStart, end: part.rowEnd }, tries)
      return
    }
    const middle = (part.rowStart + part.rowEnd) >>> 1
    const middleByte = rows.startByte(middle)
    const endByte = part.startByte + part.byteCount
    const first = { ...part, rowEnd: middle, byteCount: middleByte - part.startByte, attempt: 1 }
    const second = {
      ...part,
      rowStart: middle,
      startByte: middleByte,
      byteCount: endByte - middleByte,
      attempt: 1
    }
    if (part.compressed !== null) await Promise.all([this.#compress(first), this.#compress(second)])
    this.#parts.unshift(first, second)
  }

  /** Moves the rows that are left together at the start of the part. False: they are rendered again. */
  async #keepOnly(part: Part, left: readonly number[]): Promise<boolean> {
    const { rows, slot, settlement } = this.#options
    if (!this.#isTiled(part)) {
      this.#parts.splice(this.#parts.indexOf(part), 1)
      settlement.renderAgain(shift(left, part.rowStart), this.#triesOf(part))
      return false
    }
    let toByte = part.startByte
    left.forEach((row, index) => {
      const from = part.rowStart + row
      const startByte = rows.startByte(from)
      const byteCount = rows.byteCount(from)
      slot.copyWithin(toByte, startByte, startByte + byteCount)
      rows.move(from, part.rowStart + index, toByte)
      toByte += byteCount
    })
    part.rowEnd = part.rowStart + left.length
    part.byteCount = toByte - part.startByte
    if (part.compressed !== null) await this.#compress(part)
    return true
  }

  /** Rows that nobody waits for any more are counted already: sent now, they would arrive and be counted as dropped. */
  async #takeOutPassed(): Promise<void> {
    const { passed, rows, settlement } = this.#options
    this.#passCount = passed.passCount
    for (const part of [...this.#parts]) {
      const left: number[] = []
      const gone: number[] = []
      for (let row = part.rowStart; row < part.rowEnd; row++) {
        if (passed.has(rows.offset(row))) gone.push(row)
        else left.push(row - part.rowStart)
      }
      if (gone.length === 0) continue
      settlement.passed(gone)
      if (left.length === 0) this.#parts.splice(this.#parts.indexOf(part), 1)
      else await this.#keepOnly(part, left)
    }
  }

  /** Rows stand back to back from the first byte to the last: any stretch of them is a body by itself. */
  #isTiled(part: Part): boolean {
    const { rows } = this.#options
    const last = part.rowEnd - 1
    return (
      rows.startByte(part.rowStart) === part.startByte &&
      rows.startByte(last) + rows.byteCount(last) === part.startByte + part.byteCount &&
      part.sha256 === null
    )
  }

  async #compress(part: Part): Promise<void> {
    const { slot } = this.#options
    const plain = slot.subarray(part.startByte, part.startByte + part.byteCount)
    part.compressed = await gzipAsync(plain, { level: 1 })
  }

  async #wait(failedAttempt: number, judgement: Judgement): Promise<void> {
    const { clock, onWait, random, retry, observer, signal } = this.#options
    const delayMs = retryDelayMs(retry, failedAttempt, random, judgement.retryAfterMs)
    observer.retrying(judgement.retryReason, failedAttempt, delayMs)
    // Then the circuit says when.
    if (this.#options.circuit.isOpen) return
    onWait(1)
    // The only rejection is the abort of shutdown, which the loop sees by itself.
    await clock.sleep(delayMs, signal).catch(() => undefined)
    onWait(-1)
  }
}

function flushResult(outcome: FlushOutcome): 'stored' | 'partial' | 'failed' {
  if (outcome.kind === 'rows') return 'partial'
  return outcome.kind === 'all' && outcome.verdict.kind === 'stored' ? 'stored' : 'failed'
}

function shift(rows: readonly number[], by: number): number[] {
  return rows.map((row) => row + by)
}
