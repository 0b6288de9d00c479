// Rows that are collected before they are put: results of a parser, which go into the table together or not at all, and
// assignments of one step, which all read the record before it.

import { ROWS_MAX } from './limits'
import { copyRow, touchRow } from './table'

const PENDING = memory.data(1024 * 16, 16)
export let pendingCount: u32 = 0

@inline
export function clearPending(): void {
  pendingCount = 0
}

@inline
export function pendingRow(index: u32): usize {
  return PENDING + (<usize>index << 4)
}

/** A new pending row for the key, 0: there are too many. Its content is to be set. */
@inline
export function addPending(id: u32): usize {
  if (pendingCount >= ROWS_MAX) return 0
  const row = pendingRow(pendingCount++)
  store<u16>(row, <u16>id)
  return row
}

/** Takes the row that was added last back. */
@inline
export function dropPending(): void {
  pendingCount--
}

/** Puts pending row `index` over the field of its key; false: the table is full. */
@inline
export function putPending(index: u32): bool {
  const from = pendingRow(index)
  const row = touchRow(load<u16>(from))
  if (!row) return false
  copyRow(row, from)
  return true
}

