// Step 7. Runs on: any.
// Walks MessagePack without building values: for the few records that joins look at. The bytes passed the scanner, so
// they are well formed; a place beyond `endByte` still ends every walk.

/** Returned where bytes end too early. */
const BROKEN = -1

/** Byte after the value at `atByte`, or -1. */
export function skipValue(bytes: Buffer, atByte: number, endByte: number): number {
  let at = atByte
  let remaining = 1
  while (remaining > 0) {
    if (at >= endByte) return BROKEN
    remaining--
    const type = bytes[at] ?? 0
    if (type < 0x80 || type >= 0xe0) at += 1
    else if (type < 0x90) {
      remaining += 2 * (type & 15)
      at += 1
    } else if (type < 0xa0) {
      remaining += type & 15
      at += 1
    } else if (type < 0xc0) at += 1 + (type & 31)
    else {
      const size = headerBytes(type)
      if (at + size > endByte) return BROKEN
      remaining += childCount(bytes, at, type)
      at += size + payloadBytes(bytes, at, type)
    }
    if (at > endByte) return BROKEN
  }
  return at
}

function headerBytes(type: number): number {
  switch (type) {
    case 0xc4:
    case 0xc7:
    case 0xd9:
      return 2
    case 0xc5:
    case 0xc8:
    case 0xda:
    case 0xdc:
    case 0xde:
      return 3
    case 0xc6:
    case 0xc9:
    case 0xdb:
    case 0xdd:
    case 0xdf:
      return 5
    default:
      return 1
  }
}

function childCount(bytes: Buffer, at: number, type: number): number {
  switch (type) {
    case 0xdc:
      return bytes.readUInt16BE(at + 1)
    case 0xdd:
      return bytes.readUInt32BE(at + 1)
    case 0xde:
      return 2 * bytes.readUInt16BE(at + 1)
    case 0xdf:
      return 2 * bytes.readUInt32BE(at + 1)
    default:
      return 0
  }
}

/** Bytes after the header, where they are no values of their own. */
function payloadBytes(bytes: Buffer, at: number, type: number): number {
  switch (type) {
    case 0xc4:
    case 0xd9:
      return bytes[at + 1] ?? 0
    case 0xc5:
    case 0xda:
      return bytes.readUInt16BE(at + 1)
    case 0xc6:
    case 0xdb:
      return bytes.readUInt32BE(at + 1)
    case 0xc7:
      return (bytes[at + 1] ?? 0) + 1
    case 0xc8:
      return bytes.readUInt16BE(at + 1) + 1
    case 0xc9:
      return bytes.readUInt32BE(at + 1) + 1
    case 0xcc:
    case 0xd0:
      return 1
    case 0xcd:
    case 0xd1:
    case 0xd4:
      return 2
    case 0xd5:
      return 3
    case 0xca:
    case 0xce:
    case 0xd2:
      return 4
    case 0xd6:
      return 5
    case 0xcb:
    case 0xcf:
    case 0xd3:
      return 8
    case 0xd7:
      return 9
    case 0xd8:
      return 17
    default:
      return 0
  }
}

/** Bytes of the header of a str or bin at `at`; 0: it is neither. */
export function textHeaderBytes(bytes: Buffer, at: number): number {
  const type = bytes[at] ?? 0
  if (type >= 0xa0 && type < 0xc0) return 1
  if (type >= 0xc4 && type <= 0xc6) return type === 0xc4 ? 2 : type === 0xc5 ? 3 : 5
  if (type >= 0xd9 && type <= 0xdb) return type === 0xd9 ? 2 : type === 0xda ? 3 : 5
  return 0
}

/** Number of pairs of the map at `at` and bytes of its header; -1 pairs: no map. */
export function mapHeader(bytes: Buffer, at: number): { pairCount: number; byteCount: number } {
  const type = bytes[at] ?? 0
  if ((type & 0xf0) === 0x80) return { pairCount: type & 15, byteCount: 1 }
  if (type === 0xde) return { pairCount: bytes.readUInt16BE(at + 1), byteCount: 3 }
  if (type === 0xdf) return { pairCount: bytes.readUInt32BE(at + 1), byteCount: 5 }
  return { pairCount: -1, byteCount: 0 }
}

/** Place of the first element of the array at `at`; -1: no array. */
export function arrayBodyByte(bytes: Buffer, at: number): number {
  const type = bytes[at] ?? 0
  if ((type & 0xf0) === 0x90) return at + 1
  if (type === 0xdc) return at + 3
  if (type === 0xdd) return at + 5
  return BROKEN
}
