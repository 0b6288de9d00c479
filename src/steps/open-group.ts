// Step 7. Runs on: any.
// Parts of one line on their way to one record, and how an open group crosses from task to task as bytes.

import { invariant } from '../core/invariant.ts'

/** One stored entry that belongs to a group. */
export interface Member {
  readonly epoch: number
  readonly offset: number
}

export interface Part {
  /** From 1; parts without number are numbered as they come. */
  readonly ordinal: number
  readonly text: Buffer
}

export interface OpenGroup {
  /** Tag, container id and source in latin-1, joined by NUL. */
  readonly streamKey: string
  /** Null: parts without ids, of old engines. */
  readonly partialId: string | null
  /** The first member as stored, with its tag and source; the joined record is made from it. */
  readonly firstEntry: Buffer
  readonly form: 1 | 2
  readonly tag: Buffer
  readonly source: Buffer
  readonly firstArrivalMs: number
  lastArrivalMs: number
  textBytes: number
  /** Number of the part that ends the line; 0: not seen. */
  lastOrdinal: number
  readonly parts: Part[]
  /** In the order of the queue; parts that came twice are members too. */
  readonly members: Member[]
}

/** Whether the parts from the lowest number on have no gap. */
export function isConsecutive(group: OpenGroup): boolean {
  let lowest = Number.POSITIVE_INFINITY
  let highest = 0
  for (const part of group.parts) {
    lowest = Math.min(lowest, part.ordinal)
    highest = Math.max(highest, part.ordinal)
  }
  return highest - lowest + 1 === group.parts.length
}

/** Whether all of the line is there, from its first part to its last. */
export function isWhole(group: OpenGroup): boolean {
  return (
    group.lastOrdinal > 0 &&
    isConsecutive(group) &&
    group.parts.some((part) => part.ordinal === 1) &&
    group.parts.every((part) => part.ordinal <= group.lastOrdinal)
  )
}

/** Texts in the order of their numbers. */
export function joinedText(group: OpenGroup): Buffer {
  const parts = [...group.parts].sort((a, b) => a.ordinal - b.ordinal)
  return Buffer.concat(parts.map((part) => part.text))
}

const GROUP_HEADER_BYTES = 52
const PART_HEADER_BYTES = 8
const MEMBER_BYTES = 12

/** Bytes that the group takes in a carry. */
export function carriedBytes(group: OpenGroup): number {
  return (
    GROUP_HEADER_BYTES +
    Buffer.byteLength(group.streamKey, 'latin1') +
    (group.partialId?.length ?? 0) +
    group.firstEntry.length +
    group.tag.length +
    group.source.length +
    group.textBytes +
    group.parts.length * PART_HEADER_BYTES +
    group.members.length * MEMBER_BYTES
  )
}

/** Open groups as bytes, in the order given; null: none. */
export function encodeCarry(groups: Iterable<OpenGroup>): Uint8Array | null {
  const list = [...groups]
  if (list.length === 0) return null
  const bytes = Buffer.alloc(4 + list.reduce((sum, group) => sum + carriedBytes(group), 0))
  bytes.writeUInt32LE(list.length, 0)
  let at = 4
  for (const group of list) at = encodeGroup(bytes, at, group)
  invariant(at === bytes.length, `carry has ${at} bytes of ${bytes.length}`)
  return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length)
}

function encodeGroup(bytes: Buffer, startByte: number, group: OpenGroup): number {
  const partialId = group.partialId ?? ''
  bytes.writeDoubleLE(group.firstArrivalMs, startByte)
  bytes.writeDoubleLE(group.lastArrivalMs, startByte + 8)
  bytes.writeUInt32LE(group.form | (group.partialId === null ? 4 : 0), startByte + 16)
  bytes.writeUInt32LE(group.lastOrdinal, startByte + 20)
  bytes.writeUInt32LE(group.streamKey.length, startByte + 24)
  bytes.writeUInt32LE(partialId.length, startByte + 28)
  bytes.writeUInt32LE(group.tag.length, startByte + 32)
  bytes.writeUInt32LE(group.source.length, startByte + 36)
  bytes.writeUInt32LE(group.firstEntry.length, startByte + 40)
  bytes.writeUInt32LE(group.parts.length, startByte + 44)
  bytes.writeUInt32LE(group.members.length, startByte + 48)
  let at = startByte + GROUP_HEADER_BYTES
  at += bytes.write(group.streamKey, at, 'latin1')
  at += bytes.write(partialId, at, 'latin1')
  at += group.tag.copy(bytes, at)
  at += group.source.copy(bytes, at)
  at += group.firstEntry.copy(bytes, at)
  for (const part of group.parts) {
    bytes.writeUInt32LE(part.ordinal, at)
    bytes.writeUInt32LE(part.text.length, at + 4)
    at += PART_HEADER_BYTES + part.text.copy(bytes, at + PART_HEADER_BYTES)
  }
  for (const member of group.members) {
    bytes.writeUInt32LE(member.epoch, at)
    bytes.writeDoubleLE(member.offset, at + 4)
    at += MEMBER_BYTES
  }
  return at
}

/** Reads what `encodeCarry` wrote. Texts are views on the carry, which nobody changes. */
export function decodeCarry(carry: Uint8Array | null): OpenGroup[] {
  if (carry === null) return []
  const reader = new CarryReader(Buffer.from(carry.buffer, carry.byteOffset, carry.byteLength))
  const groups: OpenGroup[] = []
  for (let remaining = reader.u32(); remaining > 0; remaining--) groups.push(decodeGroup(reader))
  return groups
}

function decodeGroup(reader: CarryReader): OpenGroup {
  const firstArrivalMs = reader.f64()
  const lastArrivalMs = reader.f64()
  const kind = reader.u32()
  const lastOrdinal = reader.u32()
  const keyBytes = reader.u32()
  const idBytes = reader.u32()
  const tagBytes = reader.u32()
  const sourceBytes = reader.u32()
  const entryBytes = reader.u32()
  const partCount = reader.u32()
  const memberCount = reader.u32()
  const streamKey = reader.bytes(keyBytes).toString('latin1')
  const partialId = reader.bytes(idBytes).toString('latin1')
  const tag = reader.bytes(tagBytes)
  const source = reader.bytes(sourceBytes)
  const firstEntry = reader.bytes(entryBytes)
  const parts: Part[] = []
  for (let index = 0; index < partCount; index++) {
    const ordinal = reader.u32()
    parts.push({ ordinal, text: reader.bytes(reader.u32()) })
  }
  const members: Member[] = []
  for (let index = 0; index < memberCount; index++) {
    const epoch = reader.u32()
    members.push({ epoch, offset: reader.f64() })
  }
  return {
    streamKey,
    partialId: (kind & 4) === 0 ? partialId : null,
    firstEntry,
    form: (kind & 3) === 1 ? 1 : 2,
    tag,
    source,
    firstArrivalMs,
    lastArrivalMs,
    textBytes: parts.reduce((sum, part) => sum + part.text.length, 0),
    lastOrdinal,
    parts,
    members
  }
}

class CarryReader {
  readonly #bytes: Buffer
  #atByte = 0

  constructor(bytes: Buffer) {
    this.#bytes = bytes
  }

  u32(): number {
    this.#atByte += 4
    return this.#bytes.readUInt32LE(this.#atByte - 4)
  }

  f64(): number {
    this.#atByte += 8
    return this.#bytes.readDoubleLE(this.#atByte - 8)
  }

  bytes(byteCount: number): Buffer {
    this.#atByte += byteCount
    invariant(this.#atByte <= this.#bytes.length, 'a carry ends before its last group')
    return this.#bytes.subarray(this.#atByte - byteCount, this.#atByte)
  }
}
