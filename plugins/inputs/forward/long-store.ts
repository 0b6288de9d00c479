// Steps 2 and 3. Runs on: ingest.
// Stores messages that are too long for memory: checks their entries part by part, other connections in between, then hands
// them to the appender, which reads them a second time. What no step can read becomes a dead letter. One at a time per
// connection; the bytes live until all of it is durable.

import { type Compression, inflateInSteps } from '../../../src/codec/inflate.ts'
import type { ByteSource } from '../../../src/codec/zstd-frames.ts'
import { MESSAGE_PART_BYTES } from '../../../src/core/limits.ts'
import { type ScanKernel, ScanProgress } from '../../../src/kernel/scan-kernel.ts'
import { INVALID_REASONS } from '../../../src/kernel/scan-unit.ts'
import { CommitCount } from '../../../src/plugin/commit-count.ts'
import type {
  AppendSource,
  DurableListener,
  InputContext,
  LongAppend,
  LongLetter
} from '../../../src/plugin/input.ts'
import { type Ack, type AckLine, ackBytes } from './ack-line.ts'
import { type Body, PlainSink } from './body-inflater.ts'
import type { LongArrival } from './long-arrival.ts'
import { type Gap, LongCheck, LongEntries } from './long-entries.ts'
import type { ForwardOptions } from './options.ts'
import type { TagRule } from './tag-rule.ts'
import { idsOf, SIGNALS } from './unit-store.ts'
import { shownBytes } from './wrong-protocol.ts'

export interface LongStoreOptions {
  readonly context: InputContext<ScanKernel>
  readonly options: ForwardOptions
  readonly source: AppendSource
  readonly line: AckLine
  readonly tags: TagRule
  /** The sender is gone and sends again what asked for an ack. */
  readonly isClosed: () => boolean
  onAsked(): void
  warn(fields: object, message: string): void
}

/** `broken`: the stream cannot be read on. `rejected`: its sender has to see an error. */
export type LongOutcome = 'stored' | 'broken' | 'rejected'

/** What the option says. */
interface Said {
  readonly kind: 'entries' | 'compressed' | 'skipped'
  readonly compression: Compression
  readonly signal: number
  readonly ids: readonly Buffer[]
}

/** What is to be stored of a message. */
interface LongWork {
  readonly tag: Buffer
  readonly ids: readonly Buffer[]
  readonly entries: LongEntries | null
  readonly letter: LongLetter | null
}

const PROBE_BYTES = 16
const NIL = Buffer.from([0xc0])

export class LongStore {
  readonly #options: LongStoreOptions
  #appends: LongAppend[] = []
  #isCancelled = false

  constructor(options: LongStoreOptions) {
    this.#options = options
  }

  /** Nothing more is stored: the end of the process. */
  cancel(): void {
    this.#isCancelled = true
    for (const append of this.#appends) append.cancel()
  }

  /** Stores a message that came whole. Throws when its bytes cannot be read back. */
  async store(arrival: LongArrival): Promise<LongOutcome> {
    const { context, tags, warn } = this.#options
    const { counters } = context
    const said = this.#read(arrival)
    if (said === null) return 'broken'
    const { ids } = said
    const tag = tags.of(arrival.head.tag)
    if (this.#isSentAgain(ids)) return 'stored'
    if (arrival.isPassedOver) {
      counters.add('oversize_frames', 1)
      warn({ tag: tag.toString(), bytes: arrival.byteCount }, 'a message was too long and dropped')
      return this.#settle({ tag, ids, entries: null, letter: null })
    }
    if (said.kind === 'skipped') {
      counters.add(`forward_nonlog_dropped_total/${SIGNALS[said.signal] ?? ''}`, 1)
      return this.#settle({ tag, ids, entries: null, letter: null })
    }
    counters.add(`input_received_messages_total/${this.#modeOf(arrival, said)}`, 1)
    if (arrival.head.mode === 'single') {
      // Its record, or what stands beside it, is over the limit of a record.
      counters.add('input_rejected_records_total/too_large', 1)
      const letter = letterOf('too_large', tag, arrival.whole(), null)
      return this.#settle({ tag, ids, entries: null, letter })
    }
    if (said.kind === 'compressed') {
      return this.storeCompressed(said.compression, arrival.body(), tag, ids)
    }
    const entryCount = arrival.head.mode === 'forward' ? arrival.head.entryCount : null
    return this.#storePlain(arrival.body(), entryCount, tag, ids)
  }

  /** A body that takes more than one step to inflate. `onSmall` gets one that has room in memory, if it is given. */
  async storeCompressed(
    compression: Compression,
    source: ByteSource,
    tag: Buffer,
    ids: readonly Buffer[],
    onSmall?: (body: Body) => void
  ): Promise<LongOutcome> {
    const { context, options } = this.#options
    const sink = new PlainSink(context)
    try {
      const limit = options.max_decompressed_bytes
      const result = await inflateInSteps(compression, source, limit, (part) => sink.add(part))
      if (result.kind === 'failed') {
        return await this.#refuseBody(result.reason, source, tag, ids)
      }
      const small = onSmall === undefined ? null : sink.takeBody()
      if (small !== null) {
        onSmall?.(small)
        return 'stored'
      }
      context.counters.add('decompressed_bytes', sink.byteCount)
      const plain = sink.source()
      const check = sink.check ?? (await this.#check(plain, null))
      check.finish(sink.byteCount)
      // A body that is given up is kept as it came: what would come out of it has no end.
      const isGivenUp = check.giveUpReason !== null
      const refused = isGivenUp ? source : plain
      return await this.#storeChecked(check, plain, null, tag, ids, refused, isGivenUp)
    } finally {
      sink.close()
    }
  }

  async #refuseBody(
    reason: 'undecodable' | 'too_large',
    source: ByteSource,
    tag: Buffer,
    ids: readonly Buffer[]
  ): Promise<LongOutcome> {
    const { context, options, warn } = this.#options
    if (options.on_undecodable === 'reject') return 'rejected'
    context.counters.add(`input_rejected_records_total/${reason}`, 1)
    const first = Buffer.alloc(Math.min(64, source.byteCount))
    source.read(first, 0)
    warn(
      { reason, tag: tag.toString(), first_bytes: shownBytes(first) },
      'the body of a message cannot be decompressed: it is in the dead letters'
    )
    const letter = letterOf(reason, tag, source, null)
    return this.#settle({ tag, ids, entries: null, letter })
  }

  async #storePlain(
    source: ByteSource,
    entryCount: number | null,
    tag: Buffer,
    ids: readonly Buffer[]
  ): Promise<LongOutcome> {
    const check = await this.#check(source, entryCount)
    check.finish(source.byteCount)
    if (check.isBroken) return 'broken'
    return this.#storeChecked(check, source, entryCount, tag, ids, source, false)
  }

  async #check(source: ByteSource, entryCount: number | null): Promise<LongCheck> {
    const check = new LongCheck(this.#options.context.kernel, entryCount)
    try {
      for (let at = 0; at < source.byteCount && !check.isOver; at += MESSAGE_PART_BYTES) {
        const byteCount = Math.min(MESSAGE_PART_BYTES, source.byteCount - at)
        source.read(check.room(byteCount), at)
        check.look()
        await turn()
      }
      return check
    } catch (error) {
      check.release()
      throw error
    }
  }

  #storeChecked(
    check: LongCheck,
    source: ByteSource,
    entryCount: number | null,
    tag: Buffer,
    ids: readonly Buffer[],
    refused: ByteSource,
    isRefusedWhole: boolean
  ): Promise<LongOutcome> {
    const { kernel } = this.#options.context
    this.#count(check)
    const ingestId = ids[0] ?? null
    const entries =
      check.recordCount === 0
        ? null
        : new LongEntries({ kernel, source, check, entryCount, tag, ingestId })
    const reason =
      check.giveUpReason ?? INVALID_REASONS.find((each) => check.invalid.has(each)) ?? null
    const letter =
      reason === null ? null : letterOf(reason, tag, refused, isRefusedWhole ? null : check.gaps)
    return this.#settle({ tag, ids, entries, letter })
  }

  #count(check: LongCheck): void {
    const { counters } = this.#options.context
    for (const [reason, count] of check.invalid) {
      counters.add(`input_rejected_records_total/${reason}`, count)
    }
    if (check.badTimeCount > 0) counters.add('bad_time', check.badTimeCount)
    if (check.markerCount > 0) counters.add('group_markers', check.markerCount)
  }

  /** Waits until all of it is durable, or given up. */
  async #settle(work: LongWork): Promise<LongOutcome> {
    const { context, line } = this.#options
    const { entries, ids, letter, tag } = work
    const ack = ids.length === 0 ? null : line.add(tag, ackBytes(ids))
    const before = ack === null ? 'fresh' : this.#findResent(work, ack)
    if (before === 'known') return 'stored'
    const partCount = (entries === null ? 0 : 1) + (letter === null ? 0 : 1)
    if (partCount === 0) {
      ack?.onDurable()
      return 'stored'
    }
    if (entries !== null && before === 'fresh') {
      context.counters.add('received_records', entries.recordCount)
    }
    const { promise, resolve } = Promise.withResolvers<LongOutcome>()
    const listener = new CommitCount(this.#listener(work, ack, resolve), partCount)
    const { source } = this.#options
    if (entries !== null) {
      const storedIn = before === 'fresh' ? [] : before
      this.#appends.push(context.appender.appendLong(source, entries, listener, storedIn))
    }
    if (letter !== null) {
      context.counters.add('dead_letters', 1)
      this.#appends.push(context.appender.refuseLong(source, letter, listener))
    }
    const outcome = await promise
    this.#appends = []
    return outcome
  }

  #listener(
    { entries }: LongWork,
    ack: Ack | null,
    resolve: (outcome: LongOutcome) => void
  ): DurableListener {
    const { counters } = this.#options.context
    return {
      onDurable: () => {
        ack?.onDurable()
        resolve('stored')
      },
      onRejected: (reason, storedIn) => {
        if (ack !== null) ack.onRejected(reason, storedIn)
        else if (reason === 'spool') {
          counters.add('input_rejected_records_total/spool', entries?.recordCount ?? 1)
        }
        // What an overflow drops is counted there, and its sender goes on.
        resolve(reason === 'overflow' && ack === null ? 'stored' : 'rejected')
      }
    }
  }

  /** `known`: stored already, or on its way. Else the logs that have it. */
  #findResent({ tag, ids, letter }: LongWork, ack: Ack): 'fresh' | 'known' | readonly string[] {
    const { context, options } = this.#options
    const [id] = ids
    if (id === undefined || options.dedupe === 'off' || context.resends.isEmpty) return 'fresh'
    const answer = context.resends.find({
      tag,
      id,
      isKept: options.dedupe === 'window',
      isWholeOnly: letter !== null,
      listener: ack
    })
    if (answer === 'fresh') return 'fresh'
    context.counters.add('duplicate_chunks', 1)
    if (answer === 'stored') ack.onDurable()
    return typeof answer === 'string' ? 'known' : answer.storedIn
  }

  #isSentAgain(ids: readonly Buffer[]): boolean {
    if (ids.length > 0) this.#options.onAsked()
    return this.#isCancelled || (this.#options.isClosed() && ids.length > 0)
  }

  #modeOf({ head }: LongArrival, { compression, kind }: Said): string {
    if (kind === 'compressed') return compression
    return head.mode === 'single' ? 'message' : 'batch'
  }

  /** Lets the scanner read a message of the same tag and option, and of the first bytes of the body. Null: it refuses it. */
  #read(arrival: LongArrival): Said | null {
    const { counters, kernel } = this.#options.context
    const option = arrival.option()
    if (option === null) return null
    const { head } = arrival
    const hasBody = head.mode === 'packed' && !arrival.isPassedOver
    const first = Buffer.alloc(hasBody ? Math.min(PROBE_BYTES, head.bodyByteCount) : 0)
    if (hasBody) arrival.body().read(first, 0)
    const body =
      head.mode === 'packed'
        ? Buffer.concat([Buffer.from([0xc4, first.length]), first])
        : Buffer.from([0x90])
    const parts = [Buffer.from('93a0', 'hex'), body, option.length === 0 ? NIL : option]
    const message = Buffer.concat(parts)
    const block = kernel.borrow(message.length + PROBE_BYTES)
    if (block === null) return null
    try {
      message.copy(block)
      const bytes = block.subarray(0, message.length)
      const status = kernel.scan(bytes, new ScanProgress())
      if (status !== 'done' || kernel.unitCount !== 1) return null
      const unit = kernel.unit(0)
      const ids = idsOf(unit, bytes).map((id) => Buffer.from(id))
      if (unit.isCompressionMismatch && hasBody) counters.add('compression_mismatch', 1)
      const compression = unit.kind === 'zstd' ? 'zstd' : 'gzip'
      const isCompressed = unit.kind === 'gzip' || unit.kind === 'zstd'
      const kind = unit.kind === 'skipped' ? 'skipped' : isCompressed ? 'compressed' : 'entries'
      return { kind, compression, signal: unit.signal, ids }
    } finally {
      kernel.giveBack(block)
    }
  }
}

/** Pieces of a source as one letter; null: all of it. */
function letterOf(
  reason: string,
  tag: Buffer,
  source: ByteSource,
  gaps: readonly Gap[] | null
): LongLetter {
  if (gaps === null) {
    return { reason, tag, byteCount: source.byteCount, read: (into, at) => source.read(into, at) }
  }
  const byteCount = gaps.reduce((sum, { endByte, startByte }) => sum + endByte - startByte, 0)
  const read = (into: Uint8Array, atByte: number) => {
    let skip = atByte
    let done = 0
    for (const { endByte, startByte } of gaps) {
      const gapBytes = endByte - startByte
      const from = Math.min(skip, gapBytes)
      skip -= from
      const count = Math.min(gapBytes - from, into.length - done)
      if (count > 0) source.read(into.subarray(done, done + count), startByte + from)
      done += count
      if (done === into.length) return
    }
  }
  return { reason, tag, byteCount, read }
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))
