// Steps 2 and 3. Runs on: ingest.
// Units of a scan -> runs for the appender and acks for the line. A unit has one part, or several: a rest that no step can
// read, or its messages one by one while resends are remembered. A unit that finds no room is offered again and goes on
// with the part that found none. Nothing here runs per record.

import { skipValue } from '../../../src/core/msgpack-skip.ts'
import { INVALID_REASONS, type ScanUnit } from '../../../src/kernel/scan-unit.ts'
import { CommitCount } from '../../../src/plugin/commit-count.ts'
import type {
  AppendSource,
  DurableListener,
  InputContext,
  RefusedBytes,
  Run
} from '../../../src/plugin/input.ts'
import { entryRuns, refusedBytes, runsByTag } from '../../../src/plugin/unit-runs.ts'
import { type Ack, type AckLine, ackBytes } from './ack-line.ts'

export type StoreContext = Pick<InputContext<unknown>, 'appender' | 'counters' | 'resends'>

export interface UnitStoreOptions {
  readonly context: StoreContext
  readonly source: AppendSource
  readonly line: AckLine
  readonly dedupe: 'unconfirmed' | 'window' | 'off'
  /** The tag to store a batch within a batch under. */
  tagOf(received: Buffer): Buffer
}

type Part =
  | {
      readonly kind: 'append'
      readonly runs: readonly Run[]
      /** Logs that have it from before. */
      readonly storedIn?: readonly string[]
    }
  | { readonly kind: 'refuse'; readonly letter: RefusedBytes }

/** How far a unit came. */
interface Started {
  /** Told by each part; the ack itself when there is one part. */
  readonly listener: DurableListener | null
  readonly storedBefore: StoredBefore | null
  done: number
}

/** Messages of a unit that are stored already, or will be; the others are stored one by one. */
interface StoredBefore {
  /** By the number of the message; null: all of it is stored, or will be; else the logs that have it. */
  readonly messages: ReadonlyMap<number, readonly string[] | null>
  /** Told when those that are not durable yet are. */
  readonly pending: readonly LateListener[]
}

export const SIGNALS = ['', 'metrics', 'traces', 'blobs', 'profiles'] as const
const NO_IDS: readonly Buffer[] = []

export class UnitStore {
  readonly #options: UnitStoreOptions
  #started: Started | null = null

  constructor(options: UnitStoreOptions) {
    this.#options = options
  }

  /** Takes a unit whose places lie in `bytes`. `ids`: of the message, where its body was compressed. False: no room. */
  take(unit: ScanUnit, bytes: Buffer, tag: Buffer, ids = idsOf(unit, bytes)): boolean {
    const storedBefore =
      this.#started === null ? this.#findResent(unit, bytes, tag, ids) : this.#started.storedBefore
    const parts =
      storedBefore === null
        ? this.#partsOf(unit, bytes, tag, ids[0] ?? null)
        : this.#missingParts(unit, bytes, tag, ids[0] ?? null, storedBefore)
    this.#started ??= this.#start(this.#ackOf(tag, ids), parts.length, storedBefore)
    if (!this.#offer(parts)) return false
    this.#count(unit, storedBefore)
    return true
  }

  /** A body that cannot be decompressed becomes a dead letter. False: no room. */
  refuse(letter: RefusedBytes, tag: Buffer, ids: readonly Buffer[]): boolean {
    this.#started ??= this.#start(this.#ackOf(tag, ids), 1, null)
    return this.#offer([{ kind: 'refuse', letter }])
  }

  /** Whether a unit waits for room. */
  get isStarted(): boolean {
    return this.#started !== null
  }

  #offer(parts: readonly Part[]): boolean {
    const started = this.#started
    if (started === null) return true
    const { context, source } = this.#options
    for (; started.done < parts.length; started.done++) {
      const part = parts[started.done]
      if (part === undefined) break
      const outcome =
        part.kind === 'append'
          ? context.appender.append(source, part.runs, started.listener, part.storedIn)
          : context.appender.refuse(source, part.letter, started.listener)
      if (outcome === 'full') return false
      if (part.kind === 'refuse') context.counters.add('dead_letters', 1)
    }
    this.#started = null
    return true
  }

  #ackOf(tag: Buffer, ids: readonly Buffer[]): Ack | null {
    return ids.length === 0 ? null : this.#options.line.add(tag, ackBytes(ids))
  }

  #start(ack: Ack | null, partCount: number, storedBefore: StoredBefore | null): Started {
    const tellCount = partCount + (storedBefore?.pending.length ?? 0)
    let listener: DurableListener | null = ack
    if (ack !== null && tellCount === 0) {
      listener = null
      ack.onDurable()
    } else if (ack !== null && tellCount > 1) {
      listener = new CommitCount(ack, tellCount)
    }
    for (const late of storedBefore?.pending ?? []) late.listener = listener
    return { listener, storedBefore, done: 0 }
  }

  /** Looks the ids up, message by message; null: none of them is known, as nearly always. */
  #findResent(
    unit: ScanUnit,
    bytes: Buffer,
    tag: Buffer,
    ids: readonly Buffer[]
  ): StoredBefore | null {
    const { dedupe, context } = this.#options
    if (ids.length === 0 || dedupe === 'off' || context.resends.isEmpty) return null
    const found = {
      messages: new Map<number, readonly string[] | null>(),
      pending: [] as LateListener[]
    }
    const isKept = dedupe === 'window'
    const isWholeOnly = hasOtherParts(unit)
    for (const [message, id] of idsByMessage(unit, bytes, ids)) {
      const listener = new LateListener()
      const answer = context.resends.find({ tag, id, isKept, isWholeOnly, listener })
      if (answer === 'fresh') continue
      if (answer === 'pending') found.pending.push(listener)
      found.messages.set(message, typeof answer === 'string' ? null : answer.storedIn)
      context.counters.add('duplicate_chunks', 1)
    }
    return found.messages.size === 0 ? null : found
  }

  /** What is left of a unit of which something is stored. */
  #missingParts(
    unit: ScanUnit,
    bytes: Buffer,
    tag: Buffer,
    id: Buffer | null,
    { messages }: StoredBefore
  ): Part[] {
    if (unit.kind === 'messages') return messageParts(unit, bytes, tag, messages)
    const storedIn = messages.get(0)
    if (storedIn === null || storedIn === undefined) return []
    const parts = this.#partsOf(unit, bytes, tag, id)
    return parts.map((part) => (part.kind === 'append' ? { ...part, storedIn } : part))
  }

  #partsOf(unit: ScanUnit, bytes: Buffer, tag: Buffer, id: Buffer | null): Part[] {
    const parts: Part[] = []
    if (unit.recordCount > 0 && unit.kind === 'messages') {
      const { startByte, endByte, recordCount } = unit
      const run = messageRun(unit, bytes, tag, startByte, endByte, recordCount)
      parts.push({ kind: 'append', runs: [run] })
    } else if (unit.recordCount > 0) {
      const runs = entryRuns(unit, bytes, tag, id, this.#options.tagOf)
      for (const list of runsByTag(runs)) parts.push({ kind: 'append', runs: list })
    }
    if (unit.invalidTotal === 0 && unit.giveUpReason === null) return parts
    const refused = refusedBytes(unit, bytes)
    if (refused.length > 0) {
      const invalid = INVALID_REASONS.find((each) => unit.invalidCount(each) > 0)
      const reason = unit.giveUpReason ?? invalid ?? 'not_an_entry'
      parts.push({ kind: 'refuse', letter: { reason, tag, bytes: refused } })
    }
    return parts
  }

  #count(unit: ScanUnit, storedBefore: StoredBefore | null): void {
    const { counters } = this.#options.context
    if (storedBefore === null) counters.add('received_records', unit.recordCount)
    else if (unit.kind === 'messages') {
      const wholeCount = [...storedBefore.messages.values()].filter((logs) => logs === null).length
      counters.add('received_records', unit.messageCount - wholeCount)
    }
    if (unit.kind === 'skipped') {
      counters.add(`forward_nonlog_dropped_total/${SIGNALS[unit.signal] ?? ''}`, 1)
    }
    if (unit.invalidTotal > 0) {
      for (const reason of INVALID_REASONS) {
        counters.add(`input_rejected_records_total/${reason}`, unit.invalidCount(reason))
      }
    }
    if (unit.badTimeCount > 0) counters.add('bad_time', unit.badTimeCount)
    if (unit.markerCount > 0) counters.add('group_markers', unit.markerCount)
    if (unit.nestedBatchCount > 0) counters.add('nested_forward', unit.nestedBatchCount)
    if (unit.isCompressionMismatch) counters.add('compression_mismatch', 1)
  }
}

/** Passes on to a listener that is known after the question was asked. */
class LateListener implements DurableListener {
  listener: DurableListener | null = null

  onDurable(): void {
    this.listener?.onDurable()
  }

  onRejected(reason: string): void {
    this.listener?.onRejected(reason)
  }
}

/** The `chunk` values of a unit. */
export function idsOf(unit: ScanUnit, bytes: Buffer): readonly Buffer[] {
  const { ackCount } = unit
  if (ackCount === 0) return NO_IDS
  const ids: Buffer[] = []
  for (let ack = 0; ack < ackCount; ack++) {
    const start = unit.ackStartByte(ack)
    ids.push(bytes.subarray(start, start + unit.ackByteCount(ack)))
  }
  return ids
}

function messageRun(
  unit: ScanUnit,
  bytes: Buffer,
  tag: Buffer,
  start: number,
  end: number,
  recordCount: number
): Run {
  return {
    tag,
    form: 2,
    entries: bytes.subarray(start, end),
    recordCount,
    ingestId: null,
    hasIngestIds: unit.ackCount > 0,
    minTimeSeconds: unit.minSeconds,
    maxTimeSeconds: unit.maxSeconds
  }
}

/** Whether entries are not all that has to be stored: a rest that no step can read, or batches under other tags. */
function hasOtherParts(unit: ScanUnit): boolean {
  if (unit.kind === 'messages') return false
  return unit.invalidTotal > 0 || unit.giveUpReason !== null || unit.nestedBatchCount > 0
}

/** The messages of a unit that are not stored everywhere yet, one by one. */
function messageParts(
  unit: ScanUnit,
  bytes: Buffer,
  tag: Buffer,
  storedBefore: StoredBefore['messages']
): Part[] {
  const parts: Part[] = []
  for (const [message, { start, end }] of messagePlaces(unit, bytes).entries()) {
    const storedIn = storedBefore.get(message)
    if (storedIn === null) continue
    const runs = [messageRun(unit, bytes, tag, start, end, 1)]
    parts.push({ kind: 'append', runs, ...(storedIn === undefined ? {} : { storedIn }) })
  }
  return parts
}

function messagePlaces(unit: ScanUnit, bytes: Buffer): { start: number; end: number }[] {
  const places: { start: number; end: number }[] = []
  let start = unit.startByte
  while (start < unit.endByte) {
    const end = skipValue(bytes, start)
    if (end < 0) break
    places.push({ start, end })
    start = end
  }
  return places
}

/** Ids with the number of their message; other units than `messages` are one message. */
function idsByMessage(
  unit: ScanUnit,
  bytes: Buffer,
  ids: readonly Buffer[]
): (readonly [number, Buffer])[] {
  if (unit.kind !== 'messages') return ids.map((id) => [0, id] as const)
  const places = messagePlaces(unit, bytes)
  return ids.map((id) => {
    const at = id.byteOffset - bytes.byteOffset
    return [places.findIndex(({ end }) => at < end), id] as const
  })
}
