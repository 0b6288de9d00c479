// Step 7. Runs on: any.
// Names of the kernel's numbers, as metrics and dead letters show them.

import * as codes from './codes.ts'
import type { EntryFate, JoinAnswer, RunStop } from './render-face.ts'

const COUNTER_NAMES: Readonly<Record<number, string>> = {
  [codes.COUNT_IN]: 'in',
  [codes.COUNT_DROPPED]: 'dropped',
  [codes.COUNT_CHANGED]: 'changed',
  [codes.COUNT_DEAD_LETTER]: 'dead_letter',
  [codes.REASON_MISSING_FIELD]: 'missing_field',
  [codes.REASON_NOT_TEXT]: 'not_text',
  [codes.REASON_NO_MATCH]: 'no_match',
  [codes.REASON_BAD_JSON]: 'bad_json',
  [codes.REASON_NOT_OBJECT]: 'not_object',
  [codes.REASON_CONVERSION_FAILED]: 'conversion_failed',
  [codes.REASON_BAD_TIME]: 'bad_time',
  [codes.REASON_TIME_RANGE]: 'time_range',
  [codes.REASON_ARENA]: 'arena',
  [codes.REASON_TOO_MANY_FIELDS]: 'too_many_fields',
  [codes.REASON_TOO_LARGE]: 'too_large',
  [codes.REASON_NESTING]: 'nesting',
  [codes.REASON_NOT_A_RECORD]: 'not_a_record',
  [codes.REASON_EMPTY]: 'empty',
  [codes.REASON_TEMPLATE_MISSING]: 'template_missing',
  [codes.REASON_JAVASCRIPT]: 'javascript',
  [codes.REASON_TEXT_TOO_LONG]: 'text_too_long',
  [codes.REASON_INVALID_UTF8]: 'invalid_utf8',
  [codes.REASON_PROGRAM]: 'program',
  [codes.REASON_STEP]: 'step',
  [codes.REASON_DICTIONARY_RESET]: 'dictionary_reset'
}

/** Name of a counter or reason below `codes.REASON_TARGET`; '' for one that is not in use. */
export function counterName(counter: number): string {
  return COUNTER_NAMES[counter] ?? ''
}

/** By verdict number. */
export const FATES: readonly EntryFate[] = ['out', 'dropped', 'dead_letter', 'held', 'finished']

/** By stop number. */
export const STOPS: readonly RunStop[] = ['end', 'full', 'join', 'tables', 'damaged']

export const JOIN_ANSWERS: Readonly<Record<JoinAnswer, number>> = {
  pass: codes.JOIN_PASS,
  stop: codes.JOIN_STOP,
  held: codes.JOIN_HELD,
  held_stop: codes.JOIN_HELD | codes.JOIN_STOP
}
