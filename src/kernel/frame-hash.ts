// Runs on: any.
// The hash of frames and headers: XXH64 in the kernel, over parts that may lie apart.

import type { Kernel } from './instance.ts'

/** XXH64 over all parts in order, as one text of bytes. */
export type FrameHash = (parts: readonly Uint8Array[], seed: bigint) => bigint

export interface HashExports {
  xxh64(start: number, byteCount: number, seed: bigint): bigint
  xxh64Begin(seed: bigint): void
  xxh64Update(start: number, byteCount: number): void
  xxh64Digest(): bigint
}

/** Parts outside the kernel's memory are hashed through an area of this size. */
const SCRATCH_BYTES = 65_536

/** Views into the kernel's memory are hashed where they lie, others through a scratch area. */
export function createFrameHash(kernel: Kernel<HashExports>): FrameHash {
  const { memory, exports } = kernel
  const scratchByte = kernel.reserve(SCRATCH_BYTES)
  const update = (part: Uint8Array) => {
    if (part.buffer === memory.buffer) {
      exports.xxh64Update(part.byteOffset, part.length)
      return
    }
    for (let at = 0; at < part.length; at += SCRATCH_BYTES) {
      const piece = part.subarray(at, at + SCRATCH_BYTES)
      memory.set(piece, scratchByte)
      exports.xxh64Update(scratchByte, piece.length)
    }
  }
  return (parts, seed) => {
    const only = parts.length === 1 ? parts[0] : undefined
    if (only !== undefined && only.buffer === memory.buffer) {
      return BigInt.asUintN(64, exports.xxh64(only.byteOffset, only.length, seed))
    }
    exports.xxh64Begin(seed)
    for (const part of parts) update(part)
    return BigInt.asUintN(64, exports.xxh64Digest())
  }
}
