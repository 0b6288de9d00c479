// Step 7. Runs on: any.
// What a join has to know of a record: its stream, its text, its place in a line that Docker cut. Read straight from the
// entry's bytes; only frames with parts, or with an open group before them, come here.

import { arrayBodyByte, mapHeader, skipValue, textHeaderBytes } from './msgpack-walk.ts'

/** Fields of one entry. Texts are places in the entry's buffer; -1 where the field is missing. */
export interface PartialFields {
  entryStartByte: number
  entryEndByte: number
  mapStartByte: number
  mapEndByte: number
  containerStartByte: number
  containerEndByte: number
  sourceStartByte: number
  sourceEndByte: number
  textStartByte: number
  textEndByte: number
  isPartial: boolean
  isLast: boolean
  /** Latin-1; null: an engine that does not number parts. */
  partialId: string | null
  /** From 1; 0: none. */
  ordinal: number
}

export function emptyFields(): PartialFields {
  return {
    entryStartByte: 0,
    entryEndByte: 0,
    mapStartByte: 0,
    mapEndByte: 0,
    containerStartByte: -1,
    containerEndByte: -1,
    sourceStartByte: -1,
    sourceEndByte: -1,
    textStartByte: -1,
    textEndByte: -1,
    isPartial: false,
    isLast: false,
    partialId: null,
    ordinal: 0
  }
}

/** Key of the text that Docker sends. */
export const TEXT_KEY = 'log'
const KEYS_BY_BYTE_COUNT = new Map<number, readonly string[]>([
  [3, [TEXT_KEY]],
  [6, ['source']],
  [10, ['partial_id']],
  [12, ['container_id', 'partial_last']],
  [15, ['partial_message', 'partial_ordinal']]
])

/**
 * Reads the entry at `startByte` into `fields`; the byte after it, or -1 for bytes that are no entry. Form 1 is
 * `[time, record]`, form 2 `[tag, time, record, option?]`.
 */
export function readPartialFields(
  bytes: Buffer,
  startByte: number,
  endByte: number,
  form: 1 | 2,
  fields: PartialFields
): number {
  reset(fields)
  fields.entryStartByte = startByte
  fields.entryEndByte = skipValue(bytes, startByte, endByte)
  if (fields.entryEndByte < 0) return -1
  let at = arrayBodyByte(bytes, startByte)
  for (let skipped = 0; skipped < form && at >= 0; skipped++) {
    at = skipValue(bytes, at, fields.entryEndByte)
  }
  if (at < 0) return fields.entryEndByte
  fields.mapStartByte = at
  const { pairCount, byteCount } = mapHeader(bytes, at)
  at += byteCount
  for (let pair = 0; pair < pairCount; pair++) {
    const valueStartByte = skipValue(bytes, at, fields.entryEndByte)
    const valueEndByte = skipValue(bytes, valueStartByte, fields.entryEndByte)
    const key = knownKey(bytes, at, valueStartByte)
    if (key !== '') take(bytes, key, valueStartByte, valueEndByte, fields)
    at = valueEndByte
  }
  fields.mapEndByte = at
  return fields.entryEndByte
}

/** The key at `at` if a join reads it, else ''. */
export function knownKey(bytes: Buffer, at: number, endByte: number): string {
  const header = textHeaderBytes(bytes, at)
  const names = header === 0 ? undefined : KEYS_BY_BYTE_COUNT.get(endByte - at - header)
  if (names === undefined) return ''
  for (const name of names) {
    let index = 0
    while (index < name.length && bytes[at + header + index] === name.charCodeAt(index)) index++
    if (index === name.length) return name
  }
  return ''
}

function take(
  bytes: Buffer,
  key: string,
  startByte: number,
  endByte: number,
  fields: PartialFields
): void {
  const header = textHeaderBytes(bytes, startByte)
  const textStartByte = header === 0 ? -1 : startByte + header
  switch (key) {
    case 'container_id':
      fields.containerStartByte = textStartByte
      fields.containerEndByte = endByte
      return
    case 'source':
      fields.sourceStartByte = textStartByte
      fields.sourceEndByte = endByte
      return
    case TEXT_KEY:
      fields.textStartByte = textStartByte
      fields.textEndByte = endByte
      return
    case 'partial_message':
      fields.isPartial = isTrue(bytes, startByte, header, endByte)
      return
    case 'partial_last':
      fields.isLast = isTrue(bytes, startByte, header, endByte)
      return
    case 'partial_id':
      fields.partialId = header === 0 ? null : bytes.toString('latin1', textStartByte, endByte)
      return
    default:
      fields.ordinal = ordinalOf(bytes, startByte, header, endByte)
  }
}

/** Docker sends texts; other senders may send booleans. */
function isTrue(bytes: Buffer, startByte: number, header: number, endByte: number): boolean {
  if (header === 0) return bytes[startByte] === 0xc3
  return bytes.toString('latin1', startByte + header, endByte) === 'true'
}

function ordinalOf(bytes: Buffer, startByte: number, header: number, endByte: number): number {
  const type = bytes[startByte] ?? 0
  if (header > 0) {
    const text = bytes.toString('latin1', startByte + header, endByte)
    return /^[1-9]\d{0,8}$/.test(text) ? Number(text) : 0
  }
  if (type < 0x80) return type
  if (type === 0xcc) return bytes[startByte + 1] ?? 0
  if (type === 0xcd) return bytes.readUInt16BE(startByte + 1)
  return type === 0xce ? bytes.readUInt32BE(startByte + 1) : 0
}

function reset(fields: PartialFields): void {
  fields.mapStartByte = -1
  fields.mapEndByte = -1
  fields.containerStartByte = -1
  fields.sourceStartByte = -1
  fields.textStartByte = -1
  fields.isPartial = false
  fields.isLast = false
  fields.partialId = null
  fields.ordinal = 0
}
