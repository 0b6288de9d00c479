// Access logs of nginx and Apache: common and combined, with anything behind.
// remote host user [time] "request" code size "referer" "agent" rest

import { ROW_TEXT } from '../codes'
import { findByte } from './find'
import { addPending } from './pending'
import { setRow } from './table'

/** Behind the quoted text whose content begins at `p`: place of its closing quote, `end` if there is none. */
function quoteEnd(p: usize, end: usize): usize {
  const start = p
  while (true) {
    const quote = findByte(p, end, 34)
    if (quote == end) return end
    // A quote behind an odd number of backslashes belongs to the text.
    let q = quote
    while (q > start && load<u8>(q - 1) == 92) q--
    if (!((quote - q) & 1)) return quote
    p = quote + 1
  }
}

/** A result field; id 0: not wanted. */
@inline
function put(ids: usize, field: u32, start: usize, end: usize): void {
  const id = load<u32>(ids + (<usize>field << 2))
  if (!id) return
  const row = addPending(id)
  if (row) setRow(row, ROW_TEXT, 0, start, <u32>(end - start))
}

/** Takes a line apart into pending rows of the eleven ids; false: it is none. */
export function parseAccess(p: usize, end: usize, ids: usize): bool {
  let e = findByte(p, end, 32)
  if (e == end) return false
  put(ids, 0, p, e)
  p = e + 1
  e = findByte(p, end, 32)
  if (e == end) return false
  put(ids, 1, p, e)
  p = e + 1
  // A user name may hold blanks; it ends where the time begins.
  e = findByte(p, end, 91)
  while (e < end && (e == p || load<u8>(e - 1) != 32)) e = findByte(e + 1, end, 91)
  if (e == end) return false
  put(ids, 2, p, e - 1)
  p = e + 1
  e = findByte(p, end, 93)
  if (e == end) return false
  put(ids, 3, p, e)
  p = e + 1
  if (p + 2 > end || load<u16>(p) != 0x2220) return false
  p += 2
  e = quoteEnd(p, end)
  if (e == end) return false
  putRequest(p, e, ids)
  p = e + 1
  if (p >= end || load<u8>(p) != 32) return false
  p++
  e = findByte(p, end, 32)
  if (e == end || e == p) return false
  put(ids, 6, p, e)
  p = e + 1
  e = findByte(p, end, 32)
  if (e == p) return false
  put(ids, 7, p, e)
  return e == end || putTrailer(e + 1, end, ids)
}

/** Method and path; a request that is none (`-`, bytes of TLS) is the path as it stands. */
function putRequest(p: usize, end: usize, ids: usize): void {
  const blank = findByte(p, end, 32)
  if (blank == end || !isMethod(p, blank)) {
    put(ids, 5, p, end)
    return
  }
  put(ids, 4, p, blank)
  p = blank + 1
  while (p < end && load<u8>(p) == 32) p++
  // The protocol stands behind the last blank.
  let e = end
  while (e > p && load<u8>(e - 1) != 32) e--
  if (e == p) e = end
  else while (e > p && load<u8>(e - 1) == 32) e--
  put(ids, 5, p, e)
}

@inline
function isMethod(p: usize, end: usize): bool {
  if (p == end) return false
  while (p < end) {
    const c = <u32>load<u8>(p++)
    if ((c & 0xdf) - 65 > 25 && c != 45 && c != 95) return false
  }
  return true
}

/** Referer and agent, then whatever else the format adds. */
function putTrailer(p: usize, end: usize, ids: usize): bool {
  if (p < end && load<u8>(p) == 34) {
    let e = quoteEnd(p + 1, end)
    if (e == end) return false
    put(ids, 8, p + 1, e)
    p = e + 1
    if (p + 2 > end || load<u16>(p) != 0x2220) return false
    p += 2
    e = quoteEnd(p, end)
    if (e == end) return false
    put(ids, 9, p, e)
    p = e + 1
    if (p == end) return true
    if (load<u8>(p) != 32) return false
    p++
  }
  if (p < end) put(ids, 10, p, end)
  return true
}
