// What is the same for all entries of a group or shard: tag, source, first part of the position id.

import { SCRATCH } from './escape'

/** Characters of base64url, two at a time for twelve bits. */
const DIGIT_PAIRS = memory.data(4096 * 2, 16)

export let tag: usize = 0
export let tagLength: u32 = 0
export let source: usize = 0
export let sourceLength: u32 = 0
/** Grows whenever the tag changes. */
export let tagVersion: u32 = 0

/** First 16 characters of every id of the shard, and the 18 bytes they come from. */
const ID_PREFIX = memory.data(32, 16)
const LAST_TAG = memory.data(1024 + 64, 16)
let lastTagLength: u32 = 0xffffffff

const ALPHABET = memory.data<u8>([
  65, 66, 67, 68, 69, 70, 71, 72, 73, 74, 75, 76, 77, 78, 79, 80, 81, 82, 83, 84, 85, 86, 87, 88, 89, 90, 97, 98,
  99, 100, 101, 102, 103, 104, 105, 106, 107, 108, 109, 110, 111, 112, 113, 114, 115, 116, 117, 118, 119, 120, 121,
  122, 48, 49, 50, 51, 52, 53, 54, 55, 56, 57, 45, 95
])

export function initGroup(): void {
  for (let v: u32 = 0; v < 4096; v++) {
    store<u8>(DIGIT_PAIRS + v * 2, load<u8>(ALPHABET + (v >> 6)))
    store<u8>(DIGIT_PAIRS + v * 2, load<u8>(ALPHABET + (v & 63)), 1)
  }
}

@inline
function putDigits24(o: usize, v: u32): void {
  store<u16>(o, load<u16>(DIGIT_PAIRS + ((v >> 12) << 1)))
  store<u16>(o, load<u16>(DIGIT_PAIRS + ((v & 4095) << 1)), 2)
}

/** The shard's log id (big-endian value of its 8 bytes) and epoch. */
export function setShard(logIdHigh: u32, logIdLow: u32, epoch: u32): void {
  const scratch = SCRATCH
  store<u32>(scratch, bswap(logIdHigh))
  store<u32>(scratch, bswap(logIdLow), 4)
  store<u32>(scratch, bswap(epoch), 8)
  for (let i: u32 = 0; i < 4; i++) {
    const b = scratch + i * 3
    putDigits24(ID_PREFIX + i * 4, ((<u32>load<u8>(b)) << 16) | ((<u32>load<u8>(b, 1)) << 8) | load<u8>(b, 2))
  }
}

/** The 24 characters of a position id. */
@inline
export function putPositionId(o: usize, offset: u64): usize {
  v128.store(o, v128.load(ID_PREFIX))
  putDigits24(o + 16, <u32>(offset >> 24) & 0xffffff)
  putDigits24(o + 20, <u32>offset & 0xffffff)
  return o + 24
}

export function setGroup(tagStart: usize, tagBytes: u32, sourceStart: usize, sourceBytes: u32): void {
  tag = tagStart
  tagLength = tagBytes
  source = sourceStart
  sourceLength = sourceBytes
  if (tagBytes == lastTagLength && memory.compare(tagStart, LAST_TAG, tagBytes) == 0) return
  tagVersion++
  lastTagLength = 0xffffffff
  if (tagBytes > 1024) return
  memory.copy(LAST_TAG, tagStart, tagBytes)
  lastTagLength = tagBytes
}

// Parts of a tag.
export let partStart: usize = 0
export let partLength: u32 = 0

/** Parts `from` to `to` (exclusive) of the tag with the dots between; negative numbers count from the end. */
export function tagParts(from: i32, to: i32, isSlice: bool): bool {
  let count: i32 = 1
  for (let i: u32 = 0; i < tagLength; i++) count += load<u8>(tag + i) == 46 ? 1 : 0
  if (from < 0) {
    from += count
    // `slice` of JavaScript begins at the first part then; a single part is not there.
    if (from < 0 && !isSlice) return false
    from = max<i32>(from, 0)
  }
  if (!isSlice) to = from + 1
  else if (to < 0) to += count
  to = min<i32>(to, count)
  if (from >= to) return false
  let index: i32 = 0
  let p = tag
  const end = tag + tagLength
  while (index < from) if (load<u8>(p++) == 46) index++
  partStart = p
  while (p < end) {
    if (load<u8>(p) == 46 && ++index == to) break
    p++
  }
  partLength = <u32>(p - partStart)
  return true
}
