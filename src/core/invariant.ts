// Runs on: any.
// A broken invariant is a programming error: it stops the process, so that nothing wrong reaches the disk.

export class InvariantError extends Error {
  override readonly name = 'InvariantError'
}

/** Throws when `condition` is false. Stays on in production. */
export function invariant(condition: unknown, message: string): asserts condition {
  if (!condition) throw new InvariantError(message)
}

/** Ends a `switch` over a closed union: a new member breaks the build here. */
export function unreachable(value: never): never {
  throw new InvariantError(`unreachable value ${String(value)}`)
}
