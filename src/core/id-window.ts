// Runs on: main, ingest.
// A window of ids in shared memory: a hash of 128 bits -> a small number, for all threads at once. The oldest id leaves
// when it is full. Every call is one short critical section; a thread that finds the window in use sleeps until it is not.
// An id is known by the first 16 bytes of its SHA-256, and nothing else is compared: with 100,000 ids remembered, one of
// 2^40 look-ups of others is taken for one of them with probability 2^-71.

import { hash } from 'node:crypto'

/** First 16 bytes of the SHA-256 of (tag length, tag, id) as four words, then the sketch of the id. */
export type IdHash = Int32Array
/** Places of a hash in words. */
const SHA_WORDS = 4
const SKETCH = 4

/**
 * Tells most ids that are not remembered at a hundredth of the price of a SHA-256 (10 us): FNV-1a of the id alone, to as
 * many bits as a window counts. Who makes ids alike gains nothing but that they are hashed.
 */
export function idSketch(id: Uint8Array): number {
  let sum = 0x811c9dc5
  for (let at = 0; at < id.length; at++) sum = Math.imul(sum ^ (id[at] ?? 0), 0x01000193)
  return (sum ^ (sum >>> SKETCH_BITS)) & (SKETCH_COUNT - 1)
}

/** A tag is cut to 1,024 bytes, so two bytes tell its length. */
export function idHash(tag: Uint8Array, id: Uint8Array): IdHash {
  const text = Buffer.allocUnsafe(2 + tag.length + id.length)
  text.writeUInt16LE(tag.length)
  text.set(tag, 2)
  text.set(id, 2 + tag.length)
  const digest = hash('sha256', text, 'buffer')
  const words = new Int32Array(SHA_WORDS + 1)
  for (let word = 0; word < SHA_WORDS; word++) words[word] = digest.readInt32LE(word * 4)
  words[SKETCH] = idSketch(id)
  return words
}

const SKETCH_BITS = 16
const SKETCH_COUNT = 2 ** SKETCH_BITS

/** Words before the counts of sketches: one a sketch, then come the buckets. */
const LOCK = 0
const COUNT = 1
/** Ring place that is written next. */
const HEAD = 2
const HEADER_WORDS = 16
const BUCKETS_WORD = HEADER_WORDS + SKETCH_COUNT
/** Of a ring place: hash and sketch 5, value (0: free), next place of the bucket + 1. */
const PLACE_WORDS = 8
const VALUE = 5
const NEXT = 6

/** Values of the lock. */
const FREE = 0
const HELD = 1
const AWAITED = 2

export class IdWindow {
  readonly #words: Int32Array
  readonly #capacity: number
  readonly #bucketMask: number
  readonly #placesWord: number

  /** Bytes of shared memory, zeroed; untouched ones cost nothing. */
  static byteCount(capacity: number): number {
    return (BUCKETS_WORD + bucketCountOf(capacity) + capacity * PLACE_WORDS) * 4
  }

  constructor(shared: SharedArrayBuffer, startByte: number, capacity: number) {
    this.#capacity = capacity
    this.#words = new Int32Array(shared, startByte, IdWindow.byteCount(capacity) / 4)
    this.#bucketMask = bucketCountOf(capacity) - 1
    this.#placesWord = BUCKETS_WORD + bucketCountOf(capacity)
  }

  get count(): number {
    return Atomics.load(this.#words, COUNT)
  }

  /** False: no id of this sketch is remembered. */
  mayHold(sketch: number): boolean {
    return Atomics.load(this.#words, HEADER_WORDS + sketch) > 0
  }

  /** 0: not remembered. */
  get(id: IdHash): number {
    return this.#locked(() => this.#valueAt(this.#find(id)))
  }

  /** Remembers an id as the newest one. `value` is not 0. */
  put(id: IdHash, value: number): void {
    this.#locked(() => {
      this.#remove(id)
      this.#insert(id, value)
    })
  }

  /**
   * Asks and answers in one step: `decide` gets the value of the id (0: none) and gives the new one (0: forgotten).
   * An id keeps its age. Returns the value from before.
   */
  change(id: IdHash, decide: (value: number) => number): number {
    return this.#locked(() => {
      const place = this.#find(id)
      const before = this.#valueAt(place)
      const after = decide(before)
      if (after === before) return before
      if (place < 0) this.#insert(id, after)
      else if (after === 0) this.#remove(id)
      else this.#words[place + VALUE] = after
      return before
    })
  }

  #locked<T>(use: () => T): T {
    const words = this.#words
    if (Atomics.compareExchange(words, LOCK, FREE, HELD) !== FREE) {
      while (Atomics.exchange(words, LOCK, AWAITED) !== FREE) Atomics.wait(words, LOCK, AWAITED)
    }
    try {
      return use()
    } finally {
      if (Atomics.exchange(words, LOCK, FREE) === AWAITED) Atomics.notify(words, LOCK, 1)
    }
  }

  #bucket(id: IdHash): number {
    return BUCKETS_WORD + ((id[0] ?? 0) & this.#bucketMask)
  }

  /** First word of the place of an id, or -1. */
  #find(id: IdHash): number {
    const words = this.#words
    for (let next = words[this.#bucket(id)] ?? 0; next > 0; ) {
      const place = this.#placesWord + (next - 1) * PLACE_WORDS
      if (isSame(words, place, id)) return place
      next = words[place + NEXT] ?? 0
    }
    return -1
  }

  #valueAt(place: number): number {
    return place < 0 ? 0 : (this.#words[place + VALUE] ?? 0)
  }

  #insert(id: IdHash, value: number): void {
    const words = this.#words
    const ring = words[HEAD] ?? 0
    const place = this.#placesWord + ring * PLACE_WORDS
    if (this.#valueAt(place) !== 0) this.#remove(words.slice(place, place + SHA_WORDS + 1))
    words[HEAD] = (ring + 1) % this.#capacity
    words.set(id, place)
    words[place + VALUE] = value
    const bucket = this.#bucket(id)
    words[place + NEXT] = words[bucket] ?? 0
    words[bucket] = ring + 1
    this.#count(id, 1)
  }

  #count(id: IdHash, by: 1 | -1): void {
    Atomics.add(this.#words, HEADER_WORDS + (id[SKETCH] ?? 0), by)
    Atomics.add(this.#words, COUNT, by)
  }

  #remove(id: IdHash): void {
    const words = this.#words
    let link = this.#bucket(id)
    for (let next = words[link] ?? 0; next > 0; next = words[link] ?? 0) {
      const place = this.#placesWord + (next - 1) * PLACE_WORDS
      if (isSame(words, place, id)) {
        words[link] = words[place + NEXT] ?? 0
        words[place + VALUE] = 0
        this.#count(id, -1)
        return
      }
      link = place + NEXT
    }
  }
}

function isSame(words: Int32Array, place: number, id: IdHash): boolean {
  return (
    words[place] === id[0] &&
    words[place + 1] === id[1] &&
    words[place + 2] === id[2] &&
    words[place + 3] === id[3]
  )
}

/** About one id per bucket. */
const bucketCountOf = (capacity: number): number => 2 ** Math.ceil(Math.log2(capacity))
