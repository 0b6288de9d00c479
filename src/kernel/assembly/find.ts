// Searching bytes, 16 at a time. Loads may pass the end of the text by a vector, as every area allows.

/** Place of the first byte `c` in [p, end), or `end`. */
export function findByte(p: usize, end: usize, c: u8): usize {
  const wanted = i8x16.splat(c)
  while (p < end) {
    const mask: u32 = i8x16.bitmask(i8x16.eq(v128.load(p), wanted))
    if (mask) return min<usize>(p + ctz<u32>(mask), end)
    p += 16
  }
  return end
}

/** Whether the text holds the literal: places where its first and last byte agree are compared. */
export function contains(p: usize, n: u32, literal: usize, length: u32): bool {
  if (!length) return true
  if (length > n) return false
  const end = p + n - length + 1
  const first = i8x16.splat(load<u8>(literal))
  const last = i8x16.splat(load<u8>(literal + length - 1))
  while (p < end) {
    let mask: u32 = i8x16.bitmask(
      v128.and(
        i8x16.eq(v128.load(p), first),
        i8x16.eq(v128.load(p + length - 1), last)
      )
    )
    while (mask) {
      const k = ctz<u32>(mask)
      if (p + k >= end) return false
      if (memory.compare(p + k, literal, length) == 0) return true
      mask &= mask - 1
    }
    p += 16
  }
  return false
}
