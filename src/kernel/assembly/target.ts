// Where a record goes. The template is evaluated only when something it depends on has changed, and its text is looked up
// in the task's targets; only a new target calls JavaScript, which leaves the bytes around the id here.
//
// Entry, 32 bytes: text u32, length u32 | prefix u32, length u32 | bytes behind the id u32, length u32 |
// reason of a refusal (0: none) u32 | hash u32. Texts follow the entries.

import { REASON_TEMPLATE_MISSING } from '../codes'
import { TARGET_AREA_BYTES, TARGET_BYTES, TARGETS_MAX, program, targets } from './areas'
import { count } from './counters'
import { recordSecond } from './entry'
import { tagVersion } from './group'
import { missingCount, putTemplate, templateLength, templateStart } from './template'
import { dayOf } from './time'

/** A new target: JavaScript fills its entry with targetBytes or refuseTarget. */
@external('env', 'target')
declare function makeTarget(number: u32, text: usize, length: u32): void

const SPAN_TAG: u32 = 0
const SPAN_DAY: u32 = 1

export let targetCount: u32 = 0
let textTop: usize = 0
/** Target of the last record, and what it was evaluated for. */
let lastTarget: u32 = 0
let lastTagVersion: u32 = 0xffffffff
let lastDay: i64 = i64.MIN_VALUE

/** No target: its table is full, or the arena. */
export const TARGETS_FULL: u32 = 0xffffffff
export const TARGET_NO_ROOM: u32 = 0xfffffffe

const SLOTS: u32 = 8192
/** Number + 1 of the target at each place of a hash table. */
const TABLE = memory.data(8192 * 2, 16)

export function resetTargets(): void {
  targetCount = 0
  textTop = targets + <usize>TARGETS_MAX * TARGET_BYTES
  lastTagVersion = 0xffffffff
  memory.fill(TABLE, 0, SLOTS * 2)
}

@inline
export function targetEntry(number: u32): usize {
  return targets + <usize>number * TARGET_BYTES
}

/** Number of the record's target, TARGETS_FULL, TARGET_NO_ROOM. */
@inline
export function currentTarget(span: u32): u32 {
  if (tagVersion == lastTagVersion) {
    if (span == SPAN_TAG) return lastTarget
    if (span == SPAN_DAY && dayOf(recordSecond) == lastDay) return lastTarget
  }
  return evaluateTarget()
}

function evaluateTarget(): u32 {
  const parts = program + <usize>load<u32>(program, 96)
  if (!putTemplate(parts, load<u32>(program, 100))) return TARGET_NO_ROOM
  if (missingCount) count(0, REASON_TEMPLATE_MISSING)
  const start = templateStart
  const n = templateLength
  let hash: u32 = n * 0x9e3779b1
  for (let i: u32 = 0; i < n; i++) hash = rotl(hash ^ load<u8>(start + i), 5) * 0x85ebca77
  let slot = hash & (SLOTS - 1)
  let number: u32 = 0
  while (true) {
    const known: u32 = load<u16>(TABLE + (slot << 1))
    if (!known) {
      number = addTarget(start, n, hash)
      if (number == TARGETS_FULL) return number
      store<u16>(TABLE + (slot << 1), <u16>(number + 1))
      break
    }
    number = known - 1
    const e = targetEntry(number)
    if (load<u32>(e, 28) == hash && load<u32>(e, 4) == n && memory.compare(load<u32>(e), start, n) == 0) break
    slot = (slot + 1) & (SLOTS - 1)
  }
  lastTarget = number
  lastTagVersion = tagVersion
  lastDay = dayOf(recordSecond)
  return number
}

@inline
function hasTargetRoom(n: u32): bool {
  return textTop + n + 64 <= targets + TARGET_AREA_BYTES
}

function addTarget(start: usize, n: u32, hash: u32): u32 {
  if (targetCount >= TARGETS_MAX || !hasTargetRoom(n)) return TARGETS_FULL
  const number = targetCount
  const e = targetEntry(number)
  memory.fill(e, 0, TARGET_BYTES)
  memory.copy(textTop, start, n)
  store<u32>(e, <u32>textTop)
  store<u32>(e, n, 4)
  store<u32>(e, hash, 28)
  textTop = (textTop + n + 31) & ~15
  makeTarget(number, load<u32>(e), n)
  // JavaScript found no room for its bytes: as if there had been none for the text.
  if (load<u32>(e, 24) == TARGETS_FULL) return TARGETS_FULL
  targetCount++
  return number
}

/** Room for `n` bytes of a target that JavaScript is making; 0: none. */
export function takeTargetBytes(n: u32): usize {
  if (!hasTargetRoom(n)) return 0
  const start = textTop
  textTop = (textTop + n + 31) & ~15
  return start
}
