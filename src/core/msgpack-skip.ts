// Runs on: any.
// Ends of MessagePack values without decoding them, for recovery, dead letters and tools; the hot path scans in the
// kernel. Never allocates by a length that the bytes declare, and nesting costs no stack.

/** Bytes of the payload that follow the header byte, by header byte 0xc0..0xdf; -1: see the switch. */
const FIXED_BYTES = [
  0, -2, 0, 0, -1, -1, -1, -1, -1, -1, 4, 8, 1, 2, 4, 8, 1, 2, 4, 8, 2, 3, 5, 9, 17, -1, -1, -1, -1,
  -1, -1, -1
] as const

/** Byte after the value that starts at `startByte`, or -1 when it is cut or no MessagePack. Iterative: any nesting. */
export function skipValue(bytes: Buffer, startByte: number): number {
  let place = startByte
  let open = 1
  while (open > 0) {
    open--
    const size = headerAt(bytes, place)
    if (size === null) return -1
    place += size.byteCount
    open += size.valueCount
    // Each value that is still open takes a byte at least.
    if (place + open > bytes.length) return -1
  }
  return place
}

export interface HeaderSize {
  /** Header and payload; of maps and arrays only the header. */
  readonly byteCount: number
  /** Values inside that follow. */
  readonly valueCount: number
}

/** What begins at a place; null: it is cut or no MessagePack. */
export function headerAt(bytes: Buffer, place: number): HeaderSize | null {
  const header = bytes[place]
  if (header === undefined) return null
  if (header < 0x80 || header >= 0xe0) return leaf(1)
  if (header < 0x90) return { byteCount: 1, valueCount: (header & 15) * 2 }
  if (header < 0xa0) return { byteCount: 1, valueCount: header & 15 }
  if (header < 0xc0) return leaf(1 + (header & 31))
  const fixed = FIXED_BYTES[header - 0xc0] ?? -2
  if (fixed === -2) return null
  if (fixed >= 0) return leaf(1 + fixed)
  return sizeWithLength(bytes, place, header)
}

function sizeWithLength(bytes: Buffer, place: number, header: number): HeaderSize | null {
  const width = lengthWidth(header)
  if (place + 1 + width > bytes.length) return null
  const length = bytes.readUIntBE(place + 1, width)
  if (header >= 0xde) return { byteCount: 1 + width, valueCount: length * 2 }
  if (header >= 0xdc) return { byteCount: 1 + width, valueCount: length }
  const isExt = header >= 0xc7 && header <= 0xc9
  return leaf(1 + width + (isExt ? 1 : 0) + length)
}

function lengthWidth(header: number): 1 | 2 | 4 {
  switch (header) {
    case 0xc4:
    case 0xc7:
    case 0xd9:
      return 1
    case 0xc5:
    case 0xc8:
    case 0xda:
    case 0xdc:
    case 0xde:
      return 2
    default:
      return 4
  }
}

function leaf(byteCount: number): HeaderSize {
  return { byteCount, valueCount: 0 }
}
