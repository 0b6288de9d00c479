// What the render face calls: areas, programs, tasks.

import { clearSlot, renderAreas, programCounters, programSlotBytes, resetOutput, useSlot } from './areas'
import {
  clearDictionary,
  dictionaryState,
  intern,
  restoreDictionary,
  sealDictionary,
  seedDictionary,
  setGeneration
} from './dictionary'
import { badTimes, resetBadTimes } from './entry'
import { initEscape, invalidBytes, resetInvalidBytes } from './escape'
import { beginOutput, emittedCount, outputTop, takeOutput } from './emit'
import { initGroup, setShard } from './group'
import { MAILBOX } from './mailbox'
import { initNumbers } from './number'
import { joinPlace, setOpenGroups } from './op-join'
import {
  beginFrame,
  beginRun,
  joinedReason,
  resumeOffset,
  runFrame,
  runJoined,
  setFinished,
  setJoinedPlace
} from './run'
import { forgetTimes } from './strptime'
import { resetTargets, takeTargetBytes, targetCount, targetEntry } from './target'
import { resetVerdicts, verdictRunCount } from './verdicts'

export {
  beginFrame,
  dictionaryState,
  intern as internKey,
  joinedReason,
  joinPlace,
  programCounters,
  programSlotBytes,
  renderAreas,
  restoreDictionary,
  resumeOffset,
  runFrame,
  runJoined,
  sealDictionary,
  setFinished,
  setGeneration,
  setJoinedPlace,
  setOpenGroups,
  setShard,
  takeOutput,
  takeTargetBytes,
  targetEntry
}

export function initRender(seed: u64): void {
  seedDictionary(seed)
  initEscape()
  initNumbers()
  initGroup()
}

/** Begins the dictionary of a program that was copied into a slot. Its keys are interned next, in the order of their ids. */
export function loadSlot(slot: usize): void {
  useSlot(slot)
  clearDictionary(load<u32>(slot, 56) != 0)
  clearSlot()
}

export { useSlot }

/** Begins a task of the program in use. */
export function beginTask(outputBytes: usize, rowsMax: u32): void {
  resetOutput(outputBytes)
  beginOutput(rowsMax)
  beginRun()
  resetTargets()
  forgetTimes()
  resetVerdicts()
  resetBadTimes()
  resetInvalidBytes()
  setFinished(0, 0)
}

export function renderedEnd(): usize {
  return outputTop
}

export function renderedCount(): u32 {
  return emittedCount
}

export function verdictCount(): u32 {
  return verdictRunCount
}

export function targetsMade(): u32 {
  return targetCount
}

export function badTimeCount(): u64 {
  return badTimes
}

export function invalidByteCount(): u64 {
  return invalidBytes
}

/** Words that JavaScript and the kernel leave for each other within one call. */
export function mailbox(): usize {
  return MAILBOX
}
