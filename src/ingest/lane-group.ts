// Step 3. Runs on: ingest.
// The shards of one route on this thread, of which each key has one for ever: the hash of the tag or of a field's value
// says which. A tag's lane is found once per tag; a field's by the kernel, in a pass over the entries of each message.

import type { RouteConfig } from '../config/schema.ts'
import { invariant } from '../core/invariant.ts'
import type { FrameHash } from '../kernel/frame-hash.ts'
import type { LanePart, LaneRule } from '../kernel/lane-splitter.ts'
import type { Run } from '../plugin/input.ts'
import type { RouteTarget } from './route-target.ts'

/** Lanes that a field decides on, as records of one tag see them. */
export interface LaneGroup {
  readonly kind: 'lanes'
  readonly lanes: readonly RouteTarget[]
  readonly rule: LaneRule
}

export interface Splitter {
  split(entries: Buffer, form: 1 | 2, rule: LaneRule): LanePart[] | null
  release(): void
}

/** What one shard gets of a message. */
export interface LaneShare {
  readonly target: RouteTarget
  readonly runs: Run[]
}

/** How a route stores records of a tag. */
export function laneChooser(
  route: Pick<RouteConfig, 'laneKey'>,
  lanes: readonly RouteTarget[],
  hash: FrameHash
): (tag: Uint8Array) => RouteTarget | LaneGroup {
  const [first] = lanes
  invariant(first !== undefined, 'a route without a shard on this thread')
  const { laneKey } = route
  if (laneKey === null || lanes.length === 1) return () => first
  const laneOf = (tag: Uint8Array): number => Number(hash([tag], LANE_SEED) % BigInt(lanes.length))
  if (laneKey.kind === 'tag') return (tag) => lanes[laneOf(tag)] ?? first
  const { path } = laneKey
  return (tag) => ({
    kind: 'lanes',
    lanes,
    rule: { path, laneCount: lanes.length, otherLane: laneOf(tag) }
  })
}

/** As in the kernel: keys never move between lanes. */
const LANE_SEED = 0n

export const logOf = (route: RouteTarget | LaneGroup): string =>
  route.kind === 'shard' ? route.log : (route.lanes[0]?.log ?? '')

export function isWhole(
  routes: readonly (RouteTarget | LaneGroup)[]
): routes is readonly RouteTarget[] {
  for (const route of routes) if (route.kind === 'lanes') return false
  return true
}

/** Which shards get what of a message. Null: no memory now. */
export function sharesOf(
  routes: readonly (RouteTarget | LaneGroup)[],
  runs: readonly Run[],
  splitter: Splitter
): LaneShare[] | null {
  const shares: LaneShare[] = []
  for (const route of routes) {
    if (route.kind === 'shard') {
      shares.push({ target: route, runs: [...runs] })
      continue
    }
    const mine = splitRuns(route, runs, splitter)
    if (mine === null) return null
    shares.push(...mine)
  }
  return shares
}

function splitRuns(
  { lanes, rule }: LaneGroup,
  runs: readonly Run[],
  splitter: Splitter
): LaneShare[] | null {
  const byLane = new Map<number, LaneShare>()
  for (const run of runs) {
    const entries = Buffer.from(run.entries.buffer, run.entries.byteOffset, run.entries.length)
    const parts = splitter.split(entries, run.form, rule)
    if (parts === null) return null
    for (const { lane, recordCount, entries } of parts) {
      const target = lanes[lane]
      invariant(target !== undefined, `no lane ${lane} of ${lanes.length}`)
      let share = byLane.get(lane)
      if (share === undefined) {
        share = { target, runs: [] }
        byLane.set(lane, share)
      }
      share.runs.push({ ...run, entries, recordCount })
    }
  }
  const shares = [...byLane.values()]
  return shares.length > 1 ? shares.map((share) => withSpread(share, shares)) : shares
}

/** A chunk that lies in several shards is stored when all of them have it: its id says which. */
function withSpread(share: LaneShare, shares: readonly LaneShare[]): LaneShare {
  const id = share.runs[0]?.ingestId ?? null
  if (id === null) return share
  const spread = spreadId(
    id,
    shares.map(({ target }) => target.shardNumber)
  )
  return { target: share.target, runs: share.runs.map((run) => ({ ...run, ingestId: spread })) }
}

/** The chunk value, then 64 bits: one for each shard of the route that has a part of the message. */
export function spreadId(id: Uint8Array, shardNumbers: readonly number[]): Buffer {
  const bits = Buffer.alloc(8)
  bits.writeBigUInt64LE(shardNumbers.reduce((all, shard) => all | (1n << BigInt(shard)), 0n))
  return Buffer.concat([id, bits])
}
