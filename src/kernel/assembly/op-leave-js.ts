// The op that hands a record to a JavaScript step and takes back what it made of it, both as JSON text.

import {
  JS_CHANGES,
  JS_DROP,
  JS_REPLACE,
  JS_UNCHANGED,
  REASON_ARENA,
  REASON_JAVASCRIPT,
  REASON_STEP,
  REASON_TOO_MANY_FIELDS
} from '../codes'
import { arenaEnd, arenaTop, hasRoom, takeArena } from './areas'
import { rowOf } from './dictionary'
import { ROWS_MAX } from './limits'
import { MAILBOX } from './mailbox'
import { drop, restart } from './outcome'
import { beginWithout, fail } from './parse'
import { clearPending, pendingCount, pendingRow, putPending } from './pending'
import { closeObject, membersBytesMax, putMembers, putRow, putRowKey } from './row'
import { SPLICE_NULL_REMOVES, SPLICE_RESTART, spliceJson } from './splice'
import { removeRow, rowAt, rowCount, rowKey, rowType } from './table'

/** The whole record instead of declared fields. */
const ALL_FIELDS: u32 = 0xffffffff

/** Runs the step. The answer's text begins at `room`; its length comes and its room goes in the mailbox. */
@external('env', 'leaveJs')
declare function leaveJs(stage: u32, json: usize, length: u32, room: usize): u32

/** stage, options, count, ids */
export function opLeaveJs(pc: usize): usize {
  const count = load<u32>(pc, 12)
  const next = pc + 16 + (count == ALL_FIELDS ? 0 : <usize>count << 2)
  beginWithout(load<u32>(pc, 8), next)
  if (!hasRoom(membersBytesMax<u8>())) return fail(REASON_ARENA)
  const json = arenaTop
  const end = closeObject(json, count == ALL_FIELDS ? putMembers<u8>(json) : putFields(json, pc + 16, count))
  takeArena(end)
  const room = arenaTop
  store<u32>(MAILBOX, room + 64 < arenaEnd ? <u32>(arenaEnd - room - 64) : 0)
  const answer = leaveJs(load<u32>(pc, 4), json, <u32>(end - json), room)
  if (answer == JS_UNCHANGED) return next
  if (answer == JS_DROP) return drop(REASON_STEP)
  if (answer != JS_CHANGES && answer != JS_REPLACE) return fail(REASON_JAVASCRIPT)
  const answerEnd = room + load<u32>(MAILBOX)
  takeArena(answerEnd)
  const reason = spliceJson(room, answerEnd, 0, answer == JS_CHANGES ? SPLICE_NULL_REMOVES : 0)
  if (reason == SPLICE_RESTART) return restart()
  if (reason) return fail(reason)
  if (rowCount + pendingCount > ROWS_MAX) return fail(REASON_TOO_MANY_FIELDS)
  lay(answer == JS_REPLACE)
  return next
}

/** The declared fields that are there, a comma before each. */
function putFields(o: usize, ids: usize, count: u32): usize {
  for (let i: u32 = 0; i < count; i++) {
    const row = rowOf(load<u32>(ids + (<usize>i << 2)))
    if (!row) continue
    store<u8>(o, 44)
    o = putRow<u8>(putRowKey<u8>(o + 1, rowKey(row)), row)
  }
  return o
}

function lay(isWhole: bool): void {
  if (isWhole) {
    for (let i: u32 = 0; i < rowCount; i++) {
      const row = rowAt(i)
      if (rowType(row)) removeRow(row)
    }
  }
  for (let i: u32 = 0; i < pendingCount; i++) {
    const from = pendingRow(i)
    if (rowType(from)) putPending(i)
    else {
      const row = rowOf(load<u16>(from))
      if (row) removeRow(row)
    }
  }
  clearPending()
}
