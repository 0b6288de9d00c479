// Ops that this version of the kernel refuses.
import { REASON_PROGRAM } from '../codes'
import { deadLetter } from './outcome'
export function opConvert(pc: usize): usize {
  return deadLetter(REASON_PROGRAM)
}
