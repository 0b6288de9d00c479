// Where things lie in the memory of a render instance. Hot tables are static, so their addresses are constants of the
// code; large areas are reserved by the face and told once. All of them have a tail that vector code may touch.

import { KEY_SETS_MAX, STEPS_MAX } from '../codes'

/** Memory that steps make bytes in; reset by one store for each record. */
export let arena: usize = 0
export let arenaEnd: usize = 0
/** First free byte of the arena, 16-byte aligned. */
export let arenaTop: usize = 0

/** Area of the rendered records that nobody has taken yet. */
let outputArea: usize = 0
/** Where the first record of the task would stand: before the area when records were taken. */
export let output: usize = 0
/** The first byte that records may not use. */
export let outputEnd: usize = 0

/** 40 bytes per rendered record, see emit.ts. */
export let rowIndex: usize = 0
/** 16 bytes per run of verdicts, see verdicts.ts. */
export let verdictRuns: usize = 0
/** Pairs of u64: finished ranges of offsets. */
export let finishedRanges: usize = 0
/** Targets of the task: entries and their texts, see target.ts. */
export let targets: usize = 0

export const VERDICT_RUNS_MAX: u32 = 65536
export const ROW_INDEX_BYTES: u32 = 40
export const TARGETS_MAX: u32 = 4096
export const TARGET_BYTES: u32 = 32
export const TARGET_AREA_BYTES: u32 = 4 << 20

// One slot of a loaded program.
const PROGRAM_BYTES: usize = 524288 + 64
const COUNTER_BYTES: usize = STEPS_MAX * 32 * 8
/** A byte per key set and key id: 0 not decided, 1 in the set, 2 not. */
const DECISION_BYTES: usize = KEY_SETS_MAX * 4096
const ENTRY_BYTES: usize = 4096 * 32
const SLOT_BYTES: usize = 16384 * 2
export const KEY_TEXT_BYTES: usize = 262144

/** The program in use; addresses in its words are relative to this. */
export let program: usize = 0
export let code: usize = 0
export let counters: usize = 0
export let decisions: usize = 0
export let dictEntries: usize = 0
export let dictSlots: usize = 0
export let dictTexts: usize = 0

export function programSlotBytes(): usize {
  return PROGRAM_BYTES + COUNTER_BYTES + DECISION_BYTES + ENTRY_BYTES + SLOT_BYTES + KEY_TEXT_BYTES + 64
}

export function programCounters(slot: usize): usize {
  return slot + PROGRAM_BYTES
}

/** Makes the program of a slot the one in use: a few base addresses, nothing else. */
export function useSlot(slot: usize): void {
  program = slot
  code = slot + <usize>load<u32>(slot, 8)
  counters = slot + PROGRAM_BYTES
  decisions = counters + COUNTER_BYTES
  dictEntries = decisions + DECISION_BYTES
  dictSlots = dictEntries + ENTRY_BYTES
  dictTexts = dictSlots + SLOT_BYTES
}

/** Forgets what the slot's program before has counted and decided. */
export function clearSlot(): void {
  memory.fill(counters, 0, COUNTER_BYTES + DECISION_BYTES)
}

export function renderAreas(
  arenaStart: usize,
  arenaBytes: usize,
  outputStart: usize,
  index: usize,
  runs: usize,
  finished: usize,
  targetArea: usize
): void {
  arena = arenaStart
  arenaEnd = arenaStart + arenaBytes
  arenaTop = arenaStart
  outputArea = outputStart
  rowIndex = index
  verdictRuns = runs
  finishedRanges = finished
  targets = targetArea
}

export function resetOutput(byteCount: usize): void {
  output = outputArea
  outputEnd = outputArea + byteCount
}

/** What stands up to `top` was taken: the next record goes to the start of the area. */
export function shiftOutput(top: usize): usize {
  const taken = top - outputArea
  output -= taken
  outputEnd -= taken
  return outputArea
}

@inline
export function resetArena(): void {
  arenaTop = arena
}

/** Whether `n` more bytes (and a vector's overshoot) fit into the arena. */
@inline
export function hasRoom(n: u64): bool {
  return <u64>arenaTop + n + 64 <= <u64>arenaEnd
}

/** Takes what was written up to `end`. */
@inline
export function takeArena(end: usize): void {
  arenaTop = (end + 31) & ~15
}
