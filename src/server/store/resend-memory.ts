// Step 3, before it. Runs on: main.
// The window of chunk ids of every route in memory that the ingest threads share, filled with what the newest segments
// hold: an ack may have been lost with the process before. A chunk that was cut over several shards counts as stored when
// every one of them has its part.

import { IdWindow, idHash } from '../../core/id-window.ts'
import { RESENDS_MAX } from '../../core/limits.ts'
import { skipValue } from '../../core/msgpack-skip.ts'
import { RESEND_STATE } from '../../threads/shared.ts'

/** What recovery found in one shard. */
export interface RecoveredIds {
  readonly shardNumber: number
  /** `tag NUL id` in latin1, oldest first; a chunk that lies in several shards has 64 bits behind its id, one for each. */
  readonly ids: readonly string[]
}

export interface ResendMemory {
  readonly shared: SharedArrayBuffer
  /** Which log each window is of. */
  readonly logs: readonly string[]
}

/** Shards that have a chunk, and those that must have it. */
interface Spread {
  readonly tag: Buffer
  readonly id: Buffer
  readonly neededBits: bigint
  seenBits: bigint
}

const SPREAD_BYTES = 8

/** Per log: the shards of each directory that it reads; numbers of shards mean something within one. */
export function createResendMemory(
  recovered: ReadonlyMap<string, readonly (readonly RecoveredIds[])[]>
): ResendMemory {
  const windowBytes = IdWindow.byteCount(RESENDS_MAX)
  const shared = new SharedArrayBuffer(recovered.size * windowBytes)
  for (const [ordinal, directories] of [...recovered.values()].entries()) {
    const window = new IdWindow(shared, ordinal * windowBytes, RESENDS_MAX)
    for (const { tag, id } of directories.flatMap(wholeChunks)) {
      window.put(idHash(tag, id), RESEND_STATE.recovered)
    }
  }
  return { shared, logs: [...recovered.keys()] }
}

function wholeChunks(shards: readonly RecoveredIds[]): Spread[] {
  const chunks = new Map<string, Spread>()
  for (const { shardNumber, ids } of shards) {
    const bit = 1n << BigInt(shardNumber)
    for (const key of ids) {
      const known = chunks.get(key)
      if (known !== undefined) known.seenBits |= bit
      else {
        const spread = spreadOf(key, bit)
        if (spread !== null) chunks.set(key, spread)
      }
    }
  }
  return [...chunks.values()].filter(
    ({ neededBits, seenBits }) => (seenBits & neededBits) === neededBits
  )
}

/** Null: no chunk value. */
function spreadOf(key: string, bit: bigint): Spread | null {
  const tagEnd = key.indexOf('\0')
  const tag = Buffer.from(key.slice(0, tagEnd), 'latin1')
  const value = Buffer.from(key.slice(tagEnd + 1), 'latin1')
  const idEnd = skipValue(value, 0)
  if (idEnd < 0) return null
  const isSpread = value.length === idEnd + SPREAD_BYTES
  if (!isSpread && value.length !== idEnd) return null
  const neededBits = isSpread ? value.readBigUInt64LE(idEnd) : 0n
  return { tag, id: value.subarray(0, idEnd), neededBits, seenBits: bit }
}
