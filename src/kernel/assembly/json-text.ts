// Decoding of JSON strings.

@inline
function hexValue(c: u32): u32 {
  return c <= 57 ? c - 48 : (c | 32) - 87
}

@inline
export function hex4(p: usize): u32 {
  return (
    (hexValue(load<u8>(p)) << 12) |
    (hexValue(load<u8>(p, 1)) << 8) |
    (hexValue(load<u8>(p, 2)) << 4) |
    hexValue(load<u8>(p, 3))
  )
}

/** Writes a code point as UTF-8. */
@inline
export function putUtf8(o: usize, u: u32): usize {
  if (u < 0x80) {
    store<u8>(o, u)
    return o + 1
  }
  if (u < 0x800) {
    store<u8>(o, 0xc0 | (u >> 6))
    store<u8>(o, 0x80 | (u & 63), 1)
    return o + 2
  }
  if (u < 0x10000) {
    store<u8>(o, 0xe0 | (u >> 12))
    store<u8>(o, 0x80 | ((u >> 6) & 63), 1)
    store<u8>(o, 0x80 | (u & 63), 2)
    return o + 3
  }
  store<u8>(o, 0xf0 | (u >> 18))
  store<u8>(o, 0x80 | ((u >> 12) & 63), 1)
  store<u8>(o, 0x80 | ((u >> 6) & 63), 2)
  store<u8>(o, 0x80 | (u & 63), 3)
  return o + 4
}

/**
 * The text of a valid JSON string whose content is [p, end); never longer than the content. A half of a surrogate pair
 * without its other half becomes U+FFFD.
 */
export function unescapeJson(o: usize, p: usize, end: usize): usize {
  while (p < end) {
    const c: u32 = load<u8>(p++)
    if (c != 92) {
      store<u8>(o++, c)
      continue
    }
    const d: u32 = load<u8>(p++)
    switch (d) {
      case 0x6e:
        store<u8>(o++, 10)
        break
      case 0x74:
        store<u8>(o++, 9)
        break
      case 0x72:
        store<u8>(o++, 13)
        break
      case 0x62:
        store<u8>(o++, 8)
        break
      case 0x66:
        store<u8>(o++, 12)
        break
      case 0x75: {
        let u = hex4(p)
        p += 4
        if (u >= 0xd800 && u < 0xe000) {
          const isPair = u < 0xdc00 && p + 6 <= end && load<u16>(p) == 0x755c
          const low: u32 = isPair ? hex4(p + 2) : 0
          if (low >= 0xdc00 && low < 0xe000) {
            u = 0x10000 + ((u - 0xd800) << 10) + (low - 0xdc00)
            p += 6
          } else u = 0xfffd
        }
        o = putUtf8(o, u)
        break
      }
      default:
        store<u8>(o++, d)
    }
  }
  return o
}
