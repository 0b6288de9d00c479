// Ops that set, copy, remove and rename fields.

import {
  FLAG_MADE,
  REASON_ARENA,
  REASON_TEMPLATE_MISSING,
  REASON_TOO_MANY_FIELDS,
  ROW_JSON,
  ROW_TEXT,
  SET_COUNT_MISSING,
  SET_DEFER,
  SET_HAS_FALLBACK,
  SET_IF_MISSING,
  SET_UNLESS_EMPTY
} from '../codes'
import { decisions, program } from './areas'
import { count } from './counters'
import { keyLength, keyText, rowOf, stamp, unstamp } from './dictionary'
import { step } from './outcome'
import { fieldRow } from './path'
import { addPending, clearPending, pendingCount, putPending } from './pending'
import { regexOnKey } from './regex'
import { copyRow, removeRow, rowAt, rowCount, rowKey, rowType, setRow, touchRow } from './table'
import { missingCount, putTemplate, templateLength, templateStart } from './template'

/** The row that an assignment writes, or 0: nothing is to be written. */
function targetRow(id: u32, flags: u32): usize {
  if (flags & SET_IF_MISSING && rowOf(id)) return 0
  const row = flags & SET_DEFER ? addPending(id) : touchRow(id)
  if (!row) count(step, REASON_TOO_MANY_FIELDS)
  return row
}

export function opSetJson(pc: usize): usize {
  const row = targetRow(load<u32>(pc, 4), load<u32>(pc, 20))
  if (row) {
    const flags = load<u32>(pc, 16) | FLAG_MADE
    setRow(row, ROW_JSON, flags, program + <usize>load<u32>(pc, 8), load<u32>(pc, 12))
  }
  return pc + 24
}

export function opSetText(pc: usize): usize {
  const id = load<u32>(pc, 4)
  const flags = load<u32>(pc, 8)
  if (flags & SET_IF_MISSING && rowOf(id)) return pc + 20
  if (!putTemplate(program + <usize>load<u32>(pc, 12), load<u32>(pc, 16))) {
    count(step, REASON_ARENA)
    return pc + 20
  }
  if (missingCount) count(step, REASON_TEMPLATE_MISSING)
  if (flags & SET_UNLESS_EMPTY && !templateLength) return pc + 20
  const row = targetRow(id, flags)
  if (row) setRow(row, ROW_TEXT, FLAG_MADE, templateStart, templateLength)
  return pc + 20
}

export function opCopy(pc: usize): usize {
  const id = load<u32>(pc, 4)
  const flags = load<u32>(pc, 12)
  const from = fieldRow(load<u32>(pc, 8))
  if (!from && flags & SET_COUNT_MISSING) count(step, REASON_TEMPLATE_MISSING)
  if (from || flags & SET_HAS_FALLBACK) {
    const row = targetRow(id, flags)
    if (!row) return pc + 24
    if (from) copyRow(row, from)
    else setRow(row, ROW_TEXT, FLAG_MADE, program + <usize>load<u32>(pc, 16), load<u32>(pc, 20))
  }
  return pc + 24
}

export function opCommit(pc: usize): usize {
  for (let i: u32 = 0; i < pendingCount; i++) {
    if (!putPending(i)) count(step, REASON_TOO_MANY_FIELDS)
  }
  clearPending()
  return pc + 4
}

export function opRemove(pc: usize): usize {
  const n = load<u32>(pc, 4)
  pc += 8
  for (let i: u32 = 0; i < n; i++) {
    const row = rowOf(load<u32>(pc + (<usize>i << 2)))
    if (row) removeRow(row)
  }
  return pc + (<usize>n << 2)
}

const DECIDED_IN: u8 = 1
const DECIDED_OUT: u8 = 2

/** Removes what is in the set, or all else. A key's decision is kept until the dictionary forgets the key. */
export function opFilterKeys(pc: usize): usize {
  const set = load<u32>(pc, 4)
  const isKept = load<u32>(pc, 8)
  const known = decisions + <usize>set * 4096
  for (let i: u32 = 0; i < rowCount; i++) {
    const row = rowAt(i)
    if (!rowType(row)) continue
    const id = rowKey(row)
    let decision = load<u8>(known + id)
    if (!decision) {
      decision = isInSet(program + <usize>load<u32>(program, 40) + <usize>set * 24, id)
        ? DECIDED_IN
        : DECIDED_OUT
      store<u8>(known + id, decision)
    }
    if ((decision == DECIDED_IN) != (isKept != 0)) removeRow(row)
  }
  return pc + 12
}

/** Set: ids, count | prefixes (slices), count | patterns, count. */
function isInSet(set: usize, id: u32): bool {
  const ids = program + <usize>load<u32>(set)
  for (let i: u32 = 0; i < load<u32>(set, 4); i++) {
    if (load<u32>(ids + (<usize>i << 2)) == id) return true
  }
  const text = keyText(id)
  const n = keyLength(id)
  const prefixes = program + <usize>load<u32>(set, 8)
  for (let i: u32 = 0; i < load<u32>(set, 12); i++) {
    const slice = prefixes + (<usize>i << 3)
    const length = load<u32>(slice, 4)
    if (length <= n && memory.compare(text, program + <usize>load<u32>(slice), length) == 0) return true
  }
  const patterns = program + <usize>load<u32>(set, 16)
  for (let i: u32 = 0; i < load<u32>(set, 20); i++) {
    if (regexOnKey(load<u32>(patterns + (<usize>i << 2)), text, n)) return true
  }
  return false
}

const RENAMES_MAX: u32 = 256
const SOURCES = memory.data(256 * 4, 8)

/** All pairs at once: sources are taken out first, so that a swap works. Renamed fields keep their place. */
export function opRename(pc: usize): usize {
  const isTargetKept = load<u32>(pc, 4) != 0
  const n = min<u32>(load<u32>(pc, 8), RENAMES_MAX)
  const pairs = pc + 12
  for (let i: u32 = 0; i < n; i++) {
    const from = load<u32>(pairs + (<usize>i << 3))
    const row = rowOf(from)
    store<u32>(SOURCES + (<usize>i << 2), <u32>row)
    if (row) unstamp(from)
  }
  for (let i: u32 = 0; i < n; i++) {
    const row = <usize>load<u32>(SOURCES + (<usize>i << 2))
    if (!row) continue
    let to = load<u32>(pairs + (<usize>i << 3), 4)
    let taken = rowOf(to)
    if (taken && isTargetKept) {
      // The field stays what it was, unless another one took its name meanwhile.
      to = load<u32>(pairs + (<usize>i << 3))
      taken = rowOf(to)
    }
    if (taken) removeRow(taken)
    store<u16>(row, <u16>to)
    stamp(to, row)
  }
  return pairs + (<usize>load<u32>(pc, 8) << 3)
}
