// Checks that a value is complete MessagePack and how deep it nests, without building anything.
// Recursion is one level per container and ends at the scanner's nesting limit.

import { be16, be32, CUT, noteReserved, WRONG } from './msgpack'

/** Containers within each other, the first one is depth 1: in a record, and before a stream is given up. */
let recordNestingMax: u32 = 0
let scanNestingMax: u32 = 0

/** 1 when a container lay deeper than a record may; the caller resets it. */
export let isTooDeep: u32 = 0

export function setNestingMax(record: u32, scan: u32): void {
  recordNestingMax = record
  scanNestingMax = scan
}

export function resetTooDeep(): void {
  isTooDeep = 0
}

/** The byte behind `left` values that lie at `depth`. CUT, or WRONG for the nesting limit. */
export function checkValues(p: usize, end: usize, left: u64, depth: u32): usize {
  while (left) {
    if (p >= end) return CUT
    left--
    const c: u32 = load<u8>(p++)
    if ((c & 0xe0) == 0xa0) {
      p += c & 31
      continue
    }
    if (c == 0xd9) {
      p += 1 + <usize>load<u8>(p)
      continue
    }
    if (c < 0x80 || c >= 0xe0) continue
    let inner: u64 = 0
    switch (c) {
      case 0xc0:
      case 0xc2:
      case 0xc3:
        continue
      case 0xc1:
        noteReserved()
        continue
      case 0xc4:
        p += 1 + <usize>load<u8>(p)
        continue
      case 0xc5:
      case 0xda:
        p += 2 + be16(p)
        continue
      case 0xc6:
      case 0xdb: {
        const n = be32(p)
        p += 4
        if (p > end || n > <u32>(end - p)) return CUT
        p += n
        continue
      }
      case 0xc7:
        p += 2 + <usize>load<u8>(p)
        continue
      case 0xc8:
        p += 3 + be16(p)
        continue
      case 0xc9: {
        const n = be32(p)
        p += 5
        if (p > end || n > <u32>(end - p)) return CUT
        p += n
        continue
      }
      case 0xcc:
      case 0xd0:
        p += 1
        continue
      case 0xcd:
      case 0xd1:
      case 0xd4:
        p += 2
        continue
      case 0xd5:
        p += 3
        continue
      case 0xca:
      case 0xce:
      case 0xd2:
        p += 4
        continue
      case 0xd6:
        p += 5
        continue
      case 0xcb:
      case 0xcf:
      case 0xd3:
        p += 8
        continue
      case 0xd7:
        p += 9
        continue
      case 0xd8:
        p += 17
        continue
      case 0xdc:
        inner = be16(p)
        p += 2
        break
      case 0xdd:
        inner = be32(p)
        p += 4
        break
      case 0xde:
        inner = <u64>be16(p) << 1
        p += 2
        break
      case 0xdf:
        inner = <u64>be32(p) << 1
        p += 4
        break
      default:
        inner = c < 0x90 ? (c & 15) << 1 : c & 15
    }
    if (p > end) return CUT
    if (depth > recordNestingMax) {
      isTooDeep = 1
      if (depth > scanNestingMax) return WRONG
    }
    p = checkValues(p, end, inner, depth + 1)
    if (p <= WRONG) return p
  }
  return p > end ? CUT : p
}

/** The byte behind one value; a container in it is depth 1. */
@inline
export function checkValue(p: usize, end: usize): usize {
  return checkValues(p, end, 1, 1)
}
