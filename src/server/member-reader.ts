// Step 10. Runs on: main.
// Stored entries by offset, as they came in: what dead letters and parked records are made of.

import type { LetterMember } from '../delivery/dead-letter-record.ts'
import type { ShardLog } from '../delivery/shard-log.ts'
import { readFrame } from '../storage/shard-reader.ts'
import { splitEntries } from '../storage/stored-entries.ts'

export interface ReadMembers {
  readonly tag: string
  readonly source: Uint8Array
  readonly epoch: number
  readonly members: readonly LetterMember[]
}

/** Reads entries by offset; a frame is read once while offsets stay within it. */
export function memberReader(shardLog: ShardLog): (offsets: readonly number[]) => ReadMembers {
  let frame: ReturnType<typeof readFrame> = null
  const splits = new Map<number, ReturnType<typeof splitEntries>>()
  const find = (offset: number) => {
    const isInside =
      frame !== null &&
      offset >= frame.header.firstOffset &&
      offset < frame.header.firstOffset + frame.header.recordCount
    if (!isInside) {
      frame = readFrame(shardLog.segments, offset)
      splits.clear()
    }
    const group = frame?.groups.find(
      ({ firstOffset, recordCount }) => offset >= firstOffset && offset < firstOffset + recordCount
    )
    if (frame === null || group === undefined) return null
    const entries = splits.get(group.firstOffset) ?? splitEntries(group)
    splits.set(group.firstOffset, entries)
    const entry = entries?.[offset - group.firstOffset]
    return entry === undefined ? null : { frame, group, entry }
  }
  return (offsets) => {
    let tag = ''
    let source: Uint8Array = new Uint8Array()
    let epoch = 0
    const members: LetterMember[] = []
    for (const offset of offsets) {
      const found = find(offset)
      if (found === null) continue
      const { entry, frame: holder, group } = found
      tag = group.tag.toString()
      source = Uint8Array.from(group.source)
      epoch = holder.epoch
      members.push({
        offset,
        form: group.form === 2 ? 2 : 1,
        appendTimeMs: holder.header.appendTimeMs,
        bytes: Uint8Array.from(group.entries.subarray(entry.startByte, entry.endByte))
      })
    }
    return { tag, source, epoch, members }
  }
}
