// Ops of the named parsers.

import {
  CONVERT_JSON,
  OPTION_FLAGS,
  OPTION_INTO,
  OPTION_TIME_FORMAT,
  OPTION_ZONE_SECONDS,
  PARSE_ALSO_NESTED,
  PARSE_KEEP_TIME,
  REASON_ARENA,
  REASON_BAD_JSON,
  REASON_NO_MATCH,
  REASON_NOT_OBJECT,
  REASON_TEXT_TOO_LONG,
  REASON_TOO_MANY_FIELDS,
  ROW_TEXT
} from '../codes'
import { parseAccess } from './access-log'
import { arenaTop, hasRoom, program, takeArena } from './areas'
import { convertRow } from './convert'
import { rowOf } from './dictionary'
import { setRecordTime } from './entry'
import { FIELD_PATH } from './limits'
import { restart } from './outcome'
import {
  beginParse,
  begun,
  fail,
  finishParse,
  options,
  PARSE_READY,
  parseEnd,
  parseStart
} from './parse'
import { addPending, clearPending } from './pending'
import { isTooLong, regexCaptures } from './regex'
import { SPLICE_NESTED, SPLICE_RESTART, spliceJson } from './splice'
import { parsedNs, parsedSecond, parseTime } from './strptime'
import { parseSyslog, SYSLOG_RESTART } from './syslog'
import { removeRow, setRow } from './table'

/** field, options */
export function opParseJson(pc: usize): usize {
  if (beginParse(load<u32>(pc, 4), load<u32>(pc, 8), pc + 12) != PARSE_READY) return begun
  const mode: u32 = load<u32>(options, OPTION_FLAGS) & PARSE_ALSO_NESTED ? SPLICE_NESTED : 0
  const reason = spliceJson(parseStart, parseEnd, options, mode)
  if (!reason) return finishParse(load<u32>(options, OPTION_INTO))
  if (reason == SPLICE_RESTART) return restart()
  const into = load<u32>(options, OPTION_INTO)
  return reason == REASON_NOT_OBJECT && into ? putWhole(into) : fail(reason)
}

/** An array or a plain value under the name that the results would get. */
function putWhole(into: u32): usize {
  clearPending()
  const row = addPending(into)
  setRow(row, ROW_TEXT, 0, parseStart, <u32>(parseEnd - parseStart))
  if (!convertRow(row, CONVERT_JSON, 0, 0)) return fail(REASON_BAD_JSON)
  return finishParse(0)
}

/** field, options, eleven ids */
export function opParseAccess(pc: usize): usize {
  if (beginParse(load<u32>(pc, 4), load<u32>(pc, 8), pc + 56) != PARSE_READY) return begun
  return parseAccess(parseStart, parseEnd, pc + 12) ? finishParse(load<u32>(options, OPTION_INTO)) : fail(REASON_NO_MATCH)
}

/** field, options, mode, flags, zone, three time formats, nine ids */
export function opParseSyslog(pc: usize): usize {
  if (beginParse(load<u32>(pc, 4), load<u32>(pc, 8), pc + 72) != PARSE_READY) return begun
  const reason = parseSyslog(parseStart, parseEnd, pc + 12, options)
  if (!reason) return finishParse(load<u32>(options, OPTION_INTO))
  return reason == SYSLOG_RESTART ? restart() : fail(reason)
}

const GROUPS_MAX: u32 = 256
const GROUPS = memory.data(256 * 8, 16)

/** field, options, pattern, count, ids */
export function opParseRegex(pc: usize): usize {
  const n = load<u32>(pc, 16)
  const next = pc + 20 + (<usize>n << 2)
  if (beginParse(load<u32>(pc, 4), load<u32>(pc, 8), next) != PARSE_READY) return begun
  const length = <u32>(parseEnd - parseStart)
  if (isTooLong(length)) return fail(REASON_TEXT_TOO_LONG)
  // Groups may overlap, so each may be as long as the text; a bad byte becomes three.
  if (!hasRoom(<u64>length * 3 * (n + 1))) return fail(REASON_ARENA)
  memory.fill(GROUPS, 0xff, GROUPS_MAX * 8)
  const end = regexCaptures(load<u32>(pc, 12), parseStart, length, GROUPS, arenaTop)
  if (!end) return fail(REASON_NO_MATCH)
  takeArena(end)
  for (let i: u32 = 0; i < min<u32>(n, GROUPS_MAX); i++) {
    const id = load<u32>(pc + 20 + (<usize>i << 2))
    const bytes = load<u32>(GROUPS + (<usize>i << 3), 4)
    if (!id || bytes == 0xffffffff) continue
    const row = addPending(id)
    if (!row) return fail(REASON_TOO_MANY_FIELDS)
    setRow(row, ROW_TEXT, 0, load<u32>(GROUPS + (<usize>i << 3)), bytes)
  }
  return finishParse(load<u32>(options, OPTION_INTO))
}

/** field, options */
export function opParseTime(pc: usize): usize {
  const ref = load<u32>(pc, 4)
  if (beginParse(ref, load<u32>(pc, 8), pc + 12) != PARSE_READY) return begun
  const format = program + <usize>load<u32>(options, OPTION_TIME_FORMAT)
  const zone = load<i32>(options, OPTION_ZONE_SECONDS)
  const reason = parseTime(format, parseStart, <u32>(parseEnd - parseStart), zone)
  if (reason) return fail(reason)
  setRecordTime(parsedSecond, parsedNs)
  const row: usize = ref & FIELD_PATH ? 0 : rowOf(ref)
  if (row && !(load<u32>(options, OPTION_FLAGS) & PARSE_KEEP_TIME)) removeRow(row)
  return pc + 12
}
