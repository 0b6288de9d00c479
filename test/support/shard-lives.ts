// Many short lives of one shard on one simulated disk: append, finish out of order, delete, drop, and lose the power at a
// random operation. After each death everything that the promise says is checked against a plain list of what was done.

import { Cursor } from '../../src/storage/cursor/cursor.ts'
import { makeDirectoryDurable } from '../../src/storage/reader/shard-directory.ts'
import { deleteBelow, dropOldest, heldOffset } from '../../src/storage/retention/retention.ts'
import type { Storage } from '../../src/storage/storage.ts'
import type { Durability } from '../../src/storage/writer/append.ts'
import { FakeClock, settled } from './fake-clock.ts'
import { cursorOptions, DIRECTORY, type ReadRecord, ShardHarness } from './shard-harness.ts'
import { CrashSignal, SimulatedStorage } from './simulated-storage.ts'

const CURSOR_FILE = `${DIRECTORY}/search.cur`

export interface LifeOptions {
  readonly seed: number
  readonly durability: Durability
  readonly lifeCount?: number
  /** Other states that each power cut could have left; all are inspected, and the life goes on in one. */
  readonly branchCount?: number
  /** Share of syncs and of writes that fail, each in its own way. */
  readonly faultShare?: number
  /** Faults in the code under test, for testing the tests. */
  readonly mutate?: Mutation
}

/** What a mutant changes between the code and the disk, or in what the harness does with it. */
export interface Mutation {
  /** Wraps the disk. */
  readonly storage?: (storage: SimulatedStorage) => Storage
  readonly recoveryStorage?: (storage: SimulatedStorage) => Storage
  /** Acks as soon as the append was taken. */
  readonly isAckedEarly?: boolean
  /** Forgets the high marks of the cursors. */
  readonly isOffsetReused?: boolean
  /** Deletes by what is finished in memory. */
  readonly isDeletedEarly?: boolean
}

export interface LifeReport {
  readonly crashCount: number
  /** States of the disk that a new life began with and that were inspected. */
  readonly crashStates: number
  readonly findings: readonly string[]
}

/** What the world knows of the shard, over all its lives. */
interface World {
  readonly seed: number
  readonly durability: Durability
  nextId: number
  readonly acked: Set<number>
  readonly appended: Set<number>
  /** Ids that the destination got, ever. */
  readonly delivered: Set<number>
  /** Ids that were dropped by force. */
  readonly dropped: Set<number>
  /** `epoch/offset` of every record ever read. */
  readonly places: Map<string, number>
  readonly findings: string[]
  /** A cursor was durable once. */
  hasCursor: boolean
}

export async function livesOf(options: LifeOptions): Promise<LifeReport> {
  const storage = new SimulatedStorage({ seed: options.seed })
  let nowMs = 1_700_000_000_000
  const world: World = {
    seed: options.seed,
    durability: options.durability,
    nextId: 1,
    acked: new Set(),
    appended: new Set(),
    delivered: new Set(),
    dropped: new Set(),
    places: new Map(),
    findings: [],
    hasCursor: false
  }
  let crashCount = 0
  let crashStates = 0
  for (let life = 0; life < (options.lifeCount ?? 12); life++) {
    nowMs += Math.floor(storage.random() * 5000)
    // A clock of its own: no timer of a dead life fires in a later one.
    const clock = new FakeClock(nowMs)
    storage.crashAtOperation = storage.operationCount + 1 + Math.floor(storage.random() ** 2 * 120)
    try {
      await live(storage, clock, world, options)
    } catch (error) {
      if (!(error instanceof CrashSignal) && !storage.isCrashed) throw error
    }
    await settled()
    crashCount++
    const isPowerCut = storage.random() < 0.8
    nowMs = clock.nowMs()
    const branchCount = isPowerCut ? (options.branchCount ?? 0) : 0
    for (let branch = 0; branch < branchCount; branch++) {
      const disk = storage.fork(options.seed * 1_000_003 + crashCount * 1009 + branch)
      disk.crash()
      crashStates++
      await inspect(disk, new FakeClock(nowMs), forkWorld(world), true, options.mutate ?? {})
    }
    crashStates++
    if (isPowerCut) storage.crash()
    else storage.kill()
    await inspect(storage, new FakeClock(nowMs), world, isPowerCut, options.mutate ?? {})
    if (world.findings.length > 0) break
  }
  return { crashCount, crashStates, findings: world.findings }
}

/** What is known at a cut; only the findings are shared. */
function forkWorld(world: World): World {
  return { ...world, acked: new Set(world.acked), places: new Map(world.places) }
}

function open(
  storage: SimulatedStorage,
  clock: FakeClock,
  world: World,
  mutate: Mutation
): { shard: ShardHarness; cursor: Cursor } {
  const disk = mutate.storage?.(storage) ?? storage
  const recoveryDisk = mutate.recoveryStorage?.(storage) ?? disk
  makeDirectoryDurable(recoveryDisk, DIRECTORY)
  const options = cursorOptions(disk)
  const loaded = storage.stat(CURSOR_FILE) === null ? null : Cursor.load(options, 0)
  if (loaded?.wasReset === true && world.hasCursor) world.findings.push('the cursor was reset')
  const cursor = loaded?.cursor ?? Cursor.create(options, 0)
  world.hasCursor = true
  const shard = new ShardHarness({
    storage: recoveryDisk,
    writerStorage: disk,
    clock,
    durability: world.durability,
    segmentBytes: 4096,
    cursorHighOffset: mutate.isOffsetReused === true ? 0 : cursor.highOffset,
    holdingLowOffset: cursor.durableLowOffset
  })
  return { shard, cursor }
}

/** One life: ends with the power, or after a number of steps. */
async function live(
  storage: SimulatedStorage,
  clock: FakeClock,
  world: World,
  options: LifeOptions
): Promise<void> {
  const mutate = options.mutate ?? {}
  const { shard, cursor } = open(storage, clock, world, mutate)
  injectFaults(storage, options.faultShare ?? 0)
  shard.onAck = (ids) => {
    if (storage.isCrashed) return
    for (const id of ids) world.acked.add(id)
  }
  const { random } = storage
  const stepCount = 20 + Math.floor(random() * 60)
  for (let step = 0; step < stepCount && !storage.isCrashed; step++) {
    const roll = random()
    if (roll < 0.55) append(shard, cursor, storage, world, mutate)
    else if (roll < 0.75) await deliver(shard, cursor, world, random)
    else if (roll < 0.85) await persist(shard, cursor, storage, mutate)
    else if (roll < 0.88) await drop(shard, cursor, world, storage)
    else if (roll < 0.94) clock.advance(Math.floor(random() * 300))
    else if (roll < 0.96) storage.isHoldingSyncs = !storage.isHoldingSyncs
    else if (roll < 0.98) shard.writer.seal()
    else await settled()
    if (random() < 0.3) storage.completeSyncs()
    if (random() < 0.5) await Promise.resolve()
  }
  storage.completeSyncs()
  storage.isHoldingSyncs = false
  if (storage.isCrashed || random() < 0.5) return
  await settled()
  await ended(storage, shard.writer.close())
  await ended(storage, cursor.persist())
}

/** Syncs of segments that fail, and writes to them that take less than all. */
function injectFaults(storage: SimulatedStorage, share: number): void {
  if (share === 0) return
  storage.fail = ({ name, path }) =>
    name === 'datasync' && path.endsWith('.seg') && storage.random() < share ? 'EIO' : null
  storage.shorten = ({ path }, byteCount) =>
    path.endsWith('.seg') && storage.random() < share
      ? Math.floor(storage.random() * byteCount)
      : null
}

/** Waits for the promise as long as there is power; after a cut nothing settles any more. */
async function ended(storage: SimulatedStorage, promise: Promise<unknown>): Promise<void> {
  for (let turn = 0; turn < 20; turn++) {
    storage.completeSyncs()
    const isDone = await Promise.race([promise.then(() => true), settled().then(() => false)])
    if (isDone || storage.isCrashed) return
  }
  throw new Error('a promise of the storage never settles')
}

function append(
  shard: ShardHarness,
  cursor: Cursor,
  storage: SimulatedStorage,
  world: World,
  mutate: Mutation
): void {
  const { random } = storage
  const groupCount = 1 + Math.floor(random() * 3)
  for (let group = 0; group < groupCount; group++) {
    const count = 1 + Math.floor(random() * 6)
    const ids = Array.from({ length: count }, () => world.nextId++)
    for (const id of ids) world.appended.add(id)
    const isBig = random() < 0.05
    const tag = random() < 0.5 ? 'docker.web' : 'docker.db'
    const paddingBytes = isBig ? 20_000 : Math.floor(random() * 200)
    const firstOffset = shard.writer.nextOffset
    const isTaken = shard.append(ids, { tag, paddingBytes })
    // Such records would never be sent, and no count would say so.
    if (isTaken && cursor.missing(firstOffset, firstOffset + count)[0]?.[0] !== firstOffset) {
      world.findings.push(`offset ${firstOffset} is given out, and the cursor has finished it`)
    }
    if (isTaken && mutate.isAckedEarly === true) for (const id of ids) world.acked.add(id)
  }
  shard.writer.commit()
}

/** Finishes some of what can be read, out of order. */
async function deliver(
  shard: ShardHarness,
  cursor: Cursor,
  world: World,
  random: () => number
): Promise<void> {
  const { records, holes } = shard.readAll(cursor.lowOffset)
  remember(world, records)
  for (const hole of holes) {
    const outcome = hole.reason === 'unacked' ? 'void' : (`lost:${hole.reason}` as const)
    cursor.finish(hole.firstOffset, hole.endOffset, outcome)
  }
  for (let turn = 0; turn < 3 && records.length > 0; turn++) {
    const from = Math.floor(random() * records.length)
    const taken = records.slice(from, from + 1 + Math.floor(random() * 8))
    for (const { id, offset } of taken) {
      if (cursor.finish(offset, offset + 1, 'delivered') === 1) world.delivered.add(id)
    }
  }
}

async function persist(
  shard: ShardHarness,
  cursor: Cursor,
  storage: SimulatedStorage,
  mutate: Mutation
): Promise<void> {
  if (mutate.isDeletedEarly === true) {
    deleteBelow(shard.segments, cursor.lowOffset)
    return
  }
  await ended(storage, cursor.persist())
  if (storage.isCrashed) return
  deleteBelow(shard.segments, heldOffset([cursor]))
}

async function drop(
  shard: ShardHarness,
  cursor: Cursor,
  world: World,
  storage: SimulatedStorage
): Promise<void> {
  if (shard.segments.all.length < 3) return
  const before = shard.readAll(cursor.lowOffset).records
  const first = shard.segments.all[0]
  const readable = first === undefined ? null : shard.segments.at(first.ordinal)
  const unfinished = before.filter(({ offset }) => !cursor.has(offset))
  // Counted before: once the cursor is durable these are gone, acked or not.
  for (const { id, offset } of unfinished) {
    if (readable !== null && offset < readable.endOffset) world.dropped.add(id)
  }
  await ended(
    storage,
    dropOldest(shard.segments, [
      { cursor, isRequired: true, lagBytesMax: null, inFlightWithin: () => [] }
    ])
  )
}

function remember(world: World, records: readonly ReadRecord[]): void {
  for (const { id, offset, epoch } of records) {
    const place = `${epoch}/${offset}`
    const known = world.places.get(place)
    if (known !== undefined && known !== id) {
      world.findings.push(`${place} was record ${known} and is record ${id}`)
    }
    world.places.set(place, id)
    if (!world.appended.has(id)) world.findings.push(`record ${id} was never appended`)
  }
}

/** After a death: what a new life finds. Nothing is written that a recovery would not write. */
async function inspect(
  storage: SimulatedStorage,
  clock: FakeClock,
  world: World,
  isPowerCut: boolean,
  mutate: Mutation
): Promise<void> {
  const { shard, cursor } = open(storage, clock, world, mutate)
  const { records, holes } = shard.readAll(cursor.lowOffset)
  remember(world, records)
  const pending = records.filter(({ offset }) => !cursor.has(offset))
  const seen = new Set(pending.map(({ id }) => id))
  if (seen.size !== pending.length) world.findings.push('a record is pending twice')
  // A power cut may take what `interval` and `os` acked; a kill takes nothing.
  const mustHold = world.durability === 'sync' || !isPowerCut
  for (const id of world.acked) {
    if (seen.has(id) || world.delivered.has(id) || world.dropped.has(id)) continue
    if (mustHold) world.findings.push(`acked record ${id} is lost`)
    else world.acked.delete(id)
  }
  // Nothing here damages what was durable, and only the lax policies lose acked records to a power cut.
  const expected = world.durability === 'sync' ? 'unacked' : 'unsynced'
  for (const hole of holes) {
    if (hole.reason === expected || countMissing(cursor, hole) === 0) continue
    world.findings.push(`not what happened: ${JSON.stringify(hole)}`)
  }
  const account = cursor.account(shard.segments.endOffset)
  if (!account.isExact) world.findings.push(`identity does not hold: ${JSON.stringify(account)}`)
  const isCovered = holes.reduce((sum, hole) => sum + countMissing(cursor, hole), pending.length)
  if (isCovered !== account.pending) {
    world.findings.push(`pending ${account.pending}, found ${isCovered}`)
  }
  shard.segments.close()
  cursor.close()
}

function countMissing(cursor: Cursor, hole: { firstOffset: number; endOffset: number }): number {
  return cursor
    .missing(hole.firstOffset, hole.endOffset)
    .reduce((sum, [first, end]) => sum + end - first, 0)
}
