// XXH64, the standard function: whole areas in one call, or in parts (begin, update, digest).
// bench/micro/kernel/scan.bench.ts measures it.

const PRIME1: u64 = 0x9e3779b185ebca87
const PRIME2: u64 = 0xc2b2ae3d27d4eb4f
const PRIME3: u64 = 0x165667b19e3779f9
const PRIME4: u64 = 0x85ebca77c2b2ae63
const PRIME5: u64 = 0x27d4eb2f165667c5
const STRIPE_BYTES: usize = 32

let lane1: u64 = 0
let lane2: u64 = 0
let lane3: u64 = 0
let lane4: u64 = 0
let startSeed: u64 = 0
let totalBytes: u64 = 0
/** The bytes of an unfinished stripe. */
const pending = memory.data(64)
let pendingBytes: usize = 0

@inline
function round(lane: u64, input: u64): u64 {
  return rotl(lane + input * PRIME2, 31) * PRIME1
}

@inline
function mergeRound(hash: u64, lane: u64): u64 {
  return (hash ^ round(0, lane)) * PRIME1 + PRIME4
}

/** Whole stripes of [p, p + byteCount) into the lanes; gives the first byte behind them. */
function stripes(p: usize, byteCount: usize): usize {
  let a = lane1
  let b = lane2
  let c = lane3
  let d = lane4
  const stop = p + (byteCount & ~(STRIPE_BYTES - 1))
  while (p < stop) {
    a = round(a, load<u64>(p))
    b = round(b, load<u64>(p, 8))
    c = round(c, load<u64>(p, 16))
    d = round(d, load<u64>(p, 24))
    p += STRIPE_BYTES
  }
  lane1 = a
  lane2 = b
  lane3 = c
  lane4 = d
  return p
}

function finish(p: usize, left: usize): u64 {
  let hash: u64
  if (totalBytes >= STRIPE_BYTES) {
    hash = rotl(lane1, 1) + rotl(lane2, 7) + rotl(lane3, 12) + rotl(lane4, 18)
    hash = mergeRound(hash, lane1)
    hash = mergeRound(hash, lane2)
    hash = mergeRound(hash, lane3)
    hash = mergeRound(hash, lane4)
  } else {
    hash = startSeed + PRIME5
  }
  hash += totalBytes
  while (left >= 8) {
    hash = rotl(hash ^ round(0, load<u64>(p)), 27) * PRIME1 + PRIME4
    p += 8
    left -= 8
  }
  if (left >= 4) {
    hash = rotl(hash ^ (<u64>load<u32>(p) * PRIME1), 23) * PRIME2 + PRIME3
    p += 4
    left -= 4
  }
  while (left) {
    hash = rotl(hash ^ (<u64>load<u8>(p) * PRIME5), 11) * PRIME1
    p++
    left--
  }
  hash ^= hash >> 33
  hash *= PRIME2
  hash ^= hash >> 29
  hash *= PRIME3
  return hash ^ (hash >> 32)
}

export function xxh64Begin(seed: u64): void {
  startSeed = seed
  lane1 = seed + PRIME1 + PRIME2
  lane2 = seed + PRIME2
  lane3 = seed
  lane4 = seed - PRIME1
  totalBytes = 0
  pendingBytes = 0
}

export function xxh64Update(p: usize, byteCount: usize): void {
  totalBytes += byteCount
  const end = p + byteCount
  if (pendingBytes) {
    const room = STRIPE_BYTES - pendingBytes
    const taken = byteCount < room ? byteCount : room
    memory.copy(pending + pendingBytes, p, taken)
    pendingBytes += taken
    p += taken
    if (pendingBytes < STRIPE_BYTES) return
    stripes(pending, STRIPE_BYTES)
    pendingBytes = 0
  }
  p = stripes(p, end - p)
  pendingBytes = end - p
  memory.copy(pending, p, pendingBytes)
}

export function xxh64Digest(): u64 {
  return finish(pending, pendingBytes)
}

/** One area that lies in one piece. */
export function xxh64(p: usize, byteCount: usize, seed: u64): u64 {
  xxh64Begin(seed)
  totalBytes = byteCount
  const tail = stripes(p, byteCount)
  return finish(tail, p + byteCount - tail)
}
