// Ops that this version of the kernel refuses.
import { REASON_PROGRAM } from '../codes'
import { deadLetter } from './outcome'
export function opCompare(pc: usize): usize {
  return deadLetter(REASON_PROGRAM)
}
export function opExists(pc: usize): usize {
  return deadLetter(REASON_PROGRAM)
}
export function opMatch(pc: usize): usize {
  return deadLetter(REASON_PROGRAM)
}
export function opRegex(pc: usize): usize {
  return deadLetter(REASON_PROGRAM)
}
export function opTypeIs(pc: usize): usize {
  return deadLetter(REASON_PROGRAM)
}
