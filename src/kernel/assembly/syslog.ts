// Syslog messages of RFC 3164 and RFC 5424. What senders of the old form leave out is left out: a message without a time
// that can be read has no host either, and one without a tag is all text.

import {
  FLAG_MADE,
  OPTION_PREFIX,
  REASON_ARENA,
  REASON_BAD_TIME,
  REASON_NO_MATCH,
  REASON_TOO_MANY_FIELDS,
  ROW_INT,
  ROW_SUB,
  ROW_TEXT,
  SYSLOG_FLAT,
  SYSLOG_NEW,
  SYSLOG_NUMBERS,
  SYSLOG_OLD,
  SYSLOG_TEXT
} from '../codes'
import { arenaTop, hasRoom, program, takeArena } from './areas'
import { intern } from './dictionary'
import { findByte } from './find'
import { KEY_BYTES_MAX } from './limits'
import { isDigit } from './number-text'
import { presetTime } from './parse'
import { addPending } from './pending'
import { parsedNs, parsedSecond, parseTime } from './strptime'
import { setRow, setRowValue } from './table'

/** The dictionary is full: the record begins again. */
export const SYSLOG_RESTART: u32 = 0xffffffff

const PRIORITY_MAX: u32 = 191
/** `Nov 20 17:05:09`, and with a year. */
const OLD_TIME_BYTES: u32 = 15
const YEAR_TIME_BYTES: u32 = 20
const ELEMENTS_MAX: u32 = 64
const PARAMS_MAX: u32 = 256
/** Name of a key, 15 bytes and its length. */
const FACILITIES = memory.data<u8>([
  107, 101, 114, 110, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, // kern
  117, 115, 101, 114, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, // user
  109, 97, 105, 108, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, // mail
  100, 97, 101, 109, 111, 110, 0, 0, 0, 0, 0, 0, 0, 0, 0, 6, // daemon
  97, 117, 116, 104, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, // auth
  115, 121, 115, 108, 111, 103, 0, 0, 0, 0, 0, 0, 0, 0, 0, 6, // syslog
  108, 112, 114, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3, // lpr
  110, 101, 119, 115, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, // news
  117, 117, 99, 112, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, // uucp
  99, 114, 111, 110, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, // cron
  97, 117, 116, 104, 112, 114, 105, 118, 0, 0, 0, 0, 0, 0, 0, 8, // authpriv
  102, 116, 112, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3, // ftp
  110, 116, 112, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3, // ntp
  97, 117, 100, 105, 116, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5, // audit
  97, 108, 101, 114, 116, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5, // alert
  99, 108, 111, 99, 107, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5, // clock
  108, 111, 99, 97, 108, 48, 0, 0, 0, 0, 0, 0, 0, 0, 0, 6, // local0
  108, 111, 99, 97, 108, 49, 0, 0, 0, 0, 0, 0, 0, 0, 0, 6, // local1
  108, 111, 99, 97, 108, 50, 0, 0, 0, 0, 0, 0, 0, 0, 0, 6, // local2
  108, 111, 99, 97, 108, 51, 0, 0, 0, 0, 0, 0, 0, 0, 0, 6, // local3
  108, 111, 99, 97, 108, 52, 0, 0, 0, 0, 0, 0, 0, 0, 0, 6, // local4
  108, 111, 99, 97, 108, 53, 0, 0, 0, 0, 0, 0, 0, 0, 0, 6, // local5
  108, 111, 99, 97, 108, 54, 0, 0, 0, 0, 0, 0, 0, 0, 0, 6, // local6
  108, 111, 99, 97, 108, 55, 0, 0, 0, 0, 0, 0, 0, 0, 0, 6 // local7
])
const SEVERITIES = memory.data<u8>([
  101, 109, 101, 114, 103, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5, // emerg
  97, 108, 101, 114, 116, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5, // alert
  99, 114, 105, 116, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, // crit
  101, 114, 114, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3, // err
  119, 97, 114, 110, 105, 110, 103, 0, 0, 0, 0, 0, 0, 0, 0, 7, // warning
  110, 111, 116, 105, 99, 101, 0, 0, 0, 0, 0, 0, 0, 0, 0, 6, // notice
  105, 110, 102, 111, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, // info
  100, 101, 98, 117, 103, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5 // debug
])

// Places of the ids among the operands.
const FACILITY: u32 = 0
const SEVERITY: u32 = 1
const HOST: u32 = 2
const IDENT: u32 = 3
const PID: u32 = 4
const MSGID: u32 = 5
const MESSAGE: u32 = 6
const TIME: u32 = 7
const STRUCTURED: u32 = 8

/** mode, flags, zone, formats of RFC 5424, of RFC 3164, and of the latter with a year; then the ids. */
let words: usize = 0
let options: usize = 0

@inline
function word(index: usize): u32 {
  return load<u32>(words + (index << 2))
}

@inline
function idOf(field: u32): u32 {
  return word(6 + <usize>field)
}

/** A text field; id 0: not wanted. */
@inline
function put(field: u32, start: usize, end: usize): void {
  const id = idOf(field)
  if (!id) return
  const row = addPending(id)
  if (row) setRow(row, ROW_TEXT, 0, start, <u32>(end - start))
}

function putName(field: u32, value: u32, names: usize): void {
  const row = addPending(idOf(field))
  if (!row) return
  const name = names + (<usize>value << 4)
  if (word(1) & SYSLOG_NUMBERS) setRowValue(row, ROW_INT, 0, value)
  else setRow(row, ROW_TEXT, 0, name, load<u8>(name, 15))
}

/** Takes a message apart into pending rows; 0, or the reason of the failure, or SYSLOG_RESTART. */
export function parseSyslog(p: usize, end: usize, operands: usize, parseOptions: usize): u32 {
  words = operands
  options = parseOptions
  if (p == end || load<u8>(p++) != 60) return REASON_NO_MATCH
  let priority: u32 = 0
  const digits = p
  while (p < end && p - digits < 3 && isDigit(load<u8>(p))) priority = priority * 10 + load<u8>(p++) - 48
  if (p == digits || p == end || load<u8>(p++) != 62 || priority > PRIORITY_MAX) return REASON_NO_MATCH
  putName(FACILITY, priority >> 3, FACILITIES)
  putName(SEVERITY, priority & 7, SEVERITIES)
  const mode = word(0)
  // `1 `: the version.
  const isNew = p + 2 <= end && load<u16>(p) == 0x2031
  if (isNew && mode & SYSLOG_NEW) return parseNew(p + 2, end)
  return mode & SYSLOG_OLD ? parseOld(p, end) : <u32>REASON_NO_MATCH
}

function setTime(format: u32, start: usize, end: usize): u32 {
  const reason = parseTime(program + <usize>format, start, <u32>(end - start), <i32>word(2))
  if (reason) return reason
  put(TIME, start, end)
  presetTime(parsedSecond, parsedNs)
  return 0
}

// RFC 5424: TIMESTAMP HOSTNAME APP-NAME PROCID MSGID STRUCTURED-DATA [MSG]

function parseNew(p: usize, end: usize): u32 {
  for (let token = 0; token < 5; token++) {
    const e = findByte(p, end, 32)
    if (e == end || e == p) return REASON_NO_MATCH
    const isNil = e - p == 1 && load<u8>(p) == 45
    if (!isNil) {
      if (token > 0) put(HOST + token - 1, p, e)
      else if (setTime(word(3), p, e)) return REASON_BAD_TIME
    }
    p = e + 1
  }
  if (p == end) return REASON_NO_MATCH
  if (load<u8>(p) == 45) p++
  else {
    const e = structuredEnd(p, end)
    if (!e) return REASON_NO_MATCH
    const reason = putStructured(p, e)
    if (reason) return reason
    p = e
  }
  if (p == end) return 0
  if (load<u8>(p) != 32) return REASON_NO_MATCH
  p = behindMark(p + 1, end)
  put(MESSAGE, p, end)
  return 0
}

/** A byte order mark says that the text is UTF-8, and is none of it. */
@inline
function behindMark(p: usize, end: usize): usize {
  return end - p >= 3 && (load<u32>(p) & 0xffffff) == 0xbfbbef ? p + 3 : p
}

let elementCount: u32 = 0
let paramCount: u32 = 0

/** Behind the elements at `p`, which are counted; 0: they are none. */
function structuredEnd(p: usize, end: usize): usize {
  elementCount = 0
  paramCount = 0
  while (p < end && load<u8>(p) == 91) {
    p = nameEnd(p + 1, end)
    if (!p) return 0
    elementCount++
    while (load<u8>(p) == 32) {
      p = nameEnd(p + 1, end)
      if (!p || load<u8>(p) != 61) return 0
      p = valueEnd(p + 1, end)
      if (!p || p == end) return 0
      paramCount++
    }
    if (load<u8>(p++) != 93) return 0
  }
  return elementCount ? p : 0
}

/** The byte that ends the name at `p`: a blank, `=` or `]`; 0: there is no name, or no end. */
function nameEnd(p: usize, end: usize): usize {
  const start = p
  while (p < end) {
    const c: u32 = load<u8>(p)
    if (c == 32 || c == 61 || c == 93) return p == start || p - start > KEY_BYTES_MAX / 2 ? 0 : p
    if (c == 34 || c < 32) return 0
    p++
  }
  return 0
}

/** Behind the closing quote of the value whose opening quote is at `p`; 0: it is none. */
function valueEnd(p: usize, end: usize): usize {
  if (p == end || load<u8>(p++) != 34) return 0
  while (p < end) {
    const c: u32 = load<u8>(p++)
    if (c == 34) return p
    if (c == 92 && p < end) p++
  }
  return 0
}

function putStructured(p: usize, end: usize): u32 {
  const flags = word(1)
  if (flags & SYSLOG_TEXT) {
    put(STRUCTURED, p, end)
    return 0
  }
  if (elementCount > ELEMENTS_MAX || paramCount > PARAMS_MAX) return REASON_TOO_MANY_FIELDS
  return flags & SYSLOG_FLAT ? putFlat(p, end) : putNested(p, end)
}

/** Rows of the elements, and behind them those of all their parameters. Of two with one name the last wins. */
function putNested(p: usize, end: usize): u32 {
  if (!hasRoom((<u64>elementCount + paramCount) << 4)) return REASON_ARENA
  const elements = arenaTop
  let params = elements + (<usize>elementCount << 4)
  takeArena(params + (<usize>paramCount << 4))
  let n: u32 = 0
  while (p < end) {
    let e = nameEnd(p + 1, end)
    const element = intern(p + 1, <u32>(e - p - 1))
    if (!element) return SYSLOG_RESTART
    let count: u32 = 0
    while (load<u8>(e) == 32) {
      const name = e + 1
      e = nameEnd(name, end)
      const id = intern(name, <u32>(e - name))
      if (!id) return SYSLOG_RESTART
      const value = e + 2
      e = valueEnd(e + 1, end)
      const row = rowIn(params, count, id)
      if (row == params + (<usize>count << 4)) count++
      if (!setValue(row, value, e - 1)) return REASON_ARENA
    }
    const row = rowIn(elements, n, element)
    if (row == elements + (<usize>n << 4)) n++
    setRow(row, ROW_SUB, FLAG_MADE, params, count)
    params += <usize>count << 4
    p = e + 1
  }
  const row = addPending(idOf(STRUCTURED))
  if (row) setRow(row, ROW_SUB, FLAG_MADE, elements, n)
  return 0
}

/** The row of a key among `count` rows, or the next one. */
function rowIn(rows: usize, count: u32, id: u32): usize {
  let row = rows
  for (let i: u32 = 0; i < count; i++, row += 16) {
    if (<u32>load<u16>(row) == id) return row
  }
  store<u16>(row, <u16>id)
  return row
}

/** `element.parameter` beside the other fields. */
function putFlat(p: usize, end: usize): u32 {
  const prefixBytes = load<u32>(options, OPTION_PREFIX + 4)
  while (p < end) {
    const element = p + 1
    let e = nameEnd(element, end)
    const elementBytes = <u32>(e - element)
    while (load<u8>(e) == 32) {
      const name = e + 1
      e = nameEnd(name, end)
      const n = prefixBytes + elementBytes + 1 + <u32>(e - name)
      if (n > KEY_BYTES_MAX) return REASON_TOO_MANY_FIELDS
      if (!hasRoom(n)) return REASON_ARENA
      const key = arenaTop
      memory.copy(key, program + <usize>load<u32>(options, OPTION_PREFIX), prefixBytes)
      memory.copy(key + prefixBytes, element, elementBytes)
      store<u8>(key + prefixBytes + elementBytes, 46)
      memory.copy(key + prefixBytes + elementBytes + 1, name, e - name)
      const id = intern(key, n)
      if (!id) return SYSLOG_RESTART
      const value = e + 2
      e = valueEnd(e + 1, end)
      const row = addPending(id)
      if (!row) return REASON_TOO_MANY_FIELDS
      if (!setValue(row, value, e - 1)) return REASON_ARENA
    }
    p = e + 1
  }
  return 0
}

/** The text of a value; a backslash goes from before a quote, a bracket and another backslash. */
function setValue(row: usize, p: usize, end: usize): bool {
  let e = findByte(p, end, 92)
  if (e == end) {
    setRow(row, ROW_TEXT, 0, p, <u32>(end - p))
    return true
  }
  if (!hasRoom(<u64>(end - p))) return false
  const start = arenaTop
  let o = start
  while (p < end) {
    let c: u32 = load<u8>(p++)
    if (c == 92 && p < end) {
      const escaped: u32 = load<u8>(p)
      if (escaped == 34 || escaped == 92 || escaped == 93) {
        c = escaped
        p++
      }
    }
    store<u8>(o++, c)
  }
  takeArena(o)
  setRow(row, ROW_TEXT, 0, start, <u32>(o - start))
  return true
}

// RFC 3164: [TIMESTAMP HOSTNAME] [TAG[PID]:] text

function parseOld(p: usize, end: usize): u32 {
  const timeEnd = putOldTime(p, end)
  if (timeEnd) {
    p = timeEnd
    if (p < end && load<u8>(p) == 58) p++
    else if (p < end) p = putHost(p + 1, end)
    while (p < end && load<u8>(p) == 32) p++
  }
  p = putTag(p, end)
  p = behindMark(p, end)
  put(MESSAGE, p, end)
  return 0
}

/** Behind the time, where a blank, a colon or the end stands; 0: there is none. */
function putOldTime(p: usize, end: usize): usize {
  if (p == end) return 0
  let e = p
  let format = word(4)
  if (isDigit(load<u8>(p))) {
    e = findByte(p, end, 32)
    format = word(3)
  } else {
    if (p + OLD_TIME_BYTES > end) return 0
    const hasYear = p + YEAR_TIME_BYTES <= end && isDigit(load<u8>(p, 7)) && load<u8>(p, 11) == 32
    if (hasYear) format = word(5)
    e = p + (hasYear ? YEAR_TIME_BYTES : OLD_TIME_BYTES)
    if (e + 1 < end && load<u8>(e) == 46 && isDigit(load<u8>(e, 1))) {
      e++
      while (e < end && isDigit(load<u8>(e))) e++
    }
  }
  if (e < end && load<u8>(e) != 32 && load<u8>(e) != 58) return 0
  return setTime(format, p, e) ? 0 : e
}

/** A word is the host unless it is a tag: messages of the same machine name none. */
function putHost(p: usize, end: usize): usize {
  const e = findByte(p, end, 32)
  if (e == p) return p
  if (e == end || load<u8>(e - 1) == 58 || findByte(p, e, 91) != e) return p
  put(HOST, p, e)
  return e + 1
}

/** Behind the tag and one blank; `p`: there is no tag. */
function putTag(p: usize, end: usize): usize {
  let e = p
  while (e < end) {
    const c: u32 = load<u8>(e)
    if (c == 32 || c == 58 || c == 91) break
    e++
  }
  if (e == end || e == p || load<u8>(e) == 32) return p
  const identEnd = e
  let pid: usize = 0
  if (load<u8>(e) == 91) {
    pid = e + 1
    e = findByte(pid, end, 93)
    if (e == end || e == pid || findByte(pid, e, 32) != e) return p
    put(IDENT, p, identEnd)
    put(PID, pid, e)
    e++
    if (e < end && load<u8>(e) == 58) e++
  } else {
    put(IDENT, p, identEnd)
    e++
  }
  return e < end && load<u8>(e) == 32 ? e + 1 : e
}
