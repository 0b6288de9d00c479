// Finds the end of a JSON value in a stream without reading the value: a machine of string, escape and depth that goes
// on where the bytes ended. Whether the value is good is the reader's question.

const OUTSIDE: u32 = 0
const IN_STRING: u32 = 1
const ESCAPED: u32 = 2

let depth: u32 = 0
let state: u32 = 0
let stoppedAt: usize = 0

export function jsonSplitDepth(): u32 {
  return depth
}

export function jsonSplitState(): u32 {
  return state
}

/** Where the last call stopped: the byte behind the value, or the first byte not looked at, or the wrong one. */
export function jsonSplitByte(): usize {
  return stoppedAt
}

/**
 * Goes on over [p, end). 1: a value ends before jsonSplitByte. 0: more bytes are needed. 2: the byte there begins no
 * array or object, or lies too deep.
 */
export function jsonSplit(
  p: usize,
  end: usize,
  depthBefore: u32,
  stateBefore: u32,
  depthMax: u32
): u32 {
  depth = depthBefore
  state = stateBefore
  const quote = i8x16.splat(0x22)
  const backslash = i8x16.splat(0x5c)
  while (p < end) {
    if (state == IN_STRING) {
      const bytes = v128.load(p)
      const mask = i8x16.bitmask(v128.or(i8x16.eq(bytes, quote), i8x16.eq(bytes, backslash)))
      p += mask ? <usize>ctz<i32>(mask) : 16
      if (mask == 0) continue
      if (p >= end) break
      state = load<u8>(p++) == 0x22 ? OUTSIDE : ESCAPED
      continue
    }
    const c: u32 = load<u8>(p++)
    if (state == ESCAPED) {
      state = IN_STRING
      continue
    }
    const isOpening = (c | 0x20) == 0x7b
    if (depth == 0 && !isOpening) {
      if (c == 0x20 || c == 0x0a || c == 0x0d || c == 0x09) continue
      stoppedAt = p - 1
      return 2
    }
    if (c == 0x22) state = IN_STRING
    else if (isOpening) {
      if (++depth > depthMax) {
        stoppedAt = p - 1
        return 2
      }
    } else if ((c | 0x20) == 0x7d && --depth == 0) {
      stoppedAt = p
      return 1
    }
  }
  stoppedAt = end
  return 0
}
