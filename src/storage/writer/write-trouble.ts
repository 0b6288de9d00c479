// Step 4. Runs on: ingest, main (dead letters).
// What an error of the disk says about a shard.

import { errnoOf } from '../../core/errors.ts'
import type { ShardState } from '../../threads/shared.ts'
import type { OpenSegment } from '../format/segment-file.ts'
import { isNoRoom } from './frame-writer.ts'

export function stateAfter(error: unknown): ShardState {
  if (isNoRoom(error)) return 'full'
  return errnoOf(error) === 'EROFS' ? 'read_only' : 'failed'
}

export function deletedError(segment: OpenSegment): Error {
  const error: NodeJS.ErrnoException = new Error(`${segment.path} was deleted while in use`)
  error.code = 'ENOENT'
  return error
}
