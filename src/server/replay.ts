// Step 10. Runs on: main.
// Sends dead letters of an output again, by the way of every record: steps, render, flush. Ids stay what they were, so a
// second replay changes nothing where the destination knows ids. A letter that is stored leaves the log; one that is
// refused again stays.

import type { ReplayOutcome } from '../admin/status.ts'
import type { Clock } from '../core/clock.ts'
import { MillraceError } from '../core/errors.ts'
import type { Lane } from '../delivery/lane.ts'
import type { LaneCursor, LaneSource } from '../delivery/lane-source.ts'
import type { FrameHash } from '../storage/frame.ts'
import type { Storage } from '../storage/storage.ts'
import type { StoreIdentity } from '../storage/store-keys.ts'
import type { StoredLetter } from './letter-views.ts'
import type { ReplayEntry } from './replay-segment.ts'
import { replaySource, writeSegments } from './replay-source.ts'

export interface ReplayOptions {
  readonly storage: Storage
  readonly hash: FrameHash
  readonly store: StoreIdentity
  readonly clock: Clock
  /** For the files of the replay. */
  readonly directory: string
  /** A lane of the destination `<route>/<output>`; null: no such destination any more. */
  readonly lane: (
    destination: string,
    source: LaneSource,
    cursor: LaneCursor,
    signal: AbortSignal
  ) => Lane | null
  /** A letter was stored at the destination. */
  readonly onStored: (letter: StoredLetter) => void
}

/** A destination that does not answer ends the replay; what is left stays in the log. */
const REPLAY_MS_MAX = 300_000
const LOOK_MS = 20

export async function replayLetters(
  letters: readonly StoredLetter[],
  options: ReplayOptions
): Promise<ReplayOutcome> {
  let stored = 0
  const groups = Map.groupBy(
    letters,
    ({ letter }) => `${letter.route}/${letter.output} ${letter.shard}`
  )
  for (const group of groups.values()) stored += await replayGroup(group, options)
  return { matched: letters.length, stored, failed: letters.length - stored }
}

/** Letters of one destination and shard. */
async function replayGroup(
  group: readonly StoredLetter[],
  options: ReplayOptions
): Promise<number> {
  const first = group[0]?.letter
  if (first === undefined) return 0
  const { clock, storage } = options
  const entries = group
    .flatMap(({ letter }) => letter.members.map((member): ReplayEntry => ({ letter, member })))
    .sort((one, other) => one.member.offset - other.member.offset)
  const segments = writeSegments(entries, options)
  const limit = new AbortController()
  const cancel = clock.after(REPLAY_MS_MAX, () => limit.abort())
  try {
    const account = new ReplayAccount(group, options.onStored)
    const source = replaySource(segments, first.logId)
    const lane = options.lane(`${first.route}/${first.output}`, source, account, limit.signal)
    if (lane === null) {
      throw new MillraceError(
        'MR_USAGE',
        `route ${first.route} does not send to ${first.output} any more; add it again to replay`
      )
    }
    const running = lane.run()
    while (!account.isComplete && !limit.signal.aborted) {
      lane.wake()
      await clock.sleep(LOOK_MS)
    }
    limit.abort()
    await running
    return account.storedCount
  } finally {
    cancel()
    for (const { path } of segments) storage.unlink(path)
  }
}

/** Which letters are done; a letter is stored when all of its members are. */
class ReplayAccount implements LaneCursor {
  readonly lowOffset = 0
  readonly rangeCount = 0
  readonly passCount = 0
  readonly passReason = ''
  readonly #waiting = new Map<number, { letter: StoredLetter; left: Set<number> }>()
  readonly #onStored: (letter: StoredLetter) => void
  storedCount = 0

  constructor(letters: readonly StoredLetter[], onStored: (letter: StoredLetter) => void) {
    this.#onStored = onStored
    for (const letter of letters) {
      const left = new Set(letter.letter.members.map(({ offset }) => offset))
      for (const offset of left) this.#waiting.set(offset, { letter, left })
    }
  }

  get isComplete(): boolean {
    return this.#waiting.size === 0
  }

  finish: LaneCursor['finish'] = (first, end, fate) => {
    for (let offset = first; offset < end; offset++) {
      const waiting = this.#waiting.get(offset)
      if (waiting === undefined) continue
      this.#waiting.delete(offset)
      waiting.left.delete(offset)
      // Dropped by a step on purpose is done too: the configuration says so now.
      const isDone = fate.kind !== 'dead_lettered' && fate.kind !== 'lost'
      if (!isDone || waiting.left.size > 0) continue
      this.storedCount++
      this.#onStored(waiting.letter)
    }
  }

  has(): boolean {
    return false
  }

  finishedWithin(): readonly (readonly [number, number])[] {
    return []
  }
}
