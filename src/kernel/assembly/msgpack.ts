// MessagePack readers that every file of the kernel shares.
// Rule of all readers: `end` is the first byte that does not belong to the value's area. Up to 64 bytes
// behind it may be loaded (every area has such a tail) and are never believed. Memory stays below 2 GiB,
// so `p` plus a 16-bit length cannot wrap around; 32-bit lengths are compared before they are added.

@inline
export function be16(p: usize): u32 {
  return bswap<u16>(load<u16>(p))
}

@inline
export function be32(p: usize): u32 {
  return bswap<u32>(load<u32>(p))
}

@inline
export function be64(p: usize): u64 {
  return bswap<u64>(load<u64>(p))
}

@inline
export function isMapByte(c: u32): bool {
  return (c & 0xf0) == 0x80 || c == 0xde || c == 0xdf
}

@inline
export function isArrayByte(c: u32): bool {
  return (c & 0xf0) == 0x90 || c == 0xdc || c == 0xdd
}

/** str or bin of any width: both are text. */
@inline
export function isTextByte(c: u32): bool {
  return (c & 0xe0) == 0xa0 || (c >= 0xc4 && c <= 0xc6) || (c >= 0xd9 && c <= 0xdb)
}

/** Payload length of the header that textStart, arrayStart or mapStart read last (elements or pairs). */
export let headerCount: u32 = 0

/** No value: the header is cut by `end`. */
export const CUT: usize = 0
/** No value: another type, or the reserved byte c1. */
export const WRONG: usize = 1

/** First payload byte of a str or bin; its length in headerCount, not compared with `end`. CUT, WRONG. */
@inline
export function textStart(p: usize, end: usize): usize {
  if (p >= end) return CUT
  const c: u32 = load<u8>(p)
  if ((c & 0xe0) == 0xa0) {
    headerCount = c & 31
    return p + 1
  }
  if (c == 0xd9 || c == 0xc4) {
    headerCount = load<u8>(p, 1)
    return p + 2 > end ? CUT : p + 2
  }
  if (c == 0xda || c == 0xc5) {
    headerCount = be16(p + 1)
    return p + 3 > end ? CUT : p + 3
  }
  if (c == 0xdb || c == 0xc6) {
    headerCount = be32(p + 1)
    return p + 5 > end ? CUT : p + 5
  }
  return WRONG
}

/** First element of an array; their count in headerCount. CUT, WRONG. */
@inline
export function arrayStart(p: usize, end: usize): usize {
  if (p >= end) return CUT
  const c: u32 = load<u8>(p)
  if ((c & 0xf0) == 0x90) {
    headerCount = c & 15
    return p + 1
  }
  if (c == 0xdc) {
    headerCount = be16(p + 1)
    return p + 3 > end ? CUT : p + 3
  }
  if (c == 0xdd) {
    headerCount = be32(p + 1)
    return p + 5 > end ? CUT : p + 5
  }
  return WRONG
}

/** First key of a map; the count of its pairs in headerCount. CUT, WRONG. */
@inline
export function mapStart(p: usize, end: usize): usize {
  if (p >= end) return CUT
  const c: u32 = load<u8>(p)
  if ((c & 0xf0) == 0x80) {
    headerCount = c & 15
    return p + 1
  }
  if (c == 0xde) {
    headerCount = be16(p + 1)
    return p + 3 > end ? CUT : p + 3
  }
  if (c == 0xdf) {
    headerCount = be32(p + 1)
    return p + 5 > end ? CUT : p + 5
  }
  return WRONG
}

/** 1 after c1 was met; it is counted as a value of one byte, so that a skip goes on. The caller resets it. */
export let metReserved: u32 = 0

export function resetReserved(): void {
  metReserved = 0
}

export function noteReserved(): void {
  metReserved = 1
}

/** The byte behind one value of any depth, or CUT. */
export function skipValue(p: usize, end: usize): usize {
  return skipValues(p, end, 1)
}

/** The byte behind `left` values, or CUT. Flat: depth costs neither stack nor memory. */
export function skipValues(p: usize, end: usize, left: u64): usize {
  while (left) {
    if (p >= end) return CUT
    const c: u32 = load<u8>(p++)
    left--
    if (c < 0x80 || c >= 0xe0) continue
    if ((c & 0xe0) == 0xa0) {
      p += c & 31
      continue
    }
    if (c < 0x90) {
      left += (c & 15) << 1
      continue
    }
    if (c < 0xa0) {
      left += c & 15
      continue
    }
    switch (c) {
      case 0xc0:
      case 0xc2:
      case 0xc3:
        break
      case 0xc1:
        metReserved = 1
        break
      case 0xc4:
      case 0xd9:
        p += 1 + <usize>load<u8>(p)
        break
      case 0xc5:
      case 0xda:
        p += 2 + be16(p)
        break
      case 0xc6:
      case 0xdb: {
        const n = be32(p)
        p += 4
        if (p > end || n > <u32>(end - p)) return CUT
        p += n
        break
      }
      case 0xc7:
        p += 2 + <usize>load<u8>(p)
        break
      case 0xc8:
        p += 3 + be16(p)
        break
      case 0xc9: {
        const n = be32(p)
        p += 5
        if (p > end || n > <u32>(end - p)) return CUT
        p += n
        break
      }
      case 0xcc:
      case 0xd0:
        p += 1
        break
      case 0xcd:
      case 0xd1:
      case 0xd4:
        p += 2
        break
      case 0xd5:
        p += 3
        break
      case 0xca:
      case 0xce:
      case 0xd2:
        p += 4
        break
      case 0xd6:
        p += 5
        break
      case 0xcb:
      case 0xcf:
      case 0xd3:
        p += 8
        break
      case 0xd7:
        p += 9
        break
      case 0xd8:
        p += 17
        break
      case 0xdc:
        left += be16(p)
        p += 2
        break
      case 0xdd:
        left += be32(p)
        p += 4
        break
      case 0xde:
        left += <u64>be16(p) << 1
        p += 2
        break
      case 0xdf:
        left += <u64>be32(p) << 1
        p += 4
        break
    }
    if (p > end) return CUT
  }
  return p > end ? CUT : p
}
