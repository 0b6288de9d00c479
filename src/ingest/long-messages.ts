// Step 4. Runs on: ingest.
// Messages that are too long to be there at once, one at a time per thread: their shards are held, and each part goes to all
// of them in a turn of the event loop of its own. Invariants: a message is whole in a shard or nothing of it is; a shard
// that failed gets it again from the first part, the others do not; one that finds no room lets the next one try.
// Limit: the parts that its reader has in memory.

import type {
  AppendSource,
  DurableListener,
  LongAppend,
  LongMessage,
  Run
} from '../plugin/input.ts'
import { isWhole, type LaneGroup, logOf, type Splitter, sharesOf, spreadId } from './lane-group.ts'
import type { RoomWaiters } from './pressure.ts'
import type { RouteTarget } from './route-target.ts'

export interface LongMessagesOptions {
  readonly splitter: Splitter
  readonly room: RoomWaiters
  readonly schedule: (callback: () => void) => void
  nowMs(): number
  /** The source as frames bear it. */
  sourceBytes(source: AppendSource): Uint8Array
  /** `drop_newest` refused it. */
  onDropped(target: RouteTarget, message: LongMessage): void
}

/** What a shard gets of a message. */
interface Share {
  readonly target: RouteTarget
  /** How many runs it gets; null: all of them. */
  runCount: number | null
  ingestId: Uint8Array | null
  writtenCount: number
  state: 'open' | 'writing' | 'written' | 'durable' | 'lost'
}

interface Job {
  readonly routes: readonly (RouteTarget | LaneGroup)[]
  readonly source: Uint8Array
  readonly message: LongMessage
  readonly listener: DurableListener
  /** Null: not worked out yet. */
  shares: Map<RouteTarget, Share> | null
  dropReason: string | null
  isCancelled: boolean
}

export class LongMessages {
  readonly #options: LongMessagesOptions
  readonly #jobs: Job[] = []
  #isRunning = false
  #isWaiting = false

  constructor(options: LongMessagesOptions) {
    this.#options = options
  }

  add(
    source: AppendSource,
    routes: readonly (RouteTarget | LaneGroup)[],
    message: LongMessage,
    listener: DurableListener
  ): LongAppend {
    const job: Job = {
      routes,
      source: this.#options.sourceBytes(source),
      message,
      listener,
      shares: null,
      dropReason: null,
      isCancelled: false
    }
    this.#jobs.push(job)
    this.#start()
    return {
      cancel: () => {
        job.isCancelled = true
        this.#remove(job)
      }
    }
  }

  #start(): void {
    if (this.#isRunning || this.#jobs.length === 0) return
    this.#isRunning = true
    void this.#run()
  }

  /** Every message that waits is offered once. */
  async #run(): Promise<void> {
    await this.#turn()
    for (const job of [...this.#jobs]) {
      if (job.isCancelled) continue
      try {
        if (await this.#store(job)) this.#settle(job)
      } catch {
        // Its bytes cannot be read back: the sender has them.
        this.#giveUp(job)
      }
    }
    this.#isRunning = false
    if (this.#jobs.length === 0 || this.#isWaiting) return
    this.#isWaiting = true
    this.#options.room.add(() => {
      this.#isWaiting = false
      this.#start()
    })
  }

  #remove(job: Job): void {
    const at = this.#jobs.indexOf(job)
    if (at >= 0) this.#jobs.splice(at, 1)
  }

  #settle(job: Job): void {
    this.#remove(job)
    if (job.isCancelled) return
    if (job.dropReason === null) job.listener.onDurable()
    else job.listener.onRejected(job.dropReason, durableLogs(job))
  }

  #giveUp(job: Job): void {
    for (const { target } of openShares(job)) target.writer.letGo()
    this.#remove(job)
    if (!job.isCancelled) job.listener.onRejected('spool', durableLogs(job))
  }

  /** True: each of its shards has it, or refuses it for good. */
  async #store(job: Job): Promise<boolean> {
    job.shares ??= await this.#sharesOf(job)
    if (job.shares === null || job.isCancelled) return false
    const shares = openShares(job)
    if (!this.#take(job, shares)) return false
    const taking = shares.filter(({ state }) => state === 'writing')
    if (taking.length > 0 && !(await this.#write(job, taking))) return false
    await Promise.all(taking.map((share) => this.#settled(share)))
    return openShares(job).length === 0
  }

  /** Holds all shards that do not have it. False: one of them has no room, and none is held. */
  #take(job: Job, shares: readonly Share[]): boolean {
    for (const share of shares) {
      const { target } = share
      const { verdict } = target.room
      if (verdict === 'full') target.room.blocked(this.#options.nowMs())
      if (verdict === 'drop') this.#drop(job, share)
      const isHeld =
        verdict === 'drop' ||
        (verdict === 'take' &&
          target.writer.hold({
            onDurable: () => this.#tell(share, 'durable'),
            onLost: () => this.#tell(share, 'lost')
          }))
      if (!isHeld) {
        for (const other of shares) if (other.state === 'writing') letGo(other)
        return false
      }
      if (verdict === 'take') {
        share.state = 'writing'
        share.writtenCount = 0
      }
    }
    return true
  }

  #drop(job: Job, share: Share): void {
    const { isDroppedAcked } = share.target
    share.state = 'durable'
    if (!isDroppedAcked) job.dropReason = 'overflow'
    this.#options.onDropped(share.target, job.message)
  }

  /** False: cancelled, or nobody is left who takes it. */
  async #write(job: Job, shares: readonly Share[]): Promise<boolean> {
    const reader = job.message.read()
    try {
      for (let next = reader.next(); next !== null; next = reader.next()) {
        if (job.isCancelled) {
          for (const share of shares) if (share.state === 'writing') letGo(share)
          return false
        }
        this.#writePart(job, next.run, next.isLast)
        if (!shares.some(({ state }) => state === 'writing' || state === 'written')) return false
        await this.#turn()
      }
      return true
    } finally {
      reader.close()
    }
  }

  #writePart(job: Job, run: Run, isLastRun: boolean): void {
    this.#splitPart(job.routes, run, (target, part) => {
      const share = job.shares?.get(target)
      if (share?.state !== 'writing') return
      share.writtenCount++
      const isLast = share.runCount === null ? isLastRun : share.writtenCount === share.runCount
      const isTaken = target.writer.appendPart({
        tag: part.tag,
        ingestId: share.ingestId,
        source: job.source,
        form: part.form,
        entries: part.entries,
        recordCount: part.recordCount,
        minTimeSeconds: part.minTimeSeconds,
        maxTimeSeconds: part.maxTimeSeconds,
        hasIngestIds: share.ingestId !== null,
        continues: !isLast
      })
      // A shard that lost it says so; it gets the rest no more.
      if (!isTaken) share.state = 'lost'
      else if (isLast) share.state = 'written'
      if (isTaken) target.room.took(part.entries.length)
    })
  }

  /** How many parts each shard gets, and which shards have a part of the message: a walk where a field decides on lanes. */
  async #sharesOf(job: Job): Promise<Map<RouteTarget, Share> | null> {
    const shares = new Map<RouteTarget, Share>()
    if (isWhole(job.routes)) {
      for (const target of job.routes) shares.set(target, newShare(target, job.message.ingestId))
      return shares
    }
    const reader = job.message.read()
    try {
      for (let next = reader.next(); next !== null; next = reader.next()) {
        if (job.isCancelled) return null
        const isSplit = this.#splitPart(job.routes, next.run, (target) => {
          const share = shares.get(target) ?? newShare(target, job.message.ingestId)
          share.runCount = (share.runCount ?? 0) + 1
          shares.set(target, share)
        })
        if (!isSplit) return null
        await this.#turn()
      }
    } finally {
      reader.close()
    }
    for (const route of job.routes) if (route.kind === 'lanes') spread(route, shares)
    return shares
  }

  /** False: no memory to split it now. */
  #splitPart(
    routes: Job['routes'],
    run: Run,
    give: (target: RouteTarget, run: Run) => void
  ): boolean {
    const { splitter } = this.#options
    try {
      const parts = sharesOf(routes, [run], splitter)
      if (parts === null) return false
      for (const { target, runs } of parts) for (const part of runs) give(target, part)
      return true
    } finally {
      splitter.release()
    }
  }

  readonly #waiting = new Map<Share, () => void>()

  #tell(share: Share, state: 'durable' | 'lost'): void {
    share.state = state
    if (state === 'durable') share.target.room.exchange()
    this.#waiting.get(share)?.()
    this.#waiting.delete(share)
  }

  /** Its last part is written; what the sync says is waited for. */
  #settled(share: Share): Promise<void> {
    if (share.state !== 'written') return Promise.resolve()
    return new Promise((resolve) => this.#waiting.set(share, resolve))
  }

  #turn(): Promise<void> {
    return new Promise((resolve) => this.#options.schedule(resolve))
  }
}

function newShare(target: RouteTarget, ingestId: Uint8Array | null): Share {
  return { target, runCount: null, ingestId, writtenCount: 0, state: 'open' }
}

function letGo(share: Share): void {
  share.target.writer.letGo()
  share.state = 'open'
}

/** Shards that need it still. */
function openShares({ shares }: Job): Share[] {
  return [...(shares?.values() ?? [])].filter(({ state }) => state !== 'durable')
}

function durableLogs({ shares, routes }: Job): string[] {
  return routes
    .map(logOf)
    .filter((log) =>
      [...(shares?.values() ?? [])].every(
        ({ state, target }) => target.log !== log || state === 'durable'
      )
    )
}

/** A chunk that lies in several shards of a route is stored when all of them have it: its id says which. */
function spread({ lanes }: LaneGroup, shares: ReadonlyMap<RouteTarget, Share>): void {
  const mine = lanes.map((lane) => shares.get(lane)).filter((share) => share !== undefined)
  if (mine.length < 2) return
  const numbers = mine.map(({ target }) => target.shardNumber)
  for (const share of mine) {
    if (share.ingestId !== null) share.ingestId = spreadId(share.ingestId, numbers)
  }
}
