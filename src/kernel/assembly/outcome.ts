// What became of a record in its steps.

import { COUNT_DEAD_LETTER, COUNT_DROPPED } from '../codes'
import { count } from './counters'

export const OUTCOME_OUT: u32 = 0
export const OUTCOME_DROPPED: u32 = 1
export const OUTCOME_DEAD: u32 = 2
/** The join took the entry; it took it and the run stops; the run stops before the entry. */
export const OUTCOME_HELD: u32 = 3
export const OUTCOME_HELD_STOP: u32 = 4
export const OUTCOME_STOP: u32 = 5
/** The dictionary is full: flush it and run the record again. */
export const OUTCOME_RESTART: u32 = 6

export let outcome: u32 = 0
export let outcomeStep: u32 = 0
export let outcomeReason: u32 = 0
/** Step of the op that runs. */
export let step: u32 = 0

@inline
export function setStep(value: u32): void {
  step = value
}

/** Ends the record's steps; what ops return instead of the place of the next op. */
export function end(kind: u32, reason: u32): usize {
  outcome = kind
  outcomeStep = step
  outcomeReason = reason
  return 0
}

export function drop(reason: u32): usize {
  count(step, COUNT_DROPPED)
  return end(OUTCOME_DROPPED, reason)
}

export function deadLetter(reason: u32): usize {
  count(step, COUNT_DEAD_LETTER)
  return end(OUTCOME_DEAD, reason)
}

@inline
export function restart(): usize {
  return end(OUTCOME_RESTART, 0)
}
