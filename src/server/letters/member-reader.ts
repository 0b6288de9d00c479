// Step 10. Runs on: main.
// Stored entries by offset, as they came in: what dead letters and parked records are made of. Offsets mostly ascend, so a
// reader goes on from where it was, and a frame is read once while offsets stay within it.

import type { LetterMember } from '../../delivery/dead-letter-record.ts'
import type { ShardLog } from '../../delivery/shard-log.ts'
import { splitEntries } from '../../storage/format/stored-entries.ts'
import {
  FrameMemory,
  readFrameAt,
  ShardReader,
  type StoredFrame
} from '../../storage/reader/shard-reader.ts'

/** What a letter holds of the stored entries. Tag and source are those of the last entry that could be read. */
export interface ReadMembers {
  readonly tag: string
  readonly source: Uint8Array
  readonly epoch: number
  readonly members: readonly LetterMember[]
}

export class MemberReader {
  readonly #shardLog: ShardLog
  #reader: ShardReader | null = null
  #memory = new FrameMemory()
  #frame: StoredFrame | null = null
  readonly #splits = new Map<number, ReturnType<typeof splitEntries>>()

  constructor(shardLog: ShardLog) {
    this.#shardLog = shardLog
  }

  /** Entries that cannot be read are left out. */
  read(offsets: readonly number[]): ReadMembers {
    let tag = ''
    let source: Uint8Array = new Uint8Array()
    let epoch = 0
    const members: LetterMember[] = []
    for (const offset of offsets) {
      const found = this.#find(offset)
      if (found === null) continue
      const { entry, frame, group } = found
      tag = group.tag.toString()
      source = Uint8Array.from(group.source)
      epoch = frame.epoch
      members.push({
        offset,
        form: group.form === 2 ? 2 : 1,
        appendTimeMs: frame.header.appendTimeMs,
        bytes: Uint8Array.from(group.entries.subarray(entry.startByte, entry.endByte))
      })
    }
    return { tag, source, epoch, members }
  }

  /** Forgets the frame; its bytes are many. */
  rest(): void {
    this.#forget()
    this.#memory = new FrameMemory()
  }

  #forget(): void {
    this.#frame = null
    this.#splits.clear()
  }

  #find(offset: number) {
    if (this.#frame === null || !holds(this.#frame.header, offset)) {
      this.#forget()
      this.#frame = this.#frameOf(offset)
    }
    const frame = this.#frame
    const group = frame?.groups.find((each) => holds(each, offset))
    if (frame === null || group === undefined) return null
    const entries = this.#splits.get(group.firstOffset) ?? splitEntries(group)
    this.#splits.set(group.firstOffset, entries)
    const entry = entries?.[offset - group.firstOffset]
    return entry === undefined ? null : { frame, group, entry }
  }

  /** Null: damaged, or deleted. */
  #frameOf(offset: number): StoredFrame | null {
    const { segments } = this.#shardLog
    this.#reader ??= new ShardReader(segments, offset)
    const reader = this.#reader
    // A seek walks from the start of a segment, so it pays for another one only.
    const isNear =
      reader.nextOffset <= offset &&
      segments.ordinalOf(reader.nextOffset) === segments.ordinalOf(offset)
    if (!isNear) reader.seek(offset)
    for (let next = reader.next(); next !== null; next = reader.next()) {
      if (next.kind === 'frame' && holds(next.frame, offset)) {
        return readFrameAt(segments, next.frame, this.#memory)
      }
      if (reader.nextOffset > offset) return null
    }
    return null
  }
}

/** A reader for one occasion. */
export function memberReader(shardLog: ShardLog): (offsets: readonly number[]) => ReadMembers {
  const reader = new MemberReader(shardLog)
  return (offsets) => reader.read(offsets)
}

const holds = (
  { firstOffset, recordCount }: { readonly firstOffset: number; readonly recordCount: number },
  offset: number
): boolean => offset >= firstOffset && offset < firstOffset + recordCount
