// Step 10. Runs on: main.
// Dead letters of outputs: one log per output, written and read here, durable before the record counts as finished. Also
// the view on the dead letters that ingest threads write.

import { join } from 'node:path'
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { DeadLetterLogStatus, DeadLetterView, ReplayOutcome } from '../admin/status.ts'
import type { MillraceConfig } from '../config/schema.ts'
import { MillraceError } from '../core/errors.ts'
import { invariant } from '../core/invariant.ts'
import { positionId } from '../core/position.ts'
import { type DeadLetter, decodeLetter, encodeLetter } from '../delivery/dead-letter-record.ts'
import type { ShardLog } from '../delivery/shard-log.ts'
import type { LetterRequest, WriteLetters } from '../delivery/task-settlement.ts'
import { segmentBytesFor } from '../storage/format.ts'
import { shardDirectoryName } from '../storage/segment-names.ts'
import { ShardWriter } from '../storage/shard-writer.ts'
import { eachEntry, readLetters, readLetterViews, type StoredLetter } from './letter-views.ts'
import { memberReader, type ReadMembers } from './member-reader.ts'
import { type OpenedShard, openLetterShard, REPLAYED, type StoreContext } from './open-shards.ts'
import { type ReplayOptions, replayLetters } from './replay.ts'

/** Memory where letters are gathered, per output that ever refused something. */
const SLAB_BYTES = 1024 * 1024
/** Wait before a write that the disk refused is tried again. */
const RETRY_MS = 1000
/** Letters that are looked at for records refused again after a crash: more than a cursor can be behind by. */
const WRITTEN_BEFORE_MAX = 60_000
/** Letters that are read and written before the event loop gets a turn. */
const LETTERS_PER_TURN = 64

interface LetterLog {
  readonly opened: OpenedShard
  writer: ShardWriter | null
  /** Places of records that have a letter from before this start; read with the first letter. */
  written: ReadonlySet<string> | null
  /** Bytes of letters that are not durable yet. */
  storingBytes: number
  isReplaying: boolean
}

export class DeadLetterLogs {
  readonly #config: MillraceConfig
  readonly #context: StoreContext
  readonly #outputs = new Map<string, LetterLog>()
  readonly #ingestLogs: readonly OpenedShard[]
  readonly #abort = new AbortController()

  constructor(options: {
    config: MillraceConfig
    context: StoreContext
    /** Shards of `dlq/...` that ingest threads write. */
    ingestLogs: readonly OpenedShard[]
  }) {
    this.#config = options.config
    this.#context = options.context
    this.#ingestLogs = options.ingestLogs
    for (const output of Object.keys(options.config.outputs)) {
      const opened = openLetterShard(options.context, output)
      this.#outputs.set(output, {
        opened,
        writer: null,
        written: null,
        storingBytes: 0,
        isReplaying: false
      })
    }
  }

  /** Writer of the letters of one destination on one shard. Settles when they are durable; tries until they are. */
  writerOf(routeId: string, outputId: string, shardLog: ShardLog): WriteLetters {
    const { log, logId, shardNumber } = shardLog
    const shard = `${log}/${shardDirectoryName(shardNumber)}`
    return async (requests) => {
      const readMembers = memberReader(shardLog)
      await this.writerFrom(routeId, outputId, { shard, logId }, readMembers)(requests)
    }
  }

  /** As `writerOf`, for records that are read from elsewhere than the shard that they came from. */
  writerFrom(
    routeId: string,
    outputId: string,
    origin: Pick<DeadLetter, 'shard' | 'logId'>,
    readMembers: (offsets: readonly number[]) => ReadMembers
  ): WriteLetters {
    return async (requests) => {
      const letterLog = this.#outputs.get(outputId)
      if (letterLog === undefined || requests.length === 0) return
      for (let at = 0; at < requests.length; at += LETTERS_PER_TURN) {
        const letters = requests.slice(at, at + LETTERS_PER_TURN).map((request) => ({
          ...this.#letterOf(request, routeId, outputId, origin),
          ...readMembers(request.offsets)
        }))
        await this.#write(letterLog, letters)
        await nextTurn()
      }
    }
  }

  /** Every log that holds letters. */
  status(): DeadLetterLogStatus[] {
    return [...this.#shards()]
      .map(([log, shards]) => ({
        log,
        records: shards.reduce((sum, shardLog) => sum + letterCount(shardLog), 0),
        bytes: shards.reduce((sum, { heldBytes }) => sum + heldBytes, 0)
      }))
      .filter(({ records }) => records > 0)
  }

  /** The newest letters of a log, newest first. */
  views(log: string, limit: number): DeadLetterView[] {
    const shards = this.#shards().get(log) ?? []
    return shards
      .flatMap(({ holders, segments }) =>
        readLetterViews(log, segments, holders[0]?.cursor ?? null, limit)
      )
      .slice(0, limit)
  }

  /** Sends the letters of an output again; one replay of a log at a time. */
  async replay(
    log: string,
    isDryRun: boolean,
    lane: ReplayOptions['lane']
  ): Promise<ReplayOutcome> {
    const outputId = log.startsWith('out.') ? log.slice('out.'.length) : ''
    const letterLog = this.#outputs.get(outputId)
    if (letterLog === undefined) {
      throw new MillraceError(
        'MR_USAGE',
        `${log} is no log of an output; name one of: ${this.#names()}`
      )
    }
    const { shardLog } = letterLog.opened
    const cursor = letterLog.opened.cursors.get(REPLAYED)
    invariant(cursor !== undefined, `${log} has a cursor of replays`)
    const letters = readLetters(shardLog.segments, cursor)
    if (isDryRun) return { matched: letters.length, stored: 0, failed: 0 }
    if (letterLog.isReplaying) throw new MillraceError('MR_USAGE', `${log} is being replayed`)
    letterLog.isReplaying = true
    try {
      const { clock, dataDir, hash, storage, store } = this.#context
      const directory = join(dataDir, 'spool')
      const onStored = ({ offset }: StoredLetter) =>
        void cursor.finish(offset, offset + 1, 'delivered')
      const options = { storage, hash, store, clock, directory, lane, onStored }
      return await replayLetters(letters, options)
    } finally {
      letterLog.isReplaying = false
      await shardLog.settle()
    }
  }

  #names(): string {
    return [...this.#outputs.keys()].map((output) => `out.${output}`).join(', ')
  }

  /** Makes room: oldest segments of logs over their quota, which the shards of a log share evenly. */
  trim(): void {
    const { dlqBytesMax, dlqOverflow } = this.#config.queue
    if (dlqOverflow !== 'drop_oldest') return
    for (const shards of this.#shards().values()) {
      for (const shardLog of shards) shardLog.dropOldestOver(dlqBytesMax / shards.length)
    }
  }

  async close(): Promise<void> {
    this.#abort.abort()
    for (const { opened, writer } of this.#outputs.values()) {
      await writer?.close()
      await opened.shardLog.close()
    }
  }

  #shards(): Map<string, ShardLog[]> {
    const byLog = new Map<string, ShardLog[]>()
    const all = [...this.#outputs.values()].map(({ opened }) => opened)
    for (const { shardLog } of [...all, ...this.#ingestLogs]) {
      const name = shardLog.log.slice('dlq/'.length)
      byLog.set(name, [...(byLog.get(name) ?? []), shardLog])
    }
    return byLog
  }

  #letterOf(
    request: LetterRequest,
    routeId: string,
    outputId: string,
    origin: Pick<DeadLetter, 'shard' | 'logId'>
  ): Omit<DeadLetter, 'tag' | 'source' | 'epoch' | 'members'> {
    const nowMs = this.#context.clock.nowMs()
    return {
      ...origin,
      route: routeId,
      output: outputId,
      target: request.target,
      reason: request.reason,
      step: request.step,
      status: request.status,
      text: request.text,
      firstAttemptMs: request.tries.firstAttemptMs ?? nowMs,
      lastAttemptMs: nowMs,
      attempts: request.tries.attempts
    }
  }

  async #write(letterLog: LetterLog, letters: readonly DeadLetter[]): Promise<void> {
    letterLog.writer ??= this.#createWriter(letterLog.opened)
    letterLog.written ??= this.#writtenBefore(letterLog.opened)
    const { writer, written } = letterLog
    const fresh = letters.filter((letter) => !written.has(placeOf(letter)))
    // Letters share the sync of one group commit, as many as there is room for.
    let storing: Promise<void>[] = []
    for (const letter of fresh) {
      if (!this.#hasRoom(letterLog)) {
        await Promise.all(storing)
        storing = []
        await this.#room(letterLog)
      }
      storing.push(this.#store(letterLog, writer, letter))
    }
    await Promise.all(storing)
  }

  /** A letter that cannot be stored keeps its record pending: nothing is finished before it. */
  async #store(letterLog: LetterLog, writer: ShardWriter, letter: DeadLetter): Promise<void> {
    const entries = encodeLetter(letter)
    letterLog.storingBytes += entries.length
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
        await this.#context.clock.sleep(RETRY_MS, this.#abort.signal)
      }
    } finally {
      letterLog.storingBytes -= entries.length
    }
  }

  /**
   * Records whose letter was durable when the process ended before their cursor was: they are refused once more, and
   * need no second letter. Those are the newest of the log.
   */
  #writtenBefore({ shardLog }: OpenedShard): ReadonlySet<string> {
    const { segments } = shardLog
    const places = new Set<string>()
    const fromOffset = Math.max(segments.oldestOffset, segments.endOffset - WRITTEN_BEFORE_MAX)
    eachEntry(segments, fromOffset, (_, group, entry) => {
      const letter = decodeLetter(group.tag.toString(), entry)
      if (letter !== null) places.add(placeOf(letter))
      return true
    })
    return places
  }

  /** `block`: a letter waits, and its record with it, until a replay has made room. */
  async #room(letterLog: LetterLog): Promise<void> {
    while (!this.#hasRoom(letterLog)) {
      await this.#context.clock.sleep(RETRY_MS, this.#abort.signal)
    }
  }

  /** With `block`: whether there is room besides letters that are being written, by this flight or another one. */
  #hasRoom({ opened, storingBytes }: LetterLog): boolean {
    const { dlqBytesMax, dlqOverflow } = this.#config.queue
    return dlqOverflow !== 'block' || opened.shardLog.heldBytes + storingBytes < dlqBytesMax
  }

  #createWriter({ shardLog, spec }: OpenedShard): ShardWriter {
    const { clock, hash, storage, store } = this.#context
    const { queue } = this.#config
    return new ShardWriter({
      storage,
      clock,
      hash,
      store,
      shard: spec,
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

/** The record of a letter, whatever its text: log, epoch and offset of its first entry. */
function placeOf({ epoch, logId, members }: DeadLetter): string {
  return positionId(logId, epoch, members[0]?.offset ?? 0)
}

/** Letters that wait: those of outputs leave by replay, those of inputs by room that is needed. */
function letterCount(shardLog: ShardLog): number {
  const cursor = shardLog.holders[0]?.cursor
  if (cursor !== undefined) return shardLog.account(cursor).pending
  return shardLog.segments.endOffset - shardLog.segments.oldestOffset
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
