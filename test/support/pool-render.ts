// Records through the real kernel, the task runner and a render half, to the batches that delivery would flush.

import { ExtData, encode } from '@msgpack/msgpack'
import type { Batch, RenderHalf } from '../../src/plugin/output.ts'
import type { TaskResult } from '../../src/threads/messages.ts'
import { FrameStore } from './frame-store.ts'
import { harness, SLOT_BYTES } from './task-harness.ts'

export interface PoolRecord {
  readonly tag?: string
  readonly seconds?: number
  readonly nanoseconds?: number
  readonly record: unknown
}

export const RECORD_SECONDS = 1_763_650_020

export interface PoolRun {
  readonly batches: readonly Batch[]
  readonly result: TaskResult
}

/** One task over all records, which lie in one frame and one group per change of tag. */
export function renderInPool(half: RenderHalf, records: readonly PoolRecord[]): PoolRun {
  const store = new FrameStore(0, 64 * 1024 * 1024)
  const groups: { tag: string; entries: Buffer[] }[] = []
  for (const { tag = 'docker.web', seconds = RECORD_SECONDS, nanoseconds = 0, record } of records) {
    if (groups.at(-1)?.tag !== tag) groups.push({ tag, entries: [] })
    const time = Buffer.alloc(8)
    time.writeUInt32BE(seconds, 0)
    time.writeUInt32BE(nanoseconds, 4)
    groups
      .at(-1)
      ?.entries.push(Buffer.from(encode([new ExtData(0, time), record], { useBigInt64: true })))
  }
  store.append(groups, RECORD_SECONDS * 1000)
  const { run, slot } = harness(store, { spec: half.spec, renderHalf: half })
  const result = run({
    slot: { startByte: 0, byteCount: SLOT_BYTES },
    bodyBytesMax: SLOT_BYTES / 2,
    rowsMax: 20_000
  })
  return { result, batches: result.bodies.map((body) => batchAt(slot, result, body)) }
}

function batchAt(slot: Buffer, result: TaskResult, body: TaskResult['bodies'][number]): Batch {
  const sent = body.compressed ?? body
  return {
    target: body.target,
    body: slot.subarray(sent.startByte, sent.startByte + sent.byteCount),
    isCompressed: body.compressed !== null,
    sha256: body.sha256,
    rowCount: body.rowCount,
    rawByteCount: body.byteCount,
    attempt: 1,
    rowBytes(row) {
      const at = result.rowIndexStartByte + (body.rowStart + row) * 12
      const startByte = slot.readUInt32LE(at + 4)
      return slot.subarray(startByte, startByte + slot.readUInt32LE(at + 8))
    }
  }
}
