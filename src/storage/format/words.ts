// Runs on: any.
// 64-bit fields as numbers. Offsets stay below 2^48 and times below 2^53, so no BigInt is needed, which would allocate.

const LOW = 2 ** 32
/** Every 64-bit number field of the format but hashes; a greater one on disk is damage. */
export const NUMBER_MAX = Number.MAX_SAFE_INTEGER

export function writeU64(into: Buffer, value: number, atByte: number): void {
  into.writeUInt32LE(value % LOW, atByte)
  into.writeUInt32LE(Math.floor(value / LOW), atByte + 4)
}

/** Above 2^53 the result is rounded: callers compare it with NUMBER_MAX. */
export function readU64(from: Buffer, atByte: number): number {
  return from.readUInt32LE(atByte) + from.readUInt32LE(atByte + 4) * LOW
}

export function writeI64(into: Buffer, value: number, atByte: number): void {
  into.writeBigInt64LE(BigInt(value), atByte)
}

export function readI64(from: Buffer, atByte: number): number {
  return Number(from.readBigInt64LE(atByte))
}
