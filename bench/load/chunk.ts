// Chunks are encoded once; before each send only times, sequence numbers and the chunk id are written over, so that the
// load costs about 0.1 CPU seconds per million events and does not distort what it measures.

import type { Random } from '../../src/core/clock.ts'
import { nginxLine, SEQ_DIGITS, SEQ_MARK } from './lines.ts'

export const CHUNK_ID_LENGTH = 24

export interface Chunk {
  readonly bytes: Buffer
  readonly eventCount: number
  /** Where the ten digits of each event stand. */
  readonly seqAt: Int32Array
  /** Where the 8 bytes of each EventTime stand. */
  readonly timeAt: Int32Array
  /** Where the chunk id stands; -1 without acks. */
  readonly idAt: number
}

class Writer {
  bytes = Buffer.alloc(4096)
  length = 0

  private room(byteCount: number): void {
    if (this.length + byteCount <= this.bytes.length) return
    const bigger = Buffer.alloc((this.length + byteCount) * 2)
    this.bytes.copy(bigger, 0, 0, this.length)
    this.bytes = bigger
  }

  raw(...values: number[]): void {
    this.room(values.length)
    for (const value of values) this.bytes[this.length++] = value
  }

  /** Returns the place of the first byte of the text. */
  text(value: string): number {
    const byteCount = Buffer.byteLength(value)
    if (byteCount < 32) this.raw(0xa0 | byteCount)
    else if (byteCount < 256) this.raw(0xd9, byteCount)
    else this.raw(0xda, byteCount >>> 8, byteCount & 255)
    this.room(byteCount)
    const start = this.length
    this.length += this.bytes.write(value, start)
    return start
  }
}

interface Places {
  readonly seq: number[]
  readonly time: number[]
}

function writeTimeAndRecord(out: Writer, random: Random, tagNumber: number, places: Places): void {
  out.raw(0xd7, 0)
  places.time.push(out.length)
  out.raw(0, 0, 0, 0, 0, 0, 0, 0)
  out.raw(0x84)
  out.text('container_id')
  out.text((tagNumber + 1).toString(16).padStart(8, '0').repeat(8))
  out.text('container_name')
  out.text(`/web-${String(tagNumber).padStart(4, '0')}`)
  out.text('source')
  out.text(random() < 0.9 ? 'stdout' : 'stderr')
  out.text('log')
  const line = nginxLine(random, new Date())
  places.seq.push(out.text(line) + line.indexOf(SEQ_MARK) + SEQ_MARK.length)
}

function writeOption(out: Writer, ack: boolean): number {
  if (!ack) {
    out.raw(0x80)
    return -1
  }
  out.raw(0x81)
  out.text('chunk')
  return out.text('0'.repeat(CHUNK_ID_LENGTH))
}

export function tagText(tagNumber: number): string {
  return `docker.web${String(tagNumber).padStart(4, '0')}`
}

/** PackedForward: `[tag, bin32 of entries, option]`. */
export function packedChunk(random: Random, tag: number, count: number, ack: boolean): Chunk {
  const out = new Writer()
  const places: Places = { seq: [], time: [] }
  out.raw(0x93)
  out.text(tagText(tag))
  out.raw(0xc6, 0, 0, 0, 0)
  const bodyStart = out.length
  for (let i = 0; i < count; i++) {
    out.raw(0x92)
    writeTimeAndRecord(out, random, tag, places)
  }
  out.bytes.writeUInt32BE(out.length - bodyStart, bodyStart - 4)
  return chunkOf(out, places, writeOption(out, ack))
}

/** Message mode: `[tag, time, record, option]` per event; with acks the last event of the write carries the chunk id. */
export function messageChunk(random: Random, tag: number, count: number, ack: boolean): Chunk {
  const out = new Writer()
  const places: Places = { seq: [], time: [] }
  let idAt = -1
  for (let i = 0; i < count; i++) {
    out.raw(0x94)
    out.text(tagText(tag))
    writeTimeAndRecord(out, random, tag, places)
    idAt = writeOption(out, ack && i === count - 1)
  }
  return chunkOf(out, places, idAt)
}

function chunkOf(out: Writer, places: Places, idAt: number): Chunk {
  return {
    bytes: Buffer.from(out.bytes.subarray(0, out.length)),
    eventCount: places.seq.length,
    seqAt: Int32Array.from(places.seq),
    timeAt: Int32Array.from(places.time),
    idAt
  }
}

/** Writes the sequence numbers `firstSeq`..., the time and the chunk id into the encoded chunk. */
export function stamp(chunk: Chunk, firstSeq: number, chunkId: string, nowMs: number): void {
  const { bytes, seqAt, timeAt } = chunk
  const seconds = Math.floor(nowMs / 1000)
  const nanosStart = (nowMs - seconds * 1000) * 1_000_000
  for (let i = 0; i < chunk.eventCount; i++) {
    const at = timeAt[i] ?? 0
    bytes.writeUInt32BE(seconds, at)
    bytes.writeUInt32BE(Math.min(999_999_999, Math.floor(nanosStart) + i), at + 4)
    let rest = firstSeq + i
    for (let place = (seqAt[i] ?? 0) + SEQ_DIGITS - 1, n = 0; n < SEQ_DIGITS; n++, place--) {
      const tenth = Math.floor(rest / 10)
      bytes[place] = 48 + rest - tenth * 10
      rest = tenth
    }
  }
  if (chunk.idAt >= 0) bytes.write(chunkId, chunk.idAt, 'latin1')
}
