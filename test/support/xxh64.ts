// XXH64 over any bytes with BigInt: the oracle of the hash in the kernel. Slow (a few MB/s).

const PRIME1 = 0x9e3779b185ebca87n
const PRIME2 = 0xc2b2ae3d27d4eb4fn
const PRIME3 = 0x165667b19e3779f9n
const PRIME4 = 0x85ebca77c2b2ae63n
const PRIME5 = 0x27d4eb2f165667c5n
const STRIPE_BYTES = 32

/** The hash of all parts in order, as one text of bytes. */
export function xxh64(parts: readonly Uint8Array[], seed: bigint): bigint {
  const bytes = Buffer.concat(parts)
  let at = 0
  let hash: bigint
  if (bytes.length >= STRIPE_BYTES) {
    const lanes = [
      wrap(seed + PRIME1 + PRIME2),
      wrap(seed + PRIME2),
      wrap(seed),
      wrap(seed - PRIME1)
    ]
    for (; at + STRIPE_BYTES <= bytes.length; at += STRIPE_BYTES) {
      lanes.forEach((lane, index) => {
        lanes[index] = round(lane, bytes.readBigUInt64LE(at + 8 * index))
      })
    }
    hash = wrap(
      lanes.reduce((sum, lane, index) => sum + rotate(lane, [1n, 7n, 12n, 18n][index] ?? 0n), 0n)
    )
    for (const lane of lanes) hash = wrap((hash ^ round(0n, lane)) * PRIME1 + PRIME4)
  } else {
    hash = wrap(seed + PRIME5)
  }
  return avalanche(tail(wrap(hash + BigInt(bytes.length)), bytes, at))
}

function tail(start: bigint, bytes: Buffer, from: number): bigint {
  let hash = start
  let at = from
  for (; at + 8 <= bytes.length; at += 8) {
    hash = wrap(rotate(hash ^ round(0n, bytes.readBigUInt64LE(at)), 27n) * PRIME1 + PRIME4)
  }
  if (at + 4 <= bytes.length) {
    hash = wrap(rotate(hash ^ wrap(BigInt(bytes.readUInt32LE(at)) * PRIME1), 23n) * PRIME2 + PRIME3)
    at += 4
  }
  for (; at < bytes.length; at += 1) {
    hash = wrap(rotate(hash ^ wrap(BigInt(bytes.readUInt8(at)) * PRIME5), 11n) * PRIME1)
  }
  return hash
}

function avalanche(start: bigint): bigint {
  let hash = start
  hash = wrap((hash ^ (hash >> 33n)) * PRIME2)
  hash = wrap((hash ^ (hash >> 29n)) * PRIME3)
  return hash ^ (hash >> 32n)
}

function round(lane: bigint, input: bigint): bigint {
  return wrap(rotate(wrap(lane + input * PRIME2), 31n) * PRIME1)
}

function rotate(value: bigint, bits: bigint): bigint {
  return wrap(value << bits) | (value >> (64n - bits))
}

function wrap(value: bigint): bigint {
  return BigInt.asUintN(64, value)
}
