// Step 7. Runs on: pool.
// Frames of a task on their way into kernel memory: those that lie back to back come in one read, and every header and
// payload is checked before the kernel sees it.

import { MillraceError } from '../core/errors.ts'
import type { FramePlace } from '../kernel/render-face.ts'
import {
  decodeFrameHeader,
  type FrameHash,
  type FrameHeader,
  isPayloadIntact
} from '../storage/format/frame.ts'
import { alignUp, FRAME_HEADER } from '../storage/format/layout.ts'
import type { PayloadDecoder } from '../storage/format/payload-decoder.ts'
import type { FrameRef, SegmentRef, TaskRequest } from '../threads/messages.ts'
import type { SegmentReader } from './segment-files.ts'

/** One read asks for this much at most, if it is more than one frame: what was read is still in the cache when it is used. */
const READ_BYTES_MAX = 1024 * 1024

export interface FrameSource {
  /** Where frames are read to, in kernel memory. */
  readonly input: Buffer
  readonly files: SegmentReader
  readonly hash: FrameHash
  readonly decoder: PayloadDecoder
  /** CPU time of the thread, milliseconds. */
  clockMs(): number
}

export class FrameWindow {
  /** CPU time of reading and checking so far, milliseconds. */
  readMs = 0
  readonly #source: FrameSource
  readonly #segments: readonly SegmentRef[]
  readonly #frames: readonly FrameRef[]
  readonly #logId: Uint8Array
  #firstFrame = 0
  #endFrame = 0
  #readBytes = 0

  constructor(source: FrameSource, task: Pick<TaskRequest, 'segments' | 'frames' | 'logId'>) {
    this.#source = source
    this.#segments = task.segments
    this.#frames = task.frames
    this.#logId = task.logId
  }

  segmentOf(frame: FrameRef): SegmentRef {
    const segment = this.#segments[frame.segment]
    if (segment !== undefined) return segment
    throw new MillraceError(
      'MR_TASK',
      `task names segment ${frame.segment} of ${this.#segments.length}`
    )
  }

  /** The checked payload of frame number `index` in kernel memory, valid until another one is asked for; null: damaged. */
  place(index: number): FramePlace | null {
    const startMs = this.#source.clockMs()
    const place = this.#place(index)
    this.readMs += this.#source.clockMs() - startMs
    return place
  }

  #place(index: number): FramePlace | null {
    const frame = this.#frames[index]
    if (frame === undefined) return null
    if (index < this.#firstFrame || index >= this.#endFrame) this.#fill(index)
    const first = this.#frames[this.#firstFrame] ?? frame
    const startByte = frame.startByte - first.startByte
    if (startByte + frame.byteCount > this.#readBytes) return null
    return this.#check(frame, startByte)
  }

  /** Reads the frame and those that lie behind it in the same file. */
  #fill(index: number): void {
    const { input, files } = this.#source
    const first = this.#frames[index]
    if (first === undefined) return
    if (first.byteCount > input.length) {
      throw new MillraceError(
        'MR_TASK',
        `frame of ${first.byteCount} bytes exceeds the input area of ${input.length}`
      )
    }
    let endFrame = index + 1
    let endByte = first.startByte + first.byteCount
    for (; endFrame < this.#frames.length; endFrame++) {
      const next = this.#frames[endFrame]
      if (next?.segment !== first.segment || next.startByte !== endByte) break
      const byteCount = endByte + next.byteCount - first.startByte
      if (byteCount > READ_BYTES_MAX || byteCount > input.length) break
      endByte += next.byteCount
    }
    const into = input.subarray(0, endByte - first.startByte)
    this.#readBytes = files.read(this.segmentOf(first).path, into, first.startByte)
    this.#firstFrame = index
    this.#endFrame = endFrame
  }

  #check(frame: FrameRef, startByte: number): FramePlace | null {
    const { input, hash } = this.#source
    const { salt, epoch } = this.segmentOf(frame)
    const header = decodeFrameHeader(input, startByte, hash, salt, epoch)
    if (header === null) return null
    if (header.firstOffset !== frame.firstOffset || header.recordCount !== frame.recordCount)
      return null
    const payloadStartByte = startByte + FRAME_HEADER.byteCount
    const payloadEndByte = payloadStartByte + header.storedBytes
    if (payloadEndByte > startByte + frame.byteCount) return null
    const stored = input.subarray(payloadStartByte, payloadEndByte)
    if (!isPayloadIntact(stored, header, hash, salt)) return null
    const payloadAtByte = this.#decode(frame, stored, header)
    if (payloadAtByte === null) return null
    return {
      startByte: payloadAtByte,
      endByte: payloadAtByte + header.rawBytes,
      firstOffset: header.firstOffset,
      appendTimeMs: header.appendTimeMs
    }
  }

  /** Where the payload lies in the input area: a plain one where it was read. Null: it is none. */
  #decode(frame: FrameRef, stored: Buffer, header: Readonly<FrameHeader>): number | null {
    const { decoder, input } = this.#source
    const { path, epoch, firstOffset } = this.segmentOf(frame)
    const payload = decoder.decode(stored, header, { logId: this.#logId, epoch, firstOffset })
    // The key was tried before the task: what it does not open now was changed by somebody.
    if (payload === 'damaged' || payload === 'mismatch') return null
    if (payload === 'locked') {
      // Main hands out no frame that it cannot read itself; as damage it would count as lost.
      throw new MillraceError('MR_TASK', `a frame of ${path} needs a key that is not configured`)
    }
    if (payload === stored) return stored.byteOffset - input.byteOffset
    let atByte = alignUp(this.#readBytes)
    if (atByte + payload.length > input.length) {
      // Over what was read: the next frame is read again.
      atByte = 0
      this.#endFrame = 0
    }
    input.set(payload, atByte)
    return atByte
  }
}
