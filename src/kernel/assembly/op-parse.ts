// Ops that this version of the kernel refuses.
import { REASON_PROGRAM } from '../codes'
import { deadLetter } from './outcome'
export function opParseAccess(pc: usize): usize {
  return deadLetter(REASON_PROGRAM)
}
export function opParseJson(pc: usize): usize {
  return deadLetter(REASON_PROGRAM)
}
export function opParseRegex(pc: usize): usize {
  return deadLetter(REASON_PROGRAM)
}
export function opParseTime(pc: usize): usize {
  return deadLetter(REASON_PROGRAM)
}
