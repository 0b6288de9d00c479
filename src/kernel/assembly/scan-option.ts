// The option map of a message. Whatever it is, it never costs the message; the last of equal keys wins.

import { be16, be32, be64, CUT, headerCount, mapStart, textStart, WRONG } from './msgpack'
import { checkValue, checkValues } from './record-check'

export const COMPRESSION_NONE: u32 = 0
export const COMPRESSION_GZIP: u32 = 1
export const COMPRESSION_ZSTD: u32 = 2
export const COMPRESSION_UNKNOWN: u32 = 3

/** The `chunk` value with its type byte; 0 bytes: none asked. */
export let ackStart: usize = 0
export let ackBytes: u32 = 0
export let compression: u32 = 0
/** 1 to 4: not logs. */
export let signal: u32 = 0

let ackBytesMax: u32 = 0

export function setAckBytesMax(bytes: u32): void {
  ackBytesMax = bytes
}

export function clearOption(): void {
  ackStart = 0
  ackBytes = 0
  compression = COMPRESSION_NONE
  signal = 0
}

/** 1 when a chunk id was longer than an ack may repeat. */
export function isAckTooLong(): bool {
  return ackBytes > ackBytesMax
}

/** The byte behind the option at p. CUT, or WRONG for the nesting limit. */
export function readOption(p: usize, end: usize): usize {
  clearOption()
  const start = p
  p = mapStart(p, end)
  if (p == CUT) return CUT
  if (p == WRONG) return checkValue(start, end)
  let left = headerCount
  while (left) {
    left--
    const key = textStart(p, end)
    if (key == CUT) return CUT
    if (key == WRONG) {
      p = checkValues(p, end, 2, 2)
      if (p <= WRONG) return p
      continue
    }
    const keyBytes = headerCount
    if (keyBytes > <u32>(end - key)) return CUT
    const value = key + keyBytes
    p = checkValues(value, end, 1, 2)
    if (p <= WRONG) return p
    noteKey(key, keyBytes, value, p, end)
  }
  return p
}

function noteKey(key: usize, keyBytes: u32, value: usize, behind: usize, end: usize): void {
  if (keyBytes == 5) {
    // chunk
    if (load<u32>(key) != 0x6e756863 || load<u8>(key, 4) != 0x6b) return
    const isNil = load<u8>(value) == 0xc0
    ackStart = isNil ? 0 : value
    ackBytes = isNil ? 0 : <u32>(behind - value)
  } else if (keyBytes == 10) {
    // compressed
    if (load<u64>(key) != 0x73736572706d6f63 || load<u16>(key, 8) != 0x6465) return
    compression = compressionOf(value, end)
  } else if (keyBytes == 13) {
    // fluent_signal
    if (load<u64>(key) != 0x735f746e65756c66 || load<u64>(key, 5) != 0x6c616e6769735f74) return
    const number = smallNumber(value)
    signal = number >= 1 && number <= 4 ? <u32>number : 0
  }
}

function compressionOf(value: usize, end: usize): u32 {
  if (load<u8>(value) == 0xc0) return COMPRESSION_NONE
  const text = textStart(value, end)
  if (text == WRONG || headerCount != 4) return COMPRESSION_UNKNOWN
  const word = load<u32>(text)
  if (word == 0x74786574) return COMPRESSION_NONE
  if (word == 0x70697a67) return COMPRESSION_GZIP
  return word == 0x6474737a ? COMPRESSION_ZSTD : COMPRESSION_UNKNOWN
}

/** An integer of any width; 0 for everything else. */
function smallNumber(value: usize): u64 {
  const c: u32 = load<u8>(value)
  if (c < 0x80) return c
  if (c == 0xcc || c == 0xd0) return load<u8>(value, 1)
  if (c == 0xcd || c == 0xd1) return be16(value + 1)
  if (c == 0xce || c == 0xd2) return be32(value + 1)
  return c == 0xcf || c == 0xd3 ? be64(value + 1) : 0
}
