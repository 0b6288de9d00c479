// Step 10. Runs on: main.
// Entries that are in no shard of their route any more, as a lane reads them: written to short-lived segments below
// `spool/`, which the next start empties.

import { join } from 'node:path'
import type { LaneSource } from '../../delivery/lane-source.ts'
import type { FrameHash } from '../../storage/format/frame.ts'
import type { StoreIdentity } from '../../storage/format/store-keys.ts'
import type { Storage } from '../../storage/storage.ts'
import type { FrameRef } from '../../threads/messages.ts'
import { type ReplayEntry, type ReplaySegment, writeReplaySegment } from './segment.ts'

/** Where the files lie, and what guards them. */
export interface ReplayPlace {
  readonly storage: Storage
  readonly hash: FrameHash
  readonly store: StoreIdentity
  readonly directory: string
}

/** Names are not used twice in a process. */
let fileCount = 0

/** Removes what a process left that was killed. */
export function emptySpool({ directory, storage }: Pick<ReplayPlace, 'directory' | 'storage'>) {
  if (storage.stat(directory) === null) return
  for (const name of storage.readdir(directory)) {
    if (/^replay-.*\.seg$/.test(name)) storage.unlink(join(directory, name))
  }
}

/** One file per epoch: frames of a segment share it. */
export function writeSegments(
  entries: readonly ReplayEntry[],
  { directory, hash, storage, store }: ReplayPlace
): ReplaySegment[] {
  const byEpoch = [...Map.groupBy(entries, ({ letter }) => letter.epoch).values()]
  storage.mkdir(directory)
  return byEpoch.map((ofEpoch, ordinal) => {
    const path = join(directory, `replay-${process.pid}-${++fileCount}.seg`)
    return writeReplaySegment({ storage, hash, store, path, ordinal }, ofEpoch)
  })
}

export function replaySource(segments: readonly ReplaySegment[], logId: Uint8Array): LaneSource {
  const queue: FrameRef[] = segments
    .flatMap(({ frames }) => frames)
    .sort((one, other) => one.firstOffset - other.firstOffset)
  return {
    logId,
    // Nothing comes after the entries: open groups close.
    watermarkMs: Number.MAX_SAFE_INTEGER,
    judge: (firstOffset, endOffset) => [
      { kind: 'hole', firstOffset, endOffset, reason: 'corrupt' }
    ],
    next() {
      const frame = queue.shift()
      return frame === undefined ? null : { kind: 'frame', frame }
    },
    segment(ordinal) {
      const segment = segments[ordinal]
      if (segment === undefined) throw new Error(`segment ${ordinal} of a replay`)
      const { epoch, firstOffset, path, salt } = segment
      return { path, salt, epoch, firstOffset }
    }
  }
}
