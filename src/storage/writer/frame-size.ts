// Step 4. Runs on: ingest, main (dead letters).
// How long the payload of a frame with one group is, once the group is known to be one that a frame may hold.

import { invariant } from '../../core/invariant.ts'
import { FRAME_PAYLOAD_BYTES_MAX } from '../../core/limits.ts'
import { groupPrefixBytes } from '../format/frame.ts'
import type { AppendGroup } from './append.ts'

export function groupBytesOf(group: AppendGroup): number {
  invariant(group.recordCount > 0, 'append of a group without records')
  const groupBytes = groupPrefixBytes(group) + group.entries.length
  invariant(groupBytes <= FRAME_PAYLOAD_BYTES_MAX, 'append of a group above the frame cap')
  return groupBytes
}
