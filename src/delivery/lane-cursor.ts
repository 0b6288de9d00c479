// Step 9. Runs on: main.
// The cursor of a destination as its lane writes it: fates of records become outcomes with a count each.

import type { Cursor, Outcome } from '../storage/cursor/cursor.ts'
import type { LaneCursor } from './lane-source.ts'
import type { Fate } from './task-settlement.ts'

/** A cursor as a lane writes it. `reservedCount`: ranges that are left to other lanes of the same cursor. */
export function laneCursor(cursor: Cursor, reservedCount = () => 0): LaneCursor {
  return {
    get lowOffset() {
      return cursor.lowOffset
    },
    get rangeCount() {
      return cursor.ranges.length + reservedCount()
    },
    get passCount() {
      return cursor.passCount
    },
    get passReason() {
      return cursor.passReason
    },
    has: (offset) => cursor.has(offset),
    finish(first, end, fate) {
      cursor.finish(first, end, outcomeOf(fate))
    },
    finishedWithin(first, end) {
      const finished: [number, number][] = []
      let next = first
      for (const [missingFirst, missingEnd] of cursor.missing(first, end)) {
        if (missingFirst > next) finished.push([next, missingFirst])
        next = missingEnd
      }
      if (end > next) finished.push([next, end])
      return finished
    }
  }
}

export function outcomeOf(fate: Fate): Outcome {
  switch (fate.kind) {
    case 'delivered':
      return 'delivered'
    case 'duplicate':
      return 'duplicate_suppressed'
    case 'dead_lettered':
      return 'dead_lettered'
    case 'moved':
      return 'moved'
    case 'dropped':
      return `dropped:${fate.reason}`
    case 'lost':
      // Offsets that were never given to anybody are no loss.
      return fate.reason === 'unacked' ? 'void' : `lost:${fate.reason}`
  }
}
