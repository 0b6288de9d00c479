// Runs on: any.
// XXH64 over a stream of 64-bit words, one word at a time: the footer's hash over the payload hashes of a segment, which
// may be hundreds of thousands and are not kept. One step costs about half a microsecond, once per frame.

const PRIME_1 = 0x9e3779b185ebca87n
const PRIME_2 = 0xc2b2ae3d27d4eb4fn
const PRIME_3 = 0x165667b19e3779f9n
const PRIME_4 = 0x85ebca77c2b2ae63n
const PRIME_5 = 0x27d4eb2f165667c5n

const u64 = (value: bigint): bigint => BigInt.asUintN(64, value)
const rotate = (value: bigint, bits: bigint): bigint => u64(value << bits) | (value >> (64n - bits))
const round = (lane: bigint, word: bigint): bigint =>
  u64(rotate(u64(lane + u64(word * PRIME_2)), 31n) * PRIME_1)

/** Same value as XXH64 over the words as little-endian bytes. */
export class WordHash {
  readonly #seed: bigint
  readonly #lanes: [bigint, bigint, bigint, bigint]
  /** Words since the last full stripe of four. */
  #rest: bigint[] = []
  #wordCount = 0

  constructor(seed: bigint) {
    this.#seed = seed
    this.#lanes = [u64(seed + PRIME_1 + PRIME_2), u64(seed + PRIME_2), seed, u64(seed - PRIME_1)]
  }

  add(word: bigint): void {
    this.#wordCount++
    this.#rest.push(word)
    const [a, b, c, d] = this.#rest
    if (a === undefined || b === undefined || c === undefined || d === undefined) return
    const lanes = this.#lanes
    lanes[0] = round(lanes[0], a)
    lanes[1] = round(lanes[1], b)
    lanes[2] = round(lanes[2], c)
    lanes[3] = round(lanes[3], d)
    this.#rest = []
  }

  digest(): bigint {
    let hash = this.#wordCount < 4 ? u64(this.#seed + PRIME_5) : this.#mergedLanes()
    hash = u64(hash + BigInt(this.#wordCount * 8))
    for (const word of this.#rest) {
      hash = u64(rotate(hash ^ round(0n, word), 27n) * PRIME_1 + PRIME_4)
    }
    hash = u64((hash ^ (hash >> 33n)) * PRIME_2)
    hash = u64((hash ^ (hash >> 29n)) * PRIME_3)
    return hash ^ (hash >> 32n)
  }

  #mergedLanes(): bigint {
    const [a, b, c, d] = this.#lanes
    let hash = u64(rotate(a, 1n) + rotate(b, 7n) + rotate(c, 12n) + rotate(d, 18n))
    for (const lane of this.#lanes) {
      hash = u64((hash ^ round(0n, lane)) * PRIME_1 + PRIME_4)
    }
    return hash
  }
}
