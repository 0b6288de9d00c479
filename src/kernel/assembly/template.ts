// Templates: parts of a program put together to text in the arena.

import {
  PART_FIELD,
  PART_POSITION,
  PART_SOURCE_ADDRESS,
  PART_TAG,
  PART_TAG_PARTS,
  PART_TEXT,
  PART_TIME
} from '../codes'
import { arenaTop, hasRoom, program, takeArena } from './areas'
import { copyText } from './escape'
import { entryOffset, recordNs, recordSecond } from './entry'
import {
  partLength,
  partStart,
  putPositionId,
  source,
  sourceLength,
  tag,
  tagLength,
  tagParts
} from './group'
import { fieldRow } from './path'
import { TEXT_FOUND, TEXT_NO_ROOM, textLength, textOf, textStart } from './row'
import { formattedBytesMax, putFormatted } from './time'

/** Text of the last template, and how many placeholders had neither value nor fallback. */
export let templateStart: usize = 0
export let templateLength: u32 = 0
export let missingCount: u32 = 0

/** Longest text of the scattered pieces that putTemplate joins. */
const PIECES_MAX: u32 = 64
const PIECES = memory.data(64 * 8, 8)

let pieceStart: usize = 0
let pieceLength: u32 = 0

@inline
function piece(start: usize, n: u32): bool {
  pieceStart = start
  pieceLength = n
  return true
}

/** Evaluates `count` parts at `parts`. False: the arena is full. */
export function putTemplate(parts: usize, count: u32): bool {
  missingCount = 0
  let sum: u64 = 0
  count = min<u32>(count, PIECES_MAX)
  // Pieces are found first: the text of a field may itself be made in the arena.
  for (let i: u32 = 0; i < count; i++) {
    if (!findPiece(parts + <usize>i * 16)) return false
    store<u32>(PIECES + i * 8, <u32>pieceStart)
    store<u32>(PIECES + i * 8, pieceLength, 4)
    sum += pieceLength
  }
  if (!hasRoom(sum)) return false
  let o = arenaTop
  templateStart = o
  for (let i: u32 = 0; i < count; i++) {
    const n = load<u32>(PIECES + i * 8, 4)
    o = copyText(o, load<u32>(PIECES + i * 8), n)
  }
  templateLength = <u32>(o - templateStart)
  takeArena(o)
  return true
}

function findPiece(part: usize): bool {
  const x = load<u32>(part, 4)
  const y = load<u32>(part, 8)
  switch (load<u32>(part)) {
    case PART_TEXT:
      return piece(program + x, y)
    case PART_FIELD:
      return findField(x, y, load<u32>(part, 12))
    case PART_TAG:
      return piece(tag, tagLength)
    case PART_TAG_PARTS:
      if (tagParts(x, y, load<u32>(part, 12) != 0)) return piece(partStart, partLength)
      missingCount++
      return piece(tag, 0)
    case PART_TIME: {
      if (!hasRoom(formattedBytesMax(formatLength(program + x)))) return false
      const start = arenaTop
      const end = putFormatted(start, program + x, recordSecond, recordNs)
      takeArena(end)
      return piece(start, <u32>(end - start))
    }
    case PART_SOURCE_ADDRESS: {
      // Behind the input's id and a NUL.
      let p = source
      const end = source + sourceLength
      while (p < end && load<u8>(p)) p++
      if (p < end) p++
      return piece(p, <u32>(end - p))
    }
    case PART_POSITION: {
      if (!hasRoom(24)) return false
      const start = arenaTop
      takeArena(putPositionId(start, entryOffset))
      return piece(start, 24)
    }
  }
  return piece(program, 0)
}

function formatLength(format: usize): u32 {
  let n: u32 = 0
  while (load<u8>(format + n)) n++
  return n
}

function findField(ref: u32, fallback: u32, fallbackLength: u32): bool {
  const row = fieldRow(ref)
  if (row) {
    const result = textOf(row, true)
    if (result == TEXT_FOUND) return piece(textStart, textLength)
    if (result == TEXT_NO_ROOM) return false
  }
  if (fallback != 0xffffffff) return piece(program + fallback, fallbackLength)
  missingCount++
  return piece(program, 0)
}
