// Output of the JSON reader: MessagePack in the smallest form, written forward. `outEnd` lies 64 bytes before the end
// of the area, so that vectors may be stored up to it.

/** Next byte to write. */
export let out: usize = 0
let outEnd: usize = 0

export function beginOutput(start: usize, end: usize): void {
  out = start
  outEnd = end
}

/** Goes on at another byte: back, to drop what was written, or on, behind what was stored. */
@inline
export function moveOutput(at: usize): void {
  out = at
}

@inline
export function hasRoom(byteCount: usize): bool {
  return out + byteCount <= outEnd
}

export function putByte(byte: u32): void {
  store<u8>(out++, byte)
}

export function putUnsigned(value: u64): void {
  if (value < 0x80) putByte(<u32>value)
  else if (value <= 0xff) {
    putByte(0xcc)
    putByte(<u32>value)
  } else if (value <= 0xffff) {
    putByte(0xcd)
    store<u16>(out, bswap<u16>(<u16>value))
    out += 2
  } else if (value <= 0xffffffff) {
    putByte(0xce)
    store<u32>(out, bswap<u32>(<u32>value))
    out += 4
  } else {
    putByte(0xcf)
    store<u64>(out, bswap<u64>(value))
    out += 8
  }
}

/** -magnitude, at most 2^63. */
export function putNegative(magnitude: u64): void {
  const value = <i64>(0 - magnitude)
  if (value >= -32) putByte(<u32>(value & 0xff))
  else if (value >= -0x80) {
    putByte(0xd0)
    putByte(<u32>(value & 0xff))
  } else if (value >= -0x8000) {
    putByte(0xd1)
    store<u16>(out, bswap<u16>(<u16>value))
    out += 2
  } else if (value >= -0x80000000) {
    putByte(0xd2)
    store<u32>(out, bswap<u32>(<u32>value))
    out += 4
  } else {
    putByte(0xd3)
    store<u64>(out, bswap<u64>(<u64>value))
    out += 8
  }
}

export function putFloat(value: f64): void {
  putByte(0xcb)
  store<u64>(out, bswap<u64>(reinterpret<u64>(value)))
  out += 8
}

/** Bytes of a str header for a text of at most `byteCount` bytes. */
export function textHeaderBytes(byteCount: usize): usize {
  return byteCount < 32 ? 1 : byteCount <= 0xff ? 2 : byteCount <= 0xffff ? 3 : 5
}

/** Writes a str header of the given width in place. */
export function setTextHeader(at: usize, width: usize, byteCount: usize): void {
  if (width == 1) store<u8>(at, 0xa0 | <u32>byteCount)
  else if (width == 2) {
    store<u8>(at, 0xd9)
    store<u8>(at, <u32>byteCount, 1)
  } else if (width == 3) {
    store<u8>(at, 0xda)
    store<u16>(at, bswap<u16>(<u16>byteCount), 1)
  } else {
    store<u8>(at, 0xdb)
    store<u32>(at, bswap<u32>(<u32>byteCount), 1)
  }
}

/** Copies in whole vectors: up to 15 bytes behind are read and overwritten. The caller has checked the room. */
export function putBytes(from: usize, byteCount: usize): void {
  if (byteCount > 256) memory.copy(out, from, byteCount)
  else {
    for (let at: usize = 0; at < byteCount; at += 16) v128.store(out + at, v128.load(from + at))
  }
  out += byteCount
}

/** A text as it is. */
export function putText(from: usize, byteCount: usize): void {
  const width = textHeaderBytes(byteCount)
  setTextHeader(out, width, byteCount)
  out += width
  putBytes(from, byteCount)
}

/**
 * Ends a map or array whose header byte at `at` was left open. More than 15 elements need a wider header, so the
 * contents move up once per container; `fix` is 80 or 90, `wide` de or dc. False when there is no room.
 */
export function closeGroup(at: usize, count: u32, fix: u32, wide: u32): bool {
  if (count < 16) {
    store<u8>(at, fix | count)
    return true
  }
  const extra: usize = count <= 0xffff ? 2 : 4
  if (!hasRoom(extra)) return false
  memory.copy(at + 1 + extra, at + 1, out - at - 1)
  out += extra
  if (extra == 2) {
    store<u8>(at, wide)
    store<u16>(at, bswap<u16>(<u16>count), 1)
  } else {
    store<u8>(at, wide + 1)
    store<u32>(at, bswap<u32>(count), 1)
  }
  return true
}

/** EventTime where its unsigned 32 bits hold the seconds, else a timestamp of 96 bits. */
export function putTime(seconds: i64, nanos: u32): void {
  if (seconds >= 0 && seconds <= 0xffffffff) {
    store<u16>(out, 0x00d7)
    store<u32>(out, bswap<u32>(<u32>seconds), 2)
    store<u32>(out, bswap<u32>(nanos), 6)
    out += 10
    return
  }
  store<u32>(out, 0x00ff0cc7)
  store<u32>(out, bswap<u32>(nanos), 3)
  store<u64>(out, bswap<u64>(<u64>seconds), 7)
  out += 15
}

/** Header of a map of `count` pairs; at most 5 bytes. */
export function putMapHeader(count: u32): void {
  if (count < 16) putByte(0x80 | count)
  else if (count <= 0xffff) {
    store<u8>(out, 0xde)
    store<u16>(out, bswap<u16>(<u16>count), 1)
    out += 3
  } else {
    store<u8>(out, 0xdf)
    store<u32>(out, bswap<u32>(count), 1)
    out += 5
  }
}
