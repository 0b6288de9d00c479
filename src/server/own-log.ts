// Runs on: main.
// The way of the log of this process to the input that takes it. The logger is never held up: what is over the rate or
// the bytes that may wait is dropped and counted. Records may cause lines that become records again; the rate bounds that
// circle, and the one line that this file logs itself is not taken. Lines from before the listeners wait. Limits:
// OWN_LOG_BYTES_MAX, OWN_LOG_RATE_MAX, OWN_LOG_BURST_MAX.

import type { MillraceConfig } from '../config/schema.ts'
import type { CancelTimer, Clock } from '../core/clock.ts'
import { OWN_LOG_BURST_MAX, OWN_LOG_BYTES_MAX, OWN_LOG_RATE_MAX } from '../core/limits.ts'
import { INGEST_COUNTERS } from '../metrics/ingest-counters.ts'
import type { OwnLogLines } from '../plugin/input.ts'
import type { OutputLog } from '../plugin/output.ts'
import type { Registry } from '../plugin/registry.ts'

type Send = (batch: readonly OwnLogLines[]) => void
type DropReason = 'rate' | 'overflow' | 'stopped'

const WARN_MS = 60_000
/** Of a record that names no component. */
const MAIN = 'main'
/** What may stand in a tag. */
const COMPONENT = /^[\w-]{1,64}$/

export class OwnLogFeed {
  /** Least level that is taken. */
  readonly level: string
  readonly #inputOrdinal: number
  readonly #clock: Clock
  readonly #dropped: Record<DropReason, number> = { rate: 0, overflow: 0, stopped: 0 }
  #log: OutputLog | null = null
  #send: Send | null = null
  #isClosed = false
  #waiting: OwnLogLines[] = []
  #waitingBytes = 0
  /** Of the batch that was not answered yet; 0: there is none. */
  #sentBytes = 0
  #tokenCount = OWN_LOG_BURST_MAX
  #countedMs: number
  #isWarning = false
  #warnedMs = Number.NEGATIVE_INFINITY
  #unwarnedCount = 0
  #cancelWarning: CancelTimer | null = null

  constructor(level: string, inputOrdinal: number, clock: Clock) {
    this.level = level
    this.#inputOrdinal = inputOrdinal
    this.#clock = clock
    this.#countedMs = clock.monotonicMs()
  }

  /** Null: no input takes it. */
  static of(config: MillraceConfig, registry: Registry, clock: Clock): OwnLogFeed | null {
    for (const [ordinal, { type, config: options }] of Object.values(config.inputs).entries()) {
      const level = registry.input(type)?.ownLogLevel?.(options)
      if (level !== undefined) return new OwnLogFeed(level, ordinal, clock)
    }
    return null
  }

  /** Where it says, once a minute at most, that lines were dropped. */
  warnBy(log: OutputLog): void {
    this.#log = log
  }

  /** One line of the logger, with its line feed. */
  write(line: string): void {
    if (this.#isWarning) return
    if (this.#isClosed) {
      this.#dropped.stopped++
      return
    }
    if (!this.#takeToken()) {
      this.#drop('rate')
      return
    }
    const byteCount = Buffer.byteLength(line)
    if (this.#sentBytes + this.#waitingBytes + byteCount > OWN_LOG_BYTES_MAX) {
      this.#drop('overflow')
      return
    }
    this.#waiting.push({ component: componentOf(line), text: line })
    this.#waitingBytes += byteCount
    if (this.#sentBytes === 0) this.#flush()
  }

  /** The input takes lines from now on; `taken` answers each batch. */
  connect(send: Send): void {
    if (this.#isClosed) return
    this.#send = send
    this.#flush()
  }

  taken(): void {
    this.#sentBytes = 0
    if (!this.#isClosed) this.#flush()
  }

  /** Hands over what waits; later lines are counted and dropped. */
  close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#cancelWarning?.()
    if (this.#send === null) this.#dropped.stopped += this.#waiting.length
    else this.#flush()
    this.#waiting = []
  }

  /** What main counted, for the sum with the cells of the threads. */
  counter(inputOrdinal: number, place: number): number {
    if (inputOrdinal !== this.#inputOrdinal) return 0
    const key = INGEST_COUNTERS[place]?.key
    for (const reason of ['rate', 'overflow', 'stopped'] as const) {
      if (key === `input_rejected_records_total/${reason}`) return this.#dropped[reason]
    }
    return 0
  }

  #flush(): void {
    if (this.#send === null || this.#waiting.length === 0) return
    const batch = joined(this.#waiting)
    this.#waiting = []
    this.#sentBytes += this.#waitingBytes
    this.#waitingBytes = 0
    this.#send(batch)
  }

  #takeToken(): boolean {
    const nowMs = this.#clock.monotonicMs()
    const gained = ((nowMs - this.#countedMs) / 1000) * OWN_LOG_RATE_MAX
    this.#countedMs = nowMs
    this.#tokenCount = Math.min(OWN_LOG_BURST_MAX, this.#tokenCount + gained)
    if (this.#tokenCount < 1) return false
    this.#tokenCount--
    return true
  }

  #drop(reason: DropReason): void {
    this.#dropped[reason]++
    this.#unwarnedCount++
    if (this.#cancelWarning !== null) return
    const delayMs = Math.max(0, this.#warnedMs + WARN_MS - this.#clock.monotonicMs())
    // Never within the call of the logger that brought the line.
    this.#cancelWarning = this.#clock.after(delayMs, () => this.#warn())
  }

  #warn(): void {
    this.#cancelWarning = null
    this.#warnedMs = this.#clock.monotonicMs()
    const fields = { event: 'internal.dropped', count: this.#unwarnedCount }
    this.#unwarnedCount = 0
    this.#isWarning = true
    try {
      this.#log?.warn(fields, 'log lines did not become records: too many, or the queue is full')
    } finally {
      this.#isWarning = false
    }
  }
}

function componentOf(line: string): string {
  // The logger writes objects.
  const { component } = JSON.parse(line) as Record<string, unknown>
  return typeof component === 'string' && COMPONENT.test(component) ? component : MAIN
}

/** Lines of one component that follow each other, as one text. */
function joined(lines: readonly OwnLogLines[]): OwnLogLines[] {
  const batch: { component: string; text: string }[] = []
  for (const { component, text } of lines) {
    const last = batch.at(-1)
    if (last?.component === component) last.text += text
    else batch.push({ component, text })
  }
  return batch
}
