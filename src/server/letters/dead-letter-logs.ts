// Step 10. Runs on: main.
// All dead letters: one log per output, written here and durable before the record counts as finished; those of inputs and
// `unmatched`, which ingest threads write; and what outputs and inputs left that are no longer configured.

import { setImmediate as nextTurn } from 'node:timers/promises'
import type { DeadLetterLogStatus, LetterShardStatus } from '../../admin/status.ts'
import type { MillraceConfig } from '../../config/schema.ts'
import type { DeadLetter } from '../../delivery/dead-letter-record.ts'
import type { ShardLog } from '../../delivery/shard-log.ts'
import type { LetterRequest, WriteLetters } from '../../delivery/task-settlement.ts'
import { shardDirectoryName } from '../../storage/format/segment-names.ts'
import {
  type OpenedShard,
  openLetterShard,
  type StoreContext,
  storedShardNumbers
} from '../store/open-shards.ts'
import { LetterLog } from './log.ts'
import { MemberReader, type ReadMembers } from './member-reader.ts'
import { logStatus } from './views.ts'

/** Letters that are read and written before the event loop gets a turn. */
const LETTERS_PER_TURN = 64

export class DeadLetterLogs {
  readonly #config: MillraceConfig
  readonly #context: StoreContext
  /** By name: `out.search`, `in.web`, `unmatched`. */
  readonly #logs = new Map<string, LetterLog[]>()
  readonly #abort = new AbortController()

  constructor(options: {
    config: MillraceConfig
    context: StoreContext
    /** Shards of `dlq/...` that ingest threads write. */
    ingestLogs: readonly OpenedShard[]
    /** Logs below `dlq/` that nothing in the configuration names. */
    orphans: readonly string[]
  }) {
    this.#config = options.config
    this.#context = options.context
    for (const output of Object.keys(options.config.outputs)) {
      this.#add(openLetterShard(options.context, `dlq/out.${output}`, 0), true)
    }
    for (const opened of options.ingestLogs) this.#add(opened, false)
    for (const log of options.orphans) {
      for (const shardNumber of storedShardNumbers(options.context, log)) {
        const isOwn = log.startsWith('dlq/out.')
        this.#add(openLetterShard(options.context, log, shardNumber), isOwn, !isOwn)
      }
    }
  }

  /** Writer of the letters of one destination on one shard. Settles when they are durable; tries until they are. */
  writerOf(routeId: string, outputId: string, shardLog: ShardLog): WriteLetters {
    const { log, logId, shardNumber } = shardLog
    const shard = `${log}/${shardDirectoryName(shardNumber)}`
    const reader = new MemberReader(shardLog)
    const write = this.writerFrom(routeId, outputId, { shard, logId }, (offsets) =>
      reader.read(offsets)
    )
    return (requests) => write(requests).finally(() => reader.rest())
  }

  /** As `writerOf`, for records that are read from elsewhere than the shard that they came from. */
  writerFrom(
    routeId: string,
    outputId: string,
    origin: Pick<DeadLetter, 'shard' | 'logId'>,
    readMembers: (offsets: readonly number[]) => ReadMembers
  ): WriteLetters {
    return async (requests) => {
      const letterLog = this.#logs.get(`out.${outputId}`)?.[0]
      if (letterLog === undefined || requests.length === 0) return
      for (let at = 0; at < requests.length; at += LETTERS_PER_TURN) {
        const letters = requests.slice(at, at + LETTERS_PER_TURN).map((request) => ({
          ...this.#letterOf(request, routeId, outputId, origin),
          ...readMembers(request.offsets)
        }))
        await letterLog.write(letters)
        await nextTurn()
      }
    }
  }

  /** Names of all logs. */
  get names(): string[] {
    return [...this.#logs.keys()]
  }

  /** Shards of a log; none: there is no such log. */
  shardsOf(log: string): readonly LetterLog[] {
    return this.#logs.get(log) ?? []
  }

  /** Every log that ever held a letter. written = records + the removed + the lost. */
  status(): DeadLetterLogStatus[] {
    return [...this.#logs]
      .map(([log, shards]) =>
        logStatus(
          log,
          shards.map(({ account, shardLog }) => ({ account, bytes: shardLog.heldBytes }))
        )
      )
      .filter(({ written }) => written > 0)
  }

  /** Every shard of the logs that ever held a letter. */
  shardStatus(): LetterShardStatus[] {
    const shards = [...this.#logs.values()].flat()
    return shards
      .map(({ account, log, shardLog }) => ({
        log,
        shard: shardLog.label,
        appended: account.appended,
        delivered: account.delivered + account.duplicateSuppressed,
        duplicateSuppressed: account.duplicateSuppressed,
        moved: account.moved,
        dropped: account.dropped,
        lost: account.lost,
        pending: account.pending
      }))
      .filter(({ appended }) => appended > 0)
  }

  /** Makes room: oldest segments of logs over their quota, which the shards of a log share evenly. */
  trim(): void {
    const { dlqBytesMax, dlqOverflow } = this.#config.queue
    if (dlqOverflow !== 'drop_oldest') return
    for (const shards of this.#logs.values()) {
      for (const { shardLog } of shards) shardLog.dropOldestOver(dlqBytesMax / shards.length)
    }
  }

  async close(): Promise<void> {
    this.#abort.abort()
    for (const letterLog of [...this.#logs.values()].flat()) await letterLog.close()
  }

  #add(opened: OpenedShard, isWritten: boolean, isClosedHere = isWritten): void {
    const letterLog = new LetterLog({
      context: this.#context,
      queue: this.#config.queue,
      opened,
      isWritten,
      isClosedHere,
      signal: this.#abort.signal
    })
    const known = this.#logs.get(letterLog.log)
    if (known === undefined) this.#logs.set(letterLog.log, [letterLog])
    else known.push(letterLog)
  }

  #letterOf(
    { reason, status, step, target, text, tries }: LetterRequest,
    routeId: string,
    outputId: string,
    origin: Pick<DeadLetter, 'shard' | 'logId'>
  ): Omit<DeadLetter, keyof ReadMembers> {
    const nowMs = this.#context.clock.nowMs()
    return {
      ...origin,
      route: routeId,
      output: outputId,
      target,
      reason,
      step,
      status,
      text,
      firstAttemptMs: tries.firstAttemptMs ?? nowMs,
      lastAttemptMs: nowMs,
      attempts: tries.attempts
    }
  }
}
