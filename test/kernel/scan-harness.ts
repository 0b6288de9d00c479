// Runs on: any.
// Drives the scanner as a connection does and writes down its units in the oracle's words.

import { ScanKernel, ScanProgress, type ScanStatus } from '../../src/kernel/scan-kernel.ts'
import { INVALID_REASONS, type ScanUnit } from '../../src/kernel/scan-unit.ts'
import type { Summary } from './forward-oracle.ts'

export function newKernel(options: { messageBytesMax?: number } = {}): ScanKernel {
  return new ScanKernel({ memoryBytes: 96 * 2 ** 20, borrowBytesMax: 64 * 2 ** 20, ...options })
}

/** `shift`: where the scanned bytes begin in the stream that the summary speaks of. */
export function summarize(unit: ScanUnit, bytes: Buffer, shift: number): Summary {
  const invalid: Record<string, number> = {}
  for (const reason of INVALID_REASONS) {
    const count = unit.invalidCount(reason)
    if (count > 0) invalid[reason] = count
  }
  const spans = Array.from({ length: unit.spanCount }, (_, span) => {
    const markerStart = unit.spanMarkerStartByte(span)
    const markerEnd = unit.spanMarkerEndByte(span)
    const tagStart = unit.spanTagStartByte(span)
    return [
      unit.spanStartByte(span) + shift,
      unit.spanEndByte(span) + shift,
      unit.spanRecordCount(span),
      markerEnd > 0 ? markerStart + shift : 0,
      markerEnd > 0 ? markerEnd + shift : 0,
      tagStart > 0 ? tagStart + shift : 0,
      tagStart > 0 ? tagStart + unit.spanTagByteCount(span) + shift : 0
    ]
  })
  const acks = Array.from({ length: unit.ackCount }, (_, ack) => {
    const start = unit.ackStartByte(ack)
    return bytes.toString('hex', start, start + unit.ackByteCount(ack))
  })
  return {
    kind: unit.kind,
    tag: bytes.toString('hex', unit.tagStartByte, unit.tagStartByte + unit.tagByteCount),
    start: unit.startByte + shift,
    end: unit.endByte + shift,
    spans,
    acks,
    messages: unit.messageCount,
    records: unit.recordCount,
    invalid,
    arrival: unit.arrivalTimeCount,
    badTime: unit.badTimeCount,
    markers: unit.markerCount,
    nested: unit.nestedBatchCount,
    min: unit.minSeconds,
    max: unit.maxSeconds,
    giveUp: unit.giveUpReason
  }
}

export interface StreamResult {
  units: Summary[]
  consumed: number
  status: ScanStatus
  error: string | null
  /** What the last scan asked for. */
  needed: number
  progress: ScanProgress
}

/** Gives the stream in pieces that end at `cuts`; scans only when the asked bytes are there. */
export function scanPieces(
  kernel: ScanKernel,
  stream: Buffer,
  cuts: readonly number[]
): StreamResult {
  const progress = new ScanProgress()
  const result: StreamResult = {
    units: [],
    consumed: 0,
    status: 'done',
    error: null,
    needed: 0,
    progress
  }
  const block = kernel.borrow(stream.length + 64)
  if (!block) throw new Error('no block')
  for (const end of [...cuts, stream.length]) {
    if (result.status !== 'done') break
    if (end - result.consumed < result.needed && end !== stream.length) continue
    scanUpTo(kernel, stream.subarray(result.consumed, end), block, result)
  }
  kernel.giveBack(block)
  return result
}

function scanUpTo(kernel: ScanKernel, bytes: Buffer, block: Buffer, result: StreamResult): void {
  block.set(bytes)
  // What lies behind the bytes must never be believed: it looks like the start of more.
  block.fill(0x92, bytes.length, bytes.length + 64)
  let view = block.subarray(0, bytes.length)
  do {
    result.status = kernel.scan(view, result.progress)
    for (let index = 0; index < kernel.unitCount; index += 1) {
      result.units.push(summarize(kernel.unit(index), view, result.consumed))
    }
    result.consumed += kernel.consumedBytes
    view = view.subarray(kernel.consumedBytes)
  } while (result.status === 'full')
  result.needed = kernel.neededBytes
  result.error = kernel.errorReason
  if (!block.subarray(0, bytes.length).equals(bytes)) throw new Error('the scan changed its input')
}
