// Runs on: any.
// Copies of damaged byte ranges, so that a person can look at what the queue had to pass over. Best effort: recovery and
// delivery go on when the volume is full.

import path from 'node:path'
import { errorText } from '../core/errors.ts'
import { readTolerant } from './damage-read.ts'
import type { Storage } from './storage.ts'

/** Bytes kept of one range. */
export const QUARANTINE_BYTES_MAX = 16 * 1024 * 1024
const COPY_BYTES = 1024 * 1024

export interface DamagedRange {
  readonly segmentPath: string
  readonly startByte: number
  readonly endByte: number
  readonly firstOffset: number
  readonly endOffset: number
  readonly reason: string
}

/** `<log>/quarantine`, beside the shard directories. */
export function quarantineDirectory(shardDirectory: string): string {
  return path.join(path.dirname(shardDirectory), 'quarantine')
}

/** Name of what stems from a segment: shard, segment and byte, so that a repeated recovery finds its own copy. */
function quarantinePath(segmentPath: string, suffix: string): string {
  const shardDirectory = path.dirname(segmentPath)
  const name = `${path.basename(shardDirectory)}-${path.basename(segmentPath)}${suffix}`
  return path.join(quarantineDirectory(shardDirectory), name)
}

/** Copies the range with a description beside it. Returns a note for the operator. */
export function quarantineRange(storage: Storage, source: number, range: DamagedRange): string {
  const place = `${range.segmentPath} bytes ${range.startByte} to ${range.endByte}`
  const target = quarantinePath(range.segmentPath, `-${range.startByte}.bin`)
  try {
    if (storage.stat(target) !== null) return `${place}: damaged, copied before to ${target}`
    storage.mkdir(path.dirname(target))
    const keptBytes = Math.min(range.endByte - range.startByte, QUARANTINE_BYTES_MAX)
    copyRange(storage, source, range.startByte, keptBytes, target)
    const sidecar = Buffer.from(`${JSON.stringify({ ...range, keptBytes }, null, 2)}\n`)
    writeFile(storage, `${target}.json`, sidecar)
    return `${place}: damaged (${range.reason}), copied to ${target}`
  } catch (error) {
    return `${place}: damaged (${range.reason}), not copied: ${errorText(error)}`
  }
}

/** Takes a whole file out of the shard; costs no space. */
export function quarantineFile(storage: Storage, segmentPath: string, reason: string): string {
  const target = quarantinePath(segmentPath, '')
  try {
    storage.mkdir(path.dirname(target))
    storage.rename(segmentPath, target)
    return `${segmentPath}: ${reason}, moved to ${target}`
  } catch (error) {
    return `${segmentPath}: ${reason}, not moved: ${errorText(error)}`
  }
}

function copyRange(
  storage: Storage,
  source: number,
  startByte: number,
  byteCount: number,
  target: string
): void {
  const file = storage.open(target, 'create')
  try {
    const piece = Buffer.alloc(Math.min(COPY_BYTES, byteCount))
    for (let done = 0; done < byteCount; ) {
      const into = piece.subarray(0, Math.min(piece.length, byteCount - done))
      const readBytes = readTolerant(storage, source, into, startByte + done)
      if (readBytes === 0) return
      const written = storage.writev(file, [into.subarray(0, readBytes)], done)
      if (written !== readBytes) throw new Error('no space left on the volume')
      done += readBytes
    }
  } finally {
    storage.close(file)
  }
}

function writeFile(storage: Storage, target: string, bytes: Buffer): void {
  const file = storage.open(target, 'create')
  try {
    storage.writev(file, [bytes], 0)
  } finally {
    storage.close(file)
  }
}
