// Steps 6 to 9. Runs on: main.
// One output as one route sees it: the lanes of each shard. Starts them, wakes them, counts what steps report, stops them.

import type { CancelTimer, Clock, Random } from '../core/clock.ts'
import { errorText } from '../core/errors.ts'
import type { OutputLog } from '../plugin/output.ts'
import type { Cursor } from '../storage/cursor/cursor.ts'
import type { TaskRequest, TaskResult } from '../threads/messages.ts'
import { BEHIND_MS, CatchUp } from './catch-up.ts'
import { DestinationKeys, OpenKeys, type ParkRows } from './keys.ts'
import { Lane, type LaneOptions } from './lane.ts'
import type { LaneCursor, LaneSource } from './lane-source.ts'
import { type LaneTurn, LaneTurns } from './lane-turns.ts'
import type { OutputInstance } from './output-instance.ts'
import { DEFAULT_RETRY } from './retry.ts'
import { DRAIN_TICK_MS, type DrainLaneParts, type NewestFirst, ShardDrain } from './shard-drain.ts'
import type { ShardLog } from './shard-log.ts'
import type { WriteLetters } from './task-settlement.ts'

export interface DestinationOptions {
  /** Key of the program on pool threads: `<route>/<output>`. */
  readonly key: string
  readonly route: string
  readonly generation: number
  readonly output: OutputInstance
  readonly shards: readonly { readonly shardLog: ShardLog; readonly cursor: Cursor }[]
  readonly pool: { run(task: TaskRequest, deadlineMs: number): Promise<TaskResult> }
  readonly parkAfterMs: number
  /** Null: oldest first. */
  readonly newestFirst: NewestFirst | null
  readonly park: ParkAccess
  /** Writer of dead letters of one shard. */
  readonly lettersOf: (shardLog: ShardLog) => WriteLetters
  /** What it reads per second, beside what comes in, of records that it is far behind with. */
  readonly catchupBytesPerSecond: number
  /** Bytes that came into the queues of all routes since the start. */
  readonly arrivedBytes: () => number
  readonly clock: Clock
  readonly random: Random
  readonly log: OutputLog
}

/** The park of a destination as its lanes use it. */
export interface ParkAccess {
  /** Whether more may be set aside. */
  hasRoom(): boolean
  rowsOf(shardLog: ShardLog): ParkRows
  /** Keys that were parked before this start. */
  ready(): Promise<readonly string[]>
  /** Delivers what is parked for keys that work again, until the signal aborts. */
  drain(destination: Destination, signal: AbortSignal): Promise<void>
}

/** How long a stop waits for answers of requests on the wire: aborted, what they stored would be sent again. */
const WIRE_MS_MAX = 2000
const WIRE_LOOK_MS = 10

/** What a replay brings to its lane. */
export interface ReplayLaneParts {
  readonly source: LaneSource
  readonly cursor: LaneCursor
  readonly signal: AbortSignal
  /** Told what was refused; whether it is written anywhere is the replay's to say. */
  readonly writeLetters: WriteLetters
  /** The lane, to be woken when the source has more. */
  readonly onLane: (lane: Lane) => void
}

export class Destination {
  readonly key: string
  readonly route: string
  readonly output: OutputInstance
  readonly #shards: ShardDrain[] = []
  readonly #turns: LaneTurns
  readonly #catchUp: CatchUp
  /** What steps counted, `<metric>|<label values>`. */
  readonly counters = new Map<string, number>()
  /** Time of pool tasks for this destination, milliseconds. */
  readonly stageMs = { read: 0, run: 0, finish: 0 }
  readonly rejected = new Map<string, number>()
  /** Which targets of the output fail, as this route sees it. */
  readonly keys: DestinationKeys
  readonly #options: DestinationOptions
  readonly #abort = new AbortController()
  readonly #wire = new AbortController()
  readonly #running: Promise<unknown>[] = []
  readonly #started = Promise.withResolvers<void>()
  #isStarted = false
  #cancelTick: CancelTimer | null = null

  constructor(options: DestinationOptions) {
    this.key = options.key
    this.route = options.route
    this.output = options.output
    this.#options = options
    const { sizes, slots } = options.output
    this.keys = new DestinationKeys({
      destination: options.key,
      parkAfterMs: options.parkAfterMs,
      hasRoom: () => options.park.hasRoom(),
      slots,
      retry: sizes.retry ?? DEFAULT_RETRY,
      clock: options.clock,
      random: options.random,
      log: options.log,
      onChange: () => this.wake()
    })
    options.output.circuit.onClose(() => this.keys.tryAll())
    const { arrivedBytes, catchupBytesPerSecond, clock, output, shards } = options
    this.#catchUp = new CatchUp({
      clock,
      bytesPerSecond: catchupBytesPerSecond,
      arrivedBytes
    })
    const share = options.newestFirst?.backfillShare
    this.#turns = new LaneTurns(output.slots, clock, this.#catchUp, share)
    for (const { shardLog, cursor } of shards) this.#shards.push(this.#drain(shardLog, cursor))
  }

  /** Time that lanes far behind were held so that ingest goes first. */
  get catchUpHeldMs(): number {
    return this.#catchUp.heldMs
  }

  get isNewestFirst(): boolean {
    return this.#options.newestFirst !== null
  }

  get shards(): readonly ShardDrain[] {
    return this.#shards
  }

  /** Begins to drain. A destination that is down is tried for ever. */
  start(): void {
    this.#running.push(this.#start())
    if (this.#options.newestFirst !== null) this.#tick()
  }

  #tick(): void {
    this.#cancelTick = this.#options.clock.after(DRAIN_TICK_MS, () => {
      for (const shard of this.#shards) shard.tick()
      this.#tick()
    })
  }

  async #start(): Promise<void> {
    const { park } = this.#options
    const { signal } = this.#abort
    this.keys.restore(await park.ready())
    if (signal.aborted) return
    this.#isStarted = true
    this.#started.resolve()
    const drains = this.#shards.map((shard) => shard.run())
    await Promise.all([...drains, park.drain(this, signal)])
  }

  /** Drains one more shard, which the route adopted. */
  addShard(shardLog: ShardLog, cursor: Cursor): void {
    const drain = this.#drain(shardLog, cursor)
    this.#shards.push(drain)
    if (this.#isStarted) this.#running.push(drain.run())
  }

  /** More may be visible in the shards of a log. */
  wake(): void {
    for (const shard of this.#shards) shard.wake()
  }

  /** Everything visible is finished, but for groups that wait for their next line. */
  get isDrained(): boolean {
    return this.#shards.every(({ isDrained }) => isDrained)
  }

  /** Ends lanes and flights. A request on the wire gets a moment for its answer; what has no verdict stays pending. */
  async stop(): Promise<void> {
    this.keys.stop()
    this.#cancelTick?.()
    this.#abort.abort()
    await Promise.all(this.#running)
    await this.#wireIsEmpty()
    this.#wire.abort()
  }

  async #wireIsEmpty(): Promise<void> {
    const { clock } = this.#options
    const { signal } = this.#wire
    const endMs = clock.monotonicMs() + WIRE_MS_MAX
    const isBusy = () =>
      this.#shards.some((shard) => shard.inFlightWithin(0, Number.MAX_SAFE_INTEGER).length > 0)
    while (isBusy() && clock.monotonicMs() < endMs) await clock.sleep(WIRE_LOOK_MS, signal)
  }

  /** Settles when the output has started. */
  get started(): Promise<void> {
    return this.#started.promise
  }

  /** Runs a lane over other records until the signal aborts; what becomes of them is its caller's to count. */
  async runReplay({ onLane, ...parts }: ReplayLaneParts): Promise<void> {
    const { output } = this.#options
    const turn = this.#turns.lane()
    const lane = this.#createLane({
      ...parts,
      keys: new OpenKeys(),
      slots: turn,
      pool: this.#charging(turn),
      parkRows: null,
      onProgress: () => undefined,
      // Nothing more comes than what is there: a body is sent when it is rendered.
      sizes: { ...output.sizes, lingerMs: 0 }
    })
    onLane(lane)
    await lane.run().finally(() => turn.leave())
  }

  /** A lane over records that are not in a shard of the route. */
  parkedLane(
    parts: Pick<
      LaneOptions,
      'source' | 'cursor' | 'signal' | 'keys' | 'writeLetters' | 'onProgress'
    >
  ): Lane {
    const { slots } = this.output
    return this.#createLane({ ...parts, slots, pool: this.#options.pool, parkRows: null })
  }

  #drain(shardLog: ShardLog, cursor: Cursor): ShardDrain {
    const { clock, key, log, newestFirst } = this.#options
    return new ShardDrain({
      destination: key,
      shardLog,
      cursor,
      turns: this.#turns,
      newestFirst,
      createLane: (parts) => this.#lane(shardLog, parts),
      clock,
      log,
      signal: this.#abort.signal
    })
  }

  #lane(shardLog: ShardLog, { turn, ...parts }: DrainLaneParts): Lane {
    const { lettersOf, park } = this.#options
    const rowsOf = park.rowsOf(shardLog)
    return this.#createLane({
      ...parts,
      slots: turn,
      pool: this.#charging(turn),
      writeLetters: lettersOf(shardLog),
      signal: this.#abort.signal,
      keys: this.keys,
      parkRows: async (key, rows) => {
        this.keys.parking(key, 1)
        return await rowsOf(key, rows).finally(() => this.keys.parking(key, -1))
      }
    })
  }

  #createLane(
    parts: Pick<
      LaneOptions,
      | 'source'
      | 'cursor'
      | 'slots'
      | 'pool'
      | 'signal'
      | 'keys'
      | 'writeLetters'
      | 'parkRows'
      | 'onProgress'
    > &
      Partial<Pick<LaneOptions, 'sizes' | 'startOffset'>>
  ): Lane {
    const { clock, generation, key, log, output, random } = this.#options
    return new Lane({
      sizes: output.sizes,
      ...parts,
      destination: key,
      generation,
      noteStuck: (slot, by) => output.slots.noteStuck(slot, by),
      output: output.output,
      targetTails: output.targetTails,
      circuit: output.circuit,
      flight: {
        observer: output.observer,
        random,
        retry: output.sizes.retry ?? DEFAULT_RETRY,
        wireSignal: parts.signal === this.#abort.signal ? this.#wire.signal : parts.signal
      },
      clock,
      onTask: (result) => this.#count(result),
      onTrouble: (error) =>
        log.error(
          { destination: key, error: errorText(error), event: 'task.failed' },
          'a task failed and is repeated'
        )
    })
  }

  #charging(turn: LaneTurn): LaneOptions['pool'] {
    const { pool } = this.#options
    return {
      run: async (task, deadlineMs) => {
        const result = await pool.run(task, deadlineMs)
        this.#charge(turn, task, result.resumeOffset)
        return result
      }
    }
  }

  /** A task that filled its body leaves frames to the next one: records stand for the bytes that it used up. */
  #charge(turn: LaneTurn, { frames, fromOffset }: TaskRequest, resumeOffset: number): void {
    const [oldest] = frames
    const newest = frames.at(-1)
    if (oldest === undefined || newest === undefined) return
    let byteCount = 0
    for (const frame of frames) byteCount += frame.byteCount
    const endOffset = newest.firstOffset + newest.recordCount
    const lookedCount = Math.max(0, Math.min(resumeOffset, endOffset) - fromOffset)
    const usedBytes = (byteCount * lookedCount) / (endOffset - oldest.firstOffset)
    turn.charge(usedBytes, this.#options.clock.nowMs() - newest.appendTimeMs > BEHIND_MS)
  }

  #count(result: TaskResult): void {
    for (const [name, value] of Object.entries(result.counters)) {
      this.counters.set(name, (this.counters.get(name) ?? 0) + value)
    }
    this.stageMs.read += result.stageMs.read
    this.stageMs.run += result.stageMs.run
    this.stageMs.finish += result.stageMs.finish
  }
}
