// Regular expressions that JavaScript runs. Classes that need no engine (literals, automata) join it here when they are built.

import { REGEX_TEXT_BYTES_MAX } from './limits'

@external('env', 'regexTest')
declare function regexTest(pattern: u32, text: usize, length: u32, isAscii: u32): u32

/** Groups' texts go to `room`, their places to `groups`; returns the end of the texts, 0: no match. */
@external('env', 'regexGroups')
declare function regexGroups(
  pattern: u32,
  text: usize,
  length: u32,
  isAscii: u32,
  groups: usize,
  room: usize
): usize

/** Decoding ASCII is much cheaper, and most lines are. */
function isAscii(p: usize, n: u32): u32 {
  const end = p + n
  while (p + 16 <= end) {
    if (i8x16.bitmask(v128.load(p))) return 0
    p += 16
  }
  const rest = <u32>(end - p)
  return i8x16.bitmask(v128.load(p)) & ((1 << rest) - 1) ? 0 : 1
}

export function regexOnKey(pattern: u32, text: usize, n: u32): bool {
  return regexTest(pattern, text, n, isAscii(text, n)) != 0
}

@inline
export function isTooLong(n: u32): bool {
  return n > REGEX_TEXT_BYTES_MAX
}

export function regexMatches(pattern: u32, text: usize, n: u32): bool {
  return regexTest(pattern, text, n, isAscii(text, n)) != 0
}

export function regexCaptures(pattern: u32, text: usize, n: u32, groups: usize, room: usize): usize {
  return regexGroups(pattern, text, n, isAscii(text, n), groups, room)
}
