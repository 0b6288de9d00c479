// The compiled unit: one line per file. Every file reads addresses that its caller has checked.

/** First address behind the constants of the module; everything below belongs to the compiler. */
export function firstFreeByte(): usize {
  return __heap_base
}
