// Keys to numbers. Finding a field is one load, because an entry says which record had the key last and where; nothing
// is cleared between records. Ids 1..fixedCount are the program's, further ones are learned and forgotten when room ends.
//
// Entry, 32 bytes: first 8 key bytes | last 8 if longer than 8 | text u32, its length u16, rendered length u16 |
// generation u32, row u32. The rendered form (`"key":`, within JSON strings `\"key\":`) stands behind the text.

import { dictEntries, dictSlots, dictTexts, KEY_TEXT_BYTES, decisions } from './areas'
import { KEY_SETS_MAX } from './limits'
import { escape, putQuote } from './escape'

const IDS_MAX: u32 = 4096
const SLOTS: u32 = 16384
const P1: u64 = 0x9e3779b185ebca87
const P2: u64 = 0xc2b2ae3d27d4eb4f

let idCount: u32 = 0
let fixedCount: u32 = 0
let textEnd: usize = 0
let fixedTextEnd: usize = 0
/** Number of the record; entries that bear it have their row in this record. */
let generation: u32 = 1
/** Random per instance: senders choose keys, and must not choose collisions. */
let seed: u64 = 0
let isQuotedTwice: bool = false
/** How often the generation began anew; a program that slept meanwhile has stamps to clear. */
let wraps: u32 = 0

export function seedDictionary(value: u64): void {
  seed = value
}

@inline
export function entryOf(id: u32): usize {
  return dictEntries + (<usize>id << 5)
}

@inline
export function keyText(id: u32): usize {
  return load<u32>(entryOf(id), 16)
}

@inline
export function keyLength(id: u32): u32 {
  return load<u16>(entryOf(id), 20)
}

@inline
function firstBytes(p: usize, n: u32): u64 {
  const v = load<u64>(p)
  return n < 8 ? v & ((<u64>1 << (n << 3)) - 1) : v
}

@inline
function hashOf(a: u64, b: u64, p: usize, n: u32): u32 {
  let h = ((a ^ seed) * P1) ^ (rotl(b, 29) * P2) ^ n
  if (n > 16) {
    for (let i: u32 = 8; i + 8 < n; i += 8) h = (rotl(h, 31) ^ load<u64>(p + i)) * P1
  }
  h ^= h >> 32
  h *= P1
  return <u32>(h >> 40) & (SLOTS - 1)
}

/** Id of a key of at most KEY_BYTES_MAX bytes; 0: no room, flushDictionary and begin the record again. */
export function intern(p: usize, n: u32): u32 {
  const a = firstBytes(p, n)
  const b = n > 8 ? load<u64>(p + n - 8) : 0
  let slot = hashOf(a, b, p, n)
  while (true) {
    const id: u32 = load<u16>(dictSlots + (slot << 1))
    if (!id) break
    const e = entryOf(id)
    if (
      load<u64>(e) == a &&
      load<u64>(e, 8) == b &&
      <u32>load<u16>(e, 20) == n &&
      (n <= 16 || memory.compare(load<u32>(e, 16), p, n) == 0)
    )
      return id
    slot = (slot + 1) & (SLOTS - 1)
  }
  return learn(p, n, a, b, slot)
}

/**
 * Whether the JSON key whose content begins at `p` is that of the id: compared as it stands, quote included, so that it
 * need not be scanned. Only for short keys whose rendered form is plain, or a quote within could end it.
 */
@inline
export function isJsonKey(id: u32, p: usize, end: usize): bool {
  if (id - 1 >= idCount) return false
  const e = entryOf(id)
  const n: u32 = load<u16>(e, 20)
  if (n > 16 || <u32>load<u16>(e, 22) != n + (isQuotedTwice ? 5 : 3)) return false
  if (p + n >= end || load<u8>(p + n) != 34 || firstBytes(p, n) != load<u64>(e)) return false
  return n <= 8 || load<u64>(p + n - 8) == load<u64>(e, 8)
}

/** Id of a key that the program names, or 0. */
export function findFixed(p: usize, n: u32): u32 {
  const a = firstBytes(p, n)
  const b = n > 8 ? load<u64>(p + n - 8) : 0
  let slot = hashOf(a, b, p, n)
  while (true) {
    const id: u32 = load<u16>(dictSlots + (slot << 1))
    if (!id) return 0
    if (id <= fixedCount && keyLength(id) == n && memory.compare(keyText(id), p, n) == 0) return id
    slot = (slot + 1) & (SLOTS - 1)
  }
}

function learn(p: usize, n: u32, a: u64, b: u64, slot: u32): u32 {
  // Worst case of the rendered form: seven bytes per byte, quotes and colon; plus overshoot.
  if (idCount + 1 >= IDS_MAX || textEnd + n + n * 7 + 64 > dictTexts + KEY_TEXT_BYTES) return 0
  const id = ++idCount
  const e = entryOf(id)
  memory.copy(textEnd, p, n)
  const rendered = textEnd + n
  let o = isQuotedTwice
    ? putQuote<u16>(escape<u16>(putQuote<u16>(rendered), textEnd, n))
    : putQuote<u8>(escape<u8>(putQuote<u8>(rendered), textEnd, n))
  store<u8>(o++, 58)
  store<u64>(e, a)
  store<u64>(e, b, 8)
  store<u32>(e, <u32>textEnd, 16)
  store<u16>(e, <u16>n, 20)
  store<u16>(e, <u16>(o - rendered), 22)
  store<u64>(e, 0, 24)
  textEnd = (o + 31) & ~15
  store<u16>(dictSlots + (slot << 1), <u16>id)
  return id
}

/** Begins the dictionary of a program that is loaded; its keys are interned next, then sealDictionary. */
export function clearDictionary(quotedTwice: bool): void {
  idCount = 0
  textEnd = dictTexts
  isQuotedTwice = quotedTwice
  memory.fill(dictSlots, 0, SLOTS * 2)
}

export function sealDictionary(): void {
  fixedCount = idCount
  fixedTextEnd = textEnd
}

export function dictionaryHasLearned(): bool {
  return idCount > fixedCount
}

/** Forgets learned keys. Only between records, or when the record begins again. */
export function flushDictionary(): void {
  idCount = fixedCount
  textEnd = fixedTextEnd
  memory.fill(dictSlots, 0, SLOTS * 2)
  for (let id: u32 = 1; id <= idCount; id++) {
    const e = entryOf(id)
    let slot = hashOf(load<u64>(e), load<u64>(e, 8), load<u32>(e, 16), load<u16>(e, 20))
    while (load<u16>(dictSlots + (slot << 1))) slot = (slot + 1) & (SLOTS - 1)
    store<u16>(dictSlots + (slot << 1), <u16>id)
  }
  for (let set: u32 = 0; set < KEY_SETS_MAX; set++) {
    memory.fill(decisions + set * IDS_MAX + idCount + 1, 0, IDS_MAX - idCount - 1)
  }
}

/** What the face keeps of a program's dictionary while another program runs. */
export function dictionaryState(which: u32): u32 {
  switch (which) {
    case 0:
      return idCount
    case 1:
      return fixedCount
    case 2:
      return <u32>(textEnd - dictTexts)
    case 3:
      return <u32>(fixedTextEnd - dictTexts)
  }
  return wraps
}

export function restoreDictionary(
  ids: u32,
  fixedIds: u32,
  textBytes: u32,
  fixedTextBytes: u32,
  wrapsThen: u32,
  quotedTwice: bool
): void {
  idCount = ids
  fixedCount = fixedIds
  textEnd = dictTexts + textBytes
  fixedTextEnd = dictTexts + fixedTextBytes
  isQuotedTwice = quotedTwice
  if (wrapsThen != wraps) clearStamps()
}

/** For tests of the wrap. */
export function setGeneration(value: u32): void {
  generation = value
}

/** Begins a record. At the wrap every stamp is cleared, so that no field of an old record appears. */
@inline
export function nextGeneration(): void {
  if (++generation == 0) {
    clearStamps()
    generation = 1
    wraps++
  }
}

function clearStamps(): void {
  for (let id: u32 = 1; id <= idCount; id++) store<u64>(entryOf(id), 0, 24)
}

/** Row of the key in this record, or 0. */
@inline
export function rowOf(id: u32): usize {
  const e = entryOf(id)
  return load<u32>(e, 24) == generation ? <usize>load<u32>(e, 28) : 0
}

@inline
export function stamp(id: u32, row: usize): void {
  const e = entryOf(id)
  store<u32>(e, generation, 24)
  store<u32>(e, <u32>row, 28)
}

@inline
export function unstamp(id: u32): void {
  store<u32>(entryOf(id), 0, 24)
}

/** Whether the rendered keys are within a JSON string. */
@inline
export function areKeysQuotedTwice(): bool {
  return isQuotedTwice
}

@inline
export function renderedKey(id: u32): usize {
  const e = entryOf(id)
  return <usize>load<u32>(e, 16) + load<u16>(e, 20)
}

@inline
export function renderedKeyLength(id: u32): u32 {
  return load<u16>(entryOf(id), 22)
}
