// Segments in memory: what a shard writer leaves on disk, and the tasks that a lane would cut from it.

import type { SegmentReader } from '../../src/steps/segment-files.ts'
import {
  encodeFrameHeader,
  encodeGroupPrefix,
  groupPrefixBytes
} from '../../src/storage/format/frame.ts'
import { frameBytesOf } from '../../src/storage/format/layout.ts'
import type { FrameRef, SegmentRef, TaskRequest } from '../../src/threads/messages.ts'
import { xxh64 } from './xxh64.ts'

export interface GroupOf {
  readonly tag?: string
  readonly source?: string
  readonly form?: 1 | 2
  readonly entries: readonly Buffer[]
}

export const LOG_ID = Buffer.from('0011223344556677', 'hex')

export class FrameStore implements SegmentReader {
  readonly logId = LOG_ID
  readonly segments: SegmentRef[] = []
  readonly frames: FrameRef[] = []
  readonly files = new Map<string, Buffer>()
  nextOffset: number
  readCount = 0
  readonly #segmentBytesMax: number

  constructor(firstOffset = 0, segmentBytesMax = 1_000_000) {
    this.nextOffset = firstOffset
    this.#segmentBytesMax = segmentBytesMax
    this.roll()
  }

  roll(): void {
    const number = this.segments.length
    const path = `${number}.seg`
    this.segments.push({
      path,
      salt: 0x1234_5678_9abc_def0n + BigInt(number),
      epoch: 100 + number,
      firstOffset: this.nextOffset
    })
    this.files.set(path, Buffer.alloc(64))
  }

  /** One frame with these groups. */
  append(groups: readonly GroupOf[], appendTimeMs: number): FrameRef {
    let segment = this.segments.length - 1
    if ((this.files.get(`${segment}.seg`)?.length ?? 0) > this.#segmentBytesMax) {
      this.roll()
      segment++
    }
    const { salt, epoch, path } = this.segments[segment]!
    const payload = Buffer.concat(groups.map(groupBytes))
    const recordCount = groups.reduce((sum, group) => sum + group.entries.length, 0)
    const frame = Buffer.alloc(frameBytesOf(payload.length))
    payload.copy(frame, 72)
    encodeFrameHeader(
      frame,
      0,
      {
        storedBytes: payload.length,
        payloadHash: xxh64([payload], salt),
        firstOffset: this.nextOffset,
        recordCount,
        epoch,
        durableOffset: 0,
        appendTimeMs,
        rawBytes: payload.length,
        codec: 0,
        schema: 1,
        flags: 0,
        minTimeDelta: 0,
        maxTimeDelta: 0
      },
      xxh64,
      salt
    )
    const before = this.files.get(path)!
    this.files.set(path, Buffer.concat([before, frame]))
    const ref: FrameRef = {
      segment,
      startByte: before.length,
      byteCount: frame.length,
      firstOffset: this.nextOffset,
      recordCount,
      appendTimeMs
    }
    this.frames.push(ref)
    this.nextOffset += recordCount
    return ref
  }

  read(path: string, into: Buffer, atByte: number): number {
    this.readCount++
    return this.files.get(path)?.copy(into, 0, atByte) ?? 0
  }

  release(): void {}

  /** Breaks one byte of a frame. */
  damage(frame: FrameRef, byte: number): void {
    const file = this.files.get(`${frame.segment}.seg`)!
    file[frame.startByte + byte] = (file[frame.startByte + byte] ?? 0) ^ 0x40
  }

  task(part: Partial<TaskRequest> = {}): TaskRequest {
    return {
      kind: 'task',
      generation: 1,
      destination: 'route/output',
      logId: LOG_ID,
      segments: this.segments,
      frames: this.frames,
      fromOffset: this.frames[0]?.firstOffset ?? 0,
      finished: [],
      slot: { startByte: 0, byteCount: 1_000_000 },
      bodyBytesMax: 800_000,
      rowsMax: 10_000,
      carry: null,
      watermarkMs: 0,
      isAtEnd: false,
      ...part
    }
  }
}

function groupBytes(group: GroupOf): Buffer {
  const labels = {
    tag: Buffer.from(group.tag ?? 'docker.web'),
    ingestId: null,
    source: Buffer.from(group.source ?? 'in\0')
  }
  const entries = Buffer.concat(group.entries)
  const prefix = Buffer.alloc(groupPrefixBytes(labels))
  encodeGroupPrefix(prefix, 0, labels, {
    byteCount: entries.length,
    recordCount: group.entries.length,
    form: group.form ?? 1,
    flags: 0
  })
  return Buffer.concat([prefix, entries])
}
