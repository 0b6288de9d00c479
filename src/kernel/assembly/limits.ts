// Limits of codes.ts as unsigned numbers: comparing with a plain constant would be signed.

import {
  FIELD_PATH as FIELD_PATH_BIT,
  JSON_NESTING_MAX as JSON_DEPTH,
  KEY_BYTES_MAX as KEY_BYTES,
  KEY_SETS_MAX as KEY_SETS,
  NESTING_MAX as DEPTH,
  REGEX_TEXT_BYTES_MAX as REGEX_BYTES,
  ROWS_MAX as ROWS
} from '../codes'

export const FIELD_PATH: u32 = <u32>FIELD_PATH_BIT
export const JSON_NESTING_MAX: u32 = JSON_DEPTH
export const KEY_BYTES_MAX: u32 = KEY_BYTES
export const KEY_SETS_MAX: u32 = KEY_SETS
export const NESTING_MAX: u32 = DEPTH
export const REGEX_TEXT_BYTES_MAX: u32 = REGEX_BYTES
export const ROWS_MAX: u32 = ROWS
