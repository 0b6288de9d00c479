// Step 7. Runs on: any.
// V8's regular expressions backtrack, and `^(a+)+$` on thirty letters takes half a minute. With these flags a match that
// backtracks too often goes on in a linear engine; results stay the same. Patterns that the linear engine cannot run
// (look-around, back-references) are refused by configuration where they repeat groups (core/pattern.ts).

import { setFlagsFromString } from 'node:v8'

/** Steps back before the linear engine takes over; ordinary log patterns stay far below. */
const BACKTRACKS_MAX = 20_000

/** Holds for the whole process, for patterns compiled afterwards. */
export function boundPatternTime(): void {
  setFlagsFromString('--enable-experimental-regexp-engine-on-excessive-backtracks')
  setFlagsFromString(`--regexp-backtracks-before-fallback=${BACKTRACKS_MAX}`)
}
