// The op that converts a field.

import { REASON_CONVERSION_FAILED } from '../codes'
import { program } from './areas'
import { convertRow } from './convert'
import { count } from './counters'
import { rowOf } from './dictionary'
import { step } from './outcome'

/** id, type, time format, zone seconds */
export function opConvert(pc: usize): usize {
  const row = rowOf(load<u32>(pc, 4))
  if (row) {
    const format = program + <usize>load<u32>(pc, 12)
    if (!convertRow(row, load<u32>(pc, 8), format, load<i32>(pc, 16))) count(step, REASON_CONVERSION_FAILED)
  }
  return pc + 20
}
