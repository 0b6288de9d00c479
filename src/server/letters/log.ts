// Step 10. Runs on: main.
// One shard of dead letters: what leaves it, and, for the logs of outputs, the writer. Letters are durable before their
// records count as finished.
//
// What left is remembered as ranges, CURSOR_RANGES_MAX of them at most. Letters that leave here and there would use them
// up; then those that stay in between are written once more at the end of the log (`moved`), and leave their old place.

import type { QueueConfig } from '../../config/schema.ts'
import { MillraceError } from '../../core/errors.ts'
import { invariant } from '../../core/invariant.ts'
import { CURSOR_RANGES_MAX } from '../../core/limits.ts'
import { formatBytes } from '../../core/units.ts'
import { type DeadLetter, encodeLetter } from '../../delivery/dead-letter-record.ts'
import type { ShardLog } from '../../delivery/shard-log.ts'
import type { CursorAccount } from '../../storage/cursor/account.ts'
import type { Cursor, Outcome } from '../../storage/cursor/cursor.ts'
import { segmentBytesFor } from '../../storage/format/layout.ts'
import { ShardWriter } from '../../storage/writer/shard-writer.ts'
import { type OpenedShard, REPLAYED, type StoreContext } from '../store/open-shards.ts'
import { keptLetter, type LetterHole, type LetterShard, letterId, scanLetters } from './scan.ts'

/** Memory where letters are gathered, per output that ever refused something. */
const SLAB_BYTES = 1024 * 1024
/** Wait before a write that the disk refused is tried again. */
const RETRY_MS = 1000
/** Letters that are looked at for records refused again after a crash: more than a cursor can be behind by. */
const WRITTEN_BEFORE_MAX = 60_000
/** Letters that are moved by one group commit. */
const MOVED_AT_ONCE = 64
/** Ranges that are made free when they run out. */
const RANGES_FREED = CURSOR_RANGES_MAX / 2

export interface LetterLogOptions {
  readonly context: StoreContext
  readonly queue: QueueConfig
  readonly opened: OpenedShard
  /** Whether main writes it: letters of outputs. */
  readonly isWritten: boolean
  /** Whether nobody else closes the shard. */
  readonly isClosedHere: boolean
  readonly signal: AbortSignal
}

export class LetterLog implements LetterShard {
  readonly log: string
  readonly shardNumber: number
  readonly path: string
  readonly logId: Uint8Array
  readonly shardLog: ShardLog
  readonly #options: LetterLogOptions
  readonly #cursor: Cursor
  #writer: ShardWriter | null = null
  /** Records that have a letter from before this start; read with the first letter. */
  #written: Promise<ReadonlySet<string>> | null = null
  /** Bytes of letters that are not durable yet, of all flights. */
  #storingBytes = 0

  constructor(options: LetterLogOptions) {
    const { shardLog } = options.opened
    const cursor = options.opened.cursors.get(REPLAYED)
    invariant(cursor !== undefined, `${shardLog.log} has a cursor of what left it`)
    this.#options = options
    this.#cursor = cursor
    this.shardLog = shardLog
    this.log = shardLog.log.slice('dlq/'.length)
    this.shardNumber = shardLog.shardNumber
    this.path = `${shardLog.log}/shard-${String(shardLog.shardNumber).padStart(2, '0')}`
    this.logId = shardLog.logId
  }

  get segments(): ShardLog['segments'] {
    return this.shardLog.segments
  }

  get gone(): Pick<Cursor, 'lowOffset' | 'has'> {
    return this.#cursor
  }

  get account(): CursorAccount {
    return this.shardLog.account(this.#cursor)
  }

  /** Offset from which on `count` letters are left; where the log begins when there are fewer. */
  offsetOfNewest(count: number): number {
    let left = count
    const missing = this.#cursor.missing(this.#cursor.lowOffset, this.segments.endOffset)
    for (const [first, end] of missing.reverse()) {
      if (end - first >= left) return end - left
      left -= end - first
    }
    return this.#cursor.lowOffset
  }

  /** A letter left. False: its place cannot be remembered just now; it stays, see `makeRoom`. */
  remove(offset: number, outcome: Outcome): boolean {
    if (!this.#cursor.canFinish(offset, offset + 1)) return false
    this.#cursor.finish(offset, offset + 1, outcome)
    this.shardLog.progress()
    return true
  }

  /** Letters that cannot be read any more are counted as lost. */
  passHole({ endOffset, firstOffset, reason }: LetterHole): void {
    if (!this.#cursor.canFinish(firstOffset, endOffset)) return
    this.#cursor.finish(firstOffset, endOffset, reason === 'unacked' ? 'void' : `lost:${reason}`)
    this.shardLog.progress()
  }

  /** Everything below `endOffset` leaves; returns how many letters that were. */
  removeAll(endOffset: number, outcome: Outcome): number {
    let count = 0
    const low = this.#cursor.lowOffset
    // Lowest first: each range touches the low mark, so that there is always room for it.
    for (const [first, end] of this.#cursor.missing(low, endOffset)) {
      count += this.#cursor.finish(first, end, outcome)
    }
    this.shardLog.progress()
    return count
  }

  /** Makes sure that `count` letters anywhere can leave one by one. Rewrites letters that stay, if it has to. */
  async makeRoom(count: number): Promise<void> {
    if (CURSOR_RANGES_MAX - this.#cursor.ranges.length >= count) return
    if (!this.#options.isWritten) {
      throw new MillraceError(
        'MR_USAGE',
        `${this.log} has ${this.#cursor.ranges.length} gaps, which is the limit for a log that inputs write; replay or purge its oldest letters, below offset ${this.#cursor.ranges[0]?.[0] ?? 0}, first`
      )
    }
    const upTo = this.#cursor.ranges[Math.max(count, RANGES_FREED) - 1]?.[0] ?? 0
    let moving: { offset: number; letter: DeadLetter }[] = []
    const move = async () => {
      await this.#storeAll(moving.map(({ letter }) => letter))
      for (const { offset } of moving) this.#cursor.finish(offset, offset + 1, 'moved')
      this.shardLog.progress()
      moving = []
    }
    for await (const found of scanLetters(this, this.#cursor.lowOffset, upTo)) {
      if (found.kind === 'hole') {
        this.passHole(found)
        continue
      }
      this.#checkQuota()
      moving.push(keptLetter(found))
      // Oldest first: every letter that moves touches the low mark or the one before.
      if (moving.length === MOVED_AT_ONCE) await move()
    }
    await move()
  }

  /** Settles when the letters are durable; those that were written before a crash are passed over. */
  async write(letters: readonly DeadLetter[]): Promise<void> {
    this.#written ??= this.#writtenBefore()
    const written = await this.#written
    await this.#storeAll(letters.filter((letter) => !written.has(letterId(letter))))
  }

  async close(): Promise<void> {
    await this.#writer?.close()
    if (this.#options.isClosedHere) await this.shardLog.close()
  }

  /** Letters share the sync of one group commit, as many as there is room for. */
  async #storeAll(letters: readonly DeadLetter[]): Promise<void> {
    let storing: Promise<void>[] = []
    for (const letter of letters) {
      if (!this.#hasRoom()) {
        await Promise.all(storing)
        storing = []
        await this.#room()
      }
      storing.push(this.#store(letter))
    }
    await Promise.all(storing)
  }

  /** A letter that cannot be stored keeps its record pending: nothing is finished before it. */
  async #store(letter: DeadLetter): Promise<void> {
    this.#writer ??= this.#createWriter()
    const writer = this.#writer
    const entries = encodeLetter(letter)
    this.#storingBytes += entries.length
    const seconds = Math.floor(letter.lastAttemptMs / 1000)
    const group = {
      tag: Buffer.from(letter.tag),
      ingestId: null,
      source: new Uint8Array(),
      form: 1 as const,
      entries,
      recordCount: 1,
      minTimeSeconds: seconds,
      maxTimeSeconds: seconds
    }
    try {
      while (!(await appendDurably(writer, group))) {
        await this.#options.context.clock.sleep(RETRY_MS, this.#options.signal)
      }
    } finally {
      this.#storingBytes -= entries.length
    }
  }

  /**
   * Records whose letter was durable when the process ended before their cursor was: they are refused once more, and
   * need no second letter. Those are the newest of the log.
   */
  async #writtenBefore(): Promise<ReadonlySet<string>> {
    const { log, logId, path, segments, shardNumber } = this
    const written = new Set<string>()
    const from = Math.max(segments.oldestOffset, segments.endOffset - WRITTEN_BEFORE_MAX)
    // A letter that was replayed since or purged was written all the same.
    const all = { log, logId, path, segments, shardNumber, gone: null }
    for await (const found of scanLetters(all, from, segments.endOffset)) {
      if (found.kind === 'letter') written.add(letterId(found.letter))
    }
    return written
  }

  /** Letters that move need room beside those that they were. */
  #checkQuota(): void {
    const { dlqBytesMax } = this.#options.queue
    if (this.shardLog.heldBytes + SLAB_BYTES < dlqBytesMax) return
    throw new MillraceError(
      'MR_USAGE',
      `${this.log} is at its bound of ${formatBytes(dlqBytesMax)}: letters that stay cannot be moved together; replay or purge its oldest letters first, or raise queue.dlq_bytes`
    )
  }

  /** `block`: a letter waits, and its record with it, until a replay has made room. */
  async #room(): Promise<void> {
    while (!this.#hasRoom()) {
      await this.#options.context.clock.sleep(RETRY_MS, this.#options.signal)
    }
  }

  /** With `block`: whether there is room besides letters that are being written, by this flight or another one. */
  #hasRoom(): boolean {
    const { dlqBytesMax, dlqOverflow } = this.#options.queue
    return dlqOverflow !== 'block' || this.shardLog.heldBytes + this.#storingBytes < dlqBytesMax
  }

  #createWriter(): ShardWriter {
    const { context, opened, queue } = this.#options
    const { clock, hash, storage, store } = context
    const { shardLog } = this
    return new ShardWriter({
      storage,
      clock,
      hash,
      store,
      shard: opened.spec,
      slab: Buffer.alloc(SLAB_BYTES),
      segmentBytes: Math.min(queue.segmentBytesMax, segmentBytesFor(queue.dlqBytesMax)),
      durability: 'sync',
      observer: {
        onSegment: (segment) => shardLog.addSegment(segment),
        onVisible: (end) => shardLog.setVisible(end),
        onState: () => undefined
      }
    })
  }
}

type Appended = Parameters<ShardWriter['append']>[0]

/** False: not stored. Letters of one turn share the sync of the group commit. */
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
