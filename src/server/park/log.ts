// Step 10. Runs on: main.
// The park of one destination: records of keys that it refuses, in a log of its own below `park/<route>/<output>`, durable
// before the cursor of the route passes them. Its cursor, named like the output, counts what becomes of them: `moved` of
// the route's cursors = appended here.
// Holds at most: `queue.park_bytes` on disk; in memory a range of offsets per key and stretch, `RANGES_MAX` of them, which
// also bounds the finished ranges of the cursor.

import { setImmediate as nextTurn } from 'node:timers/promises'
import { positionId } from '../../core/position.ts'
import type { RowOffsets } from '../../delivery/again-jobs.ts'
import { decodeParked, encodeParked, type ParkedEntry } from '../../delivery/park-record.ts'
import type { ShardLog } from '../../delivery/shard-log.ts'
import type { CursorAccount } from '../../storage/cursor/account.ts'
import type { Cursor, Outcome } from '../../storage/cursor/cursor.ts'
import type { Group } from '../../storage/format/frame.ts'
import { segmentBytesFor } from '../../storage/format/layout.ts'
import { shardDirectoryName } from '../../storage/format/segment-names.ts'
import { splitEntries } from '../../storage/format/stored-entries.ts'
import { FrameMemory, readFrameAt, ShardReader } from '../../storage/reader/shard-reader.ts'
import { ShardWriter } from '../../storage/writer/shard-writer.ts'
import { memberReader } from '../letters/member-reader.ts'
import {
  type OpenedShard,
  openParkShard,
  type StoreContext,
  storedShardNumbers
} from '../store/open-shards.ts'

/** Memory where entries are gathered, per destination that ever parked something. */
const SLAB_BYTES = 1024 * 1024
/** Stretches of offsets of all keys; half of what a cursor can tell apart. */
const RANGES_MAX = 2000
/** Entries that are read and written before the event loop gets a turn, and their bytes. */
const ENTRIES_PER_TURN = 256
const GROUP_BYTES_MAX = 1024 * 1024
/** Newest entries that are looked at for records parked again after a crash: more than a cursor can be behind by. */
const WRITTEN_BEFORE_MAX = 60_000

type Range = [first: number, end: number]

/** An entry of a row with its place in the park. */
export interface ParkedPlace {
  readonly parkOffset: number
  readonly entry: ParkedEntry
}

export interface ParkStatus {
  readonly keys: number
  readonly records: number
  readonly bytes: number
  /** Nothing more is parked: its bytes, or the stretches that it tells apart, are at their limit. */
  readonly isFull: boolean
}

export interface ParkLogOptions {
  readonly context: StoreContext
  readonly routeId: string
  readonly outputId: string
  readonly bytesMax: number
  readonly segmentBytesMax: number
}

export class ParkLog {
  readonly routeId: string
  readonly outputId: string
  /** Settles when the keys that were parked before this start are known. */
  readonly ready: Promise<void>
  readonly #options: ParkLogOptions
  readonly #ranges = new Map<string, Range[]>()
  #opened: OpenedShard | null = null
  #writer: ShardWriter | null = null
  /** Records that were parked when the process ended before the cursor of their route knew, or when a write failed. */
  readonly #written = new Set<string>()
  #storingBytes = 0
  /** Appends go one after another: offsets of the park tell the order of a key. */
  #tail: Promise<unknown> = Promise.resolve()
  #onAppended: () => void = () => {}
  #isClosed = false

  constructor(options: ParkLogOptions) {
    this.#options = options
    this.routeId = options.routeId
    this.outputId = options.outputId
    const isStored = storedShardNumbers(options.context, this.#log).length > 0
    if (isStored) this.#opened = this.#open()
    this.ready = this.#opened === null ? Promise.resolve() : this.#load(this.#opened)
  }

  get keys(): string[] {
    return [...this.#ranges.keys()]
  }

  get hasRoom(): boolean {
    const heldBytes = (this.#opened?.shardLog.heldBytes ?? 0) + this.#storingBytes
    return !this.#isClosed && heldBytes < this.#options.bytesMax && this.#rangeCount < RANGES_MAX
  }

  /** Calls back after records were parked. */
  onAppended(callback: () => void): void {
    this.#onAppended = callback
  }

  pendingOf(key: string): number {
    return (this.#ranges.get(key) ?? []).reduce((sum, [first, end]) => sum + end - first, 0)
  }

  status(): ParkStatus {
    if (this.#opened === null) return { keys: 0, records: 0, bytes: 0, isFull: false }
    const records = this.account()?.pending ?? 0
    const bytes = records === 0 ? 0 : this.#opened.shardLog.heldBytes
    return { keys: this.#ranges.size, records, bytes, isFull: !this.hasRoom }
  }

  /** What became of everything that was ever parked; null: nothing was. */
  account(): CursorAccount | null {
    return this.#opened === null ? null : this.#opened.shardLog.account(cursorOf(this.#opened))
  }

  /** Appends rows of one key; settles when they are durable. False: not stored, or not all of them. */
  append(shardLog: ShardLog, key: string, rows: readonly RowOffsets[]): Promise<boolean> {
    const turn = this.#tail.then(() => this.#append(shardLog, key, rows))
    this.#tail = turn.catch(() => undefined)
    return turn
  }

  /** The first rows of a key, in order, whole: at least one, at most so many records and bytes. */
  read(key: string, recordCountMax: number, byteCountMax: number): ParkedPlace[] {
    const places: ParkedPlace[] = []
    let byteCount = 0
    for (const place of this.#places(key)) {
      const isFirst = place.entry.memberCount > 0
      const isFull = places.length >= recordCountMax || byteCount >= byteCountMax
      if (isFirst && isFull) break
      places.push(place)
      byteCount += place.entry.bytes.length
    }
    return places
  }

  finish(parkOffset: number, outcome: Outcome, byteCount = 0): void {
    if (this.#opened === null) return
    cursorOf(this.#opened).finish(parkOffset, parkOffset + 1, outcome, byteCount)
    this.#opened.shardLog.progress()
  }

  /** Forgets what of the key is finished. False: something is left. */
  settle(key: string): boolean {
    const opened = this.#opened
    if (opened === null) return true
    const cursor = cursorOf(opened)
    const left = (this.#ranges.get(key) ?? []).flatMap(([first, end]) => cursor.missing(first, end))
    if (left.length > 0) this.#ranges.set(key, left)
    else this.#ranges.delete(key)
    return left.length === 0
  }

  /** Gives the room of an empty park back: its files go, the counts of its cursor stay. */
  retire(): Promise<void> {
    const turn = this.#tail.then(() => this.#retire())
    this.#tail = turn.catch(() => undefined)
    return turn
  }

  async close(): Promise<void> {
    this.#isClosed = true
    await this.ready.catch(() => undefined)
    await this.#writer?.close()
    await this.#tail
    await this.#opened?.shardLog.close()
  }

  get #log(): string {
    return `park/${this.#options.routeId}/${this.#options.outputId}`
  }

  get #rangeCount(): number {
    let count = 0
    for (const ranges of this.#ranges.values()) count += ranges.length
    return count
  }

  #open(): OpenedShard {
    const { context, outputId } = this.#options
    return openParkShard(context, this.#log, outputId)
  }

  /** Which offsets wait for which key: the tags of the groups say it. */
  async #load(opened: OpenedShard): Promise<void> {
    const cursor = cursorOf(opened)
    const { segments } = opened.shardLog
    const writtenFrom = segments.endOffset - WRITTEN_BEFORE_MAX
    const reader = new ShardReader(segments, cursor.lowOffset)
    const memory = new FrameMemory()
    for (let next = reader.next(); next !== null && !this.#isClosed; next = reader.next()) {
      if (next.kind === 'hole') {
        finishHole(cursor, next)
        continue
      }
      const { firstOffset, recordCount } = next.frame
      if (cursor.missing(firstOffset, firstOffset + recordCount).length === 0) continue
      const groups = readFrameAt(segments, next.frame, memory)?.groups ?? null
      if (groups === null) {
        const endOffset = firstOffset + recordCount
        for (const hole of segments.judge(firstOffset, endOffset)) finishHole(cursor, hole)
      }
      for (const group of groups ?? []) this.#noteGroup(cursor, group, writtenFrom)
      await nextTurn()
    }
  }

  #noteGroup(cursor: Cursor, group: Group, writtenFrom: number): void {
    const endOffset = group.firstOffset + group.recordCount
    const key = group.tag.toString()
    for (const [first, end] of cursor.missing(group.firstOffset, endOffset)) {
      this.#addRange(key, first, end)
    }
    if (endOffset <= writtenFrom) return
    for (const { startByte, endByte } of splitEntries(group) ?? []) {
      const entry = decodeParked(group.entries.subarray(startByte, endByte))
      if (entry !== null) this.#written.add(placeOf(entry))
    }
  }

  #addRange(key: string, first: number, end: number): void {
    const ranges = this.#ranges.get(key) ?? []
    this.#ranges.set(key, ranges)
    const last = ranges.at(-1)
    if (last !== undefined && last[1] === first) last[1] = end
    else ranges.push([first, end])
  }

  /** Entries of a key in order; frames of other keys are not read. */
  *#places(key: string): Iterable<ParkedPlace> {
    const ranges = this.#ranges.get(key) ?? []
    const [first] = ranges
    if (this.#opened === null || first === undefined) return
    const { segments } = this.#opened.shardLog
    const isInside = (offset: number) =>
      ranges.some(([from, end]) => offset >= from && offset < end)
    const reader = new ShardReader(segments, first[0])
    const memory = new FrameMemory()
    const last = ranges.at(-1) ?? first
    for (let next = reader.next(); next !== null; next = reader.next()) {
      if (next.kind === 'hole') {
        finishHole(cursorOf(this.#opened), next)
        continue
      }
      const { frame } = next
      if (frame.firstOffset >= last[1]) return
      const frameEnd = frame.firstOffset + frame.recordCount
      if (!ranges.some(([from, end]) => from < frameEnd && end > frame.firstOffset)) continue
      const stored = readFrameAt(segments, frame, memory)
      if (stored === null) {
        for (const hole of segments.judge(frame.firstOffset, frameEnd)) {
          finishHole(cursorOf(this.#opened), hole)
        }
      }
      for (const group of stored?.groups ?? []) {
        if (group.tag.toString() !== key) continue
        for (const [index, { startByte, endByte }] of (splitEntries(group) ?? []).entries()) {
          const parkOffset = group.firstOffset + index
          if (!isInside(parkOffset)) continue
          const entry = decodeParked(group.entries.subarray(startByte, endByte))
          if (entry === null) this.finish(parkOffset, 'lost:undecodable')
          else yield { parkOffset, entry }
        }
      }
    }
  }

  async #retire(): Promise<void> {
    const opened = this.#opened
    if (opened === null || this.#isClosed) return
    const { segments } = opened.shardLog
    if (this.#ranges.size > 0 || segments.all.length === 0) return
    if (cursorOf(opened).lowOffset < segments.endOffset) return
    const paths = segments.all.map(({ path }) => path)
    await this.#writer?.close()
    // The cursor is durable first.
    await opened.shardLog.close()
    const { storage } = this.#options.context
    for (const path of paths) if (storage.stat(path) !== null) storage.unlink(path)
    this.#written.clear()
    this.#writer = null
    this.#opened = this.#open()
  }

  async #append(shardLog: ShardLog, key: string, rows: readonly RowOffsets[]): Promise<boolean> {
    await this.ready
    const readMembers = memberReader(shardLog)
    const shard = `${shardLog.log}/${shardDirectoryName(shardLog.shardNumber)}`
    const origin = { shard, logId: shardLog.logId }
    const stored: string[] = []
    let entries: Buffer[] = []
    let places: string[] = []
    let byteCount = 0
    const flush = async () => {
      const isStored = entries.length === 0 || (await this.#store(key, entries))
      if (isStored) stored.push(...places)
      entries = []
      places = []
      byteCount = 0
      await nextTurn()
      return isStored
    }
    // What was stored before a failure is not stored again when the rows come back.
    const failed = () => {
      for (const place of stored) this.#written.add(place)
      return false
    }
    for (const row of rows) {
      const { epoch, members, source, tag } = readMembers(row)
      if (members.length < row.length) return failed()
      const whole = members.map((member, index) => ({
        ...origin,
        ...member,
        epoch,
        source,
        tag,
        memberCount: index === 0 ? members.length : 0
      }))
      const [first] = whole
      if (first === undefined || this.#written.has(placeOf(first))) continue
      for (const entry of whole) {
        const bytes = encodeParked(entry)
        entries.push(bytes)
        byteCount += bytes.length
        places.push(placeOf(entry))
      }
      const isFull = entries.length >= ENTRIES_PER_TURN || byteCount >= GROUP_BYTES_MAX
      if (isFull && !(await flush())) return failed()
    }
    if (!(await flush())) return failed()
    this.#onAppended()
    return true
  }

  async #store(key: string, entries: readonly Buffer[]): Promise<boolean> {
    if (!this.hasRoom) return false
    this.#opened ??= this.#open()
    this.#writer ??= this.#createWriter(this.#opened)
    const bytes = Buffer.concat(entries)
    const seconds = Math.floor(this.#options.context.clock.nowMs() / 1000)
    const group = {
      tag: Buffer.from(key),
      ingestId: null,
      source: new Uint8Array(),
      form: 1 as const,
      entries: bytes,
      recordCount: entries.length,
      minTimeSeconds: seconds,
      maxTimeSeconds: seconds
    }
    const first = this.#writer.nextOffset
    this.#storingBytes += bytes.length
    try {
      if (!(await appendDurably(this.#writer, group))) return false
    } finally {
      this.#storingBytes -= bytes.length
    }
    this.#addRange(key, first, first + entries.length)
    return true
  }

  #createWriter({ shardLog, spec }: OpenedShard): ShardWriter {
    const { bytesMax, context, segmentBytesMax } = this.#options
    const { clock, hash, storage, store } = context
    return new ShardWriter({
      storage,
      clock,
      hash,
      store,
      shard: spec,
      slab: Buffer.alloc(SLAB_BYTES),
      segmentBytes: Math.min(segmentBytesMax, segmentBytesFor(bytesMax)),
      durability: 'sync',
      observer: {
        onSegment: (segment) => shardLog.addSegment(segment),
        onVisible: (end) => shardLog.setVisible(end),
        onState: () => undefined
      }
    })
  }
}

function cursorOf({ cursors }: OpenedShard): Cursor {
  const [cursor] = cursors.values()
  if (cursor === undefined) throw new Error('a park has no cursor')
  return cursor
}

function finishHole(
  cursor: Cursor,
  hole: { readonly firstOffset: number; readonly endOffset: number; readonly reason: string }
): void {
  const outcome = hole.reason === 'unacked' ? 'void' : (`lost:${hole.reason}` as const)
  cursor.finish(hole.firstOffset, hole.endOffset, outcome)
}

function placeOf({ epoch, logId, offset }: Pick<ParkedEntry, 'logId' | 'epoch' | 'offset'>) {
  return positionId(logId, epoch, offset)
}

type Appended = Parameters<ShardWriter['append']>[0]

function appendDurably(writer: ShardWriter, group: Appended): Promise<boolean> {
  return new Promise((resolve) => {
    const isTaken = writer.append(group, {
      onDurable: () => resolve(true),
      onRejected: () => resolve(false)
    })
    if (isTaken) writer.commit()
    else resolve(false)
  })
}
