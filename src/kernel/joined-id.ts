// Step 7. Runs on: any.
// A joined record's id covers its members: two groupings of the same lines are two documents and never one that hides
// the other.

import { createHash } from 'node:crypto'

/** Four base64url characters over the position ids (18 bytes each, in member order) of a joined record. */
export function joinedIdSuffix(positions: Uint8Array): string {
  return createHash('sha256').update(positions).digest().subarray(0, 3).toString('base64url')
}
