// Step 7. Runs on: any.
// The entry that a joined record is rendered from: the first member's bytes with the whole text in place of its part.

import { joinedText, type OpenGroup } from './open-group.ts'
import { emptyFields, knownKey, readPartialFields, TEXT_KEY } from './partial-fields.ts'
import { mapHeader, skipValue } from './msgpack-walk.ts'

const INCOMPLETE_PAIR = Buffer.concat([
  Buffer.from([0xa0 | 'partial_incomplete'.length]),
  Buffer.from('partial_incomplete'),
  Buffer.from([0xc3])
])
/** Removed in any case, and removed from whole lines only: a reader can put pieces together by the latter. */
const PART_KEYS: readonly string[] = ['partial_message', 'partial_last']
const PLACE_KEYS: readonly string[] = ['partial_id', 'partial_ordinal']

/** Bytes of the joined entry, in the form of the first member. */
export function joinedEntry(group: OpenGroup, isIncomplete: boolean): Buffer {
  const bytes = group.firstEntry
  const fields = emptyFields()
  readPartialFields(bytes, 0, bytes.length, group.form, fields)
  const { pairCount, byteCount } = mapHeader(bytes, fields.mapStartByte)
  const pairs: Buffer[] = []
  let count = 0
  let at = fields.mapStartByte + byteCount
  for (let pair = 0; pair < pairCount; pair++) {
    const valueStartByte = skipValue(bytes, at, bytes.length)
    const endByte = skipValue(bytes, valueStartByte, bytes.length)
    const key = knownKey(bytes, at, valueStartByte)
    // With a key that stands twice the last one counts; the text replaces that one.
    const isText = key === TEXT_KEY && endByte === fields.textEndByte
    if (isText) {
      pairs.push(bytes.subarray(at, valueStartByte), ...textValue(joinedText(group)))
      count++
    } else if (!PART_KEYS.includes(key) && (isIncomplete || !PLACE_KEYS.includes(key))) {
      pairs.push(bytes.subarray(at, endByte))
      count++
    }
    at = endByte
  }
  if (isIncomplete) {
    pairs.push(INCOMPLETE_PAIR)
    count++
  }
  const head = bytes.subarray(0, fields.mapStartByte)
  return Buffer.concat([head, mapOf(count), ...pairs, bytes.subarray(fields.mapEndByte)])
}

function mapOf(pairCount: number): Buffer {
  if (pairCount < 16) return Buffer.from([0x80 | pairCount])
  const header = Buffer.alloc(5, 0xdf)
  header.writeUInt32BE(pairCount, 1)
  return header
}

function textValue(text: Buffer): [Buffer, Buffer] {
  const header = Buffer.alloc(5, 0xdb)
  header.writeUInt32BE(text.length, 1)
  return [header, text]
}
