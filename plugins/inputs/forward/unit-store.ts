// Steps 2 and 3. Runs on: ingest.
// Units of a scan -> runs for the appender and acks for the line. A unit has one part, or several: a rest that no step can
// read, or its messages one by one while resends are remembered. A unit that finds no room is offered again and goes on
// with the part that found none. Nothing here runs per record.

import { skipValue } from '../../../src/codec/msgpack-skip.ts'
import { INVALID_REASONS, type ScanUnit } from '../../../src/kernel/scan-unit.ts'
import { CommitCount } from '../../../src/plugin/commit-count.ts'
import {
  type AppendSource,
  type DurableListener,
  type InputContext,
  type RefusedBytes,
  type Run,
  resendKey
} from '../../../src/plugin/input.ts'
import { type Ack, type AckLine, ackBytes } from './ack-line.ts'

export type StoreContext = Pick<InputContext<unknown>, 'appender' | 'counters' | 'resends'>

export interface UnitStoreOptions {
  readonly context: StoreContext
  readonly source: AppendSource
  readonly line: AckLine
  readonly dedupe: 'unconfirmed' | 'window' | 'off'
}

type Part =
  | { readonly kind: 'append'; readonly runs: readonly Run[] }
  | { readonly kind: 'refuse'; readonly letter: RefusedBytes }

/** How far a unit came. */
interface Started {
  /** Told by each part; the ack itself when there is one part. */
  readonly listener: DurableListener | null
  /** Messages are stored one by one; those that are stored already are passed over. */
  readonly storedBefore: ReadonlySet<number> | null
  done: number
}

const SIGNALS = ['', 'metrics', 'traces', 'blobs', 'profiles'] as const
const NO_IDS: readonly Buffer[] = []

export class UnitStore {
  readonly #options: UnitStoreOptions
  #started: Started | null = null

  constructor(options: UnitStoreOptions) {
    this.#options = options
  }

  /** Takes a unit whose places lie in `bytes`. `ids`: of the message, where its body was compressed. False: no room. */
  take(unit: ScanUnit, bytes: Buffer, tag: Buffer, ids = idsOf(unit, bytes)): boolean {
    this.#started ??= this.#begin(unit, bytes, tag, ids)
    const { storedBefore } = this.#started
    const parts =
      storedBefore === null
        ? partsOf(unit, bytes, tag, ids[0] ?? null)
        : messageParts(unit, bytes, tag, storedBefore)
    if (!this.#offer(parts)) return false
    this.#count(unit)
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
          ? context.appender.append(source, part.runs, started.listener)
          : context.appender.refuse(source, part.letter, started.listener)
      if (outcome === 'full') return false
      if (part.kind === 'refuse') context.counters.add('dead_letters', 1)
    }
    this.#started = null
    return true
  }

  #begin(unit: ScanUnit, bytes: Buffer, tag: Buffer, ids: readonly Buffer[]): Started {
    const ack = this.#ackOf(tag, ids)
    if (ack !== null && this.#options.dedupe !== 'off' && !this.#options.context.resends.isEmpty) {
      return this.#beginResent(unit, bytes, tag, ids, ack)
    }
    return this.#start(ack, partCountOf(unit), null)
  }

  #ackOf(tag: Buffer, ids: readonly Buffer[]): Ack | null {
    return ids.length === 0 ? null : this.#options.line.add(tag, ackBytes(ids))
  }

  #start(ack: Ack | null, tellCount: number, storedBefore: ReadonlySet<number> | null): Started {
    if (ack === null || tellCount === 1) return { listener: ack, storedBefore, done: 0 }
    if (tellCount === 0) {
      ack.onDurable()
      return { listener: null, storedBefore, done: 0 }
    }
    return { listener: new CommitCount(ack, tellCount), storedBefore, done: 0 }
  }

  /** Looks the ids up, message by message. */
  #beginResent(
    unit: ScanUnit,
    bytes: Buffer,
    tag: Buffer,
    ids: readonly Buffer[],
    ack: Ack
  ): Started {
    const { dedupe, context } = this.#options
    const later = new LateListener()
    const storedBefore = new Set<number>()
    let pendingCount = 0
    for (const [message, id] of idsByMessage(unit, bytes, ids)) {
      const found = context.resends.find(resendKey(tag, id), dedupe === 'window', later)
      if (found === 'fresh') continue
      if (found === 'pending') pendingCount++
      storedBefore.add(message)
      context.counters.add('duplicate_chunks', 1)
    }
    if (storedBefore.size === 0) return this.#start(ack, partCountOf(unit), null)
    const ownCount = unit.kind === 'messages' ? unit.messageCount - storedBefore.size : 0
    const started = this.#start(ack, ownCount + pendingCount, storedBefore)
    later.listener = started.listener
    return started
  }

  #count(unit: ScanUnit): void {
    const { counters } = this.#options.context
    if (unit.recordCount > 0) counters.add('received_records', unit.recordCount)
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

function partCountOf(unit: ScanUnit): number {
  return (unit.recordCount > 0 ? 1 : 0) + (unit.giveUpReason === null ? 0 : 1)
}

/** As many parts as `partCountOf` says. */
function partsOf(unit: ScanUnit, bytes: Buffer, tag: Buffer, id: Buffer | null): Part[] {
  const parts: Part[] = []
  if (unit.recordCount > 0) {
    const runs =
      unit.kind === 'messages'
        ? [messageRun(unit, bytes, tag, unit.startByte, unit.endByte, unit.recordCount)]
        : entryRuns(unit, bytes, tag, id)
    parts.push({ kind: 'append', runs })
  }
  const reason = unit.giveUpReason
  if (reason !== null) {
    const rest = bytes.subarray(unit.givenUpByte, unit.bodyEndByte)
    parts.push({ kind: 'refuse', letter: { reason, tag, bytes: rest } })
  }
  return parts
}

function entryRuns(unit: ScanUnit, bytes: Buffer, tag: Buffer, ingestId: Buffer | null): Run[] {
  const runs: Run[] = []
  for (let span = 0; span < unit.spanCount; span++) {
    const entries = bytes.subarray(unit.spanStartByte(span), unit.spanEndByte(span))
    const markerStart = unit.spanMarkerStartByte(span)
    const markerEnd = unit.spanMarkerEndByte(span)
    runs.push({
      tag,
      form: 1,
      entries:
        markerStart === markerEnd
          ? entries
          : Buffer.concat([bytes.subarray(markerStart, markerEnd), entries]),
      recordCount: unit.spanRecordCount(span),
      ingestId,
      hasIngestIds: ingestId !== null,
      minTimeSeconds: unit.minSeconds,
      maxTimeSeconds: unit.maxSeconds
    })
  }
  return runs
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

/** The messages of a unit that are not stored yet, one by one. A body that is stored has no part. */
function messageParts(
  unit: ScanUnit,
  bytes: Buffer,
  tag: Buffer,
  storedBefore: ReadonlySet<number>
): Part[] {
  if (unit.kind !== 'messages') return []
  const parts: Part[] = []
  for (const [message, { start, end }] of messagePlaces(unit, bytes).entries()) {
    if (storedBefore.has(message)) continue
    parts.push({ kind: 'append', runs: [messageRun(unit, bytes, tag, start, end, 1)] })
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
