// Ops that this version of the kernel refuses.
import { REASON_PROGRAM } from '../codes'
import { deadLetter } from './outcome'
export function opLeaveJs(pc: usize): usize {
  return deadLetter(REASON_PROGRAM)
}
