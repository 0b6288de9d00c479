// Fields of a protobuf message, one at a time. What a call found stands in variables until the next call.

export const WIRE_VARINT: u32 = 0
export const WIRE_64: u32 = 1
export const WIRE_BYTES: u32 = 2
export const WIRE_32: u32 = 5

export let field: u32 = 0
export let wire: u32 = 0
/** Payload of a WIRE_BYTES field. */
export let bytesStart: usize = 0
export let bytesEnd: usize = 0
/** Value of the other kinds. */
export let bits: u64 = 0

/** Byte behind the varint at p, its value in `bits`; 0: it is cut or too long. */
function readVarint(p: usize, end: usize): usize {
  let value: u64 = 0
  let shift: u32 = 0
  while (p < end && shift < 70) {
    const c: u64 = load<u8>(p++)
    value |= (c & 127) << shift
    if (c < 128) {
      bits = value
      return p
    }
    shift += 7
  }
  return 0
}

/** Reads the field at p; gives the byte behind it, 0: the message is malformed. Groups are not spoken any more. */
export function nextField(p: usize, end: usize): usize {
  p = readVarint(p, end)
  if (p == 0 || bits >> 3 == 0 || bits > u32.MAX_VALUE) return 0
  field = <u32>(bits >> 3)
  wire = <u32>(bits & 7)
  if (wire == WIRE_VARINT) return readVarint(p, end)
  if (wire == WIRE_64) {
    bits = load<u64>(p)
    return end - p >= 8 ? p + 8 : 0
  }
  if (wire == WIRE_32) {
    bits = load<u32>(p)
    return end - p >= 4 ? p + 4 : 0
  }
  if (wire != WIRE_BYTES) return 0
  p = readVarint(p, end)
  if (p == 0 || bits > <u64>(end - p)) return 0
  bytesStart = p
  bytesEnd = p + <usize>bits
  return bytesEnd
}
