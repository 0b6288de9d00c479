// Step 3. Runs on: ingest.
// Entries of a scan as runs for the appender, and what is left of a body beside them. Views: good while the bytes stand.

import type { ScanUnit } from '../kernel/scan-unit.ts'
import type { Run } from './input.ts'

/** What lies between the valid entries, or the whole message when it is none. */
export function refusedBytes(unit: ScanUnit, bytes: Buffer): Buffer {
  if (unit.kind !== 'entries') return bytes.subarray(unit.startByte, unit.endByte)
  const gaps: Buffer[] = []
  let start = unit.bodyStartByte
  for (let span = 0; span < unit.spanCount; span++) {
    gaps.push(bytes.subarray(start, unit.spanStartByte(span)))
    start = unit.spanEndByte(span)
  }
  gaps.push(bytes.subarray(start, unit.bodyEndByte))
  return Buffer.concat(gaps)
}

/**
 * Runs of the valid entries. `tagOf` makes the tag of a batch that stood in the place of an entry; the
 * others have `tag`.
 */
export function entryRuns(
  unit: ScanUnit,
  bytes: Buffer,
  tag: Buffer,
  ingestId: Buffer | null,
  tagOf: (received: Buffer) => Buffer
): Run[] {
  const runs: Run[] = []
  for (let span = 0; span < unit.spanCount; span++) {
    const tagStart = unit.spanTagStartByte(span)
    const entries = bytes.subarray(unit.spanStartByte(span), unit.spanEndByte(span))
    const markerStart = unit.spanMarkerStartByte(span)
    const markerEnd = unit.spanMarkerEndByte(span)
    runs.push({
      tag:
        tagStart === 0
          ? tag
          : tagOf(bytes.subarray(tagStart, tagStart + unit.spanTagByteCount(span))),
      form: 1,
      entries:
        markerStart === markerEnd
          ? entries
          : Buffer.concat([bytes.subarray(markerStart, markerEnd), entries]),
      recordCount: unit.spanRecordCount(span),
      ingestId,
      hasIngestIds: ingestId !== null,
      minTimeSeconds: unit.minSeconds,
      maxTimeSeconds: unit.maxSeconds
    })
  }
  return runs
}

/** Runs of one tag side by side, each list a message of its own for the appender. */
export function runsByTag(runs: readonly Run[]): Run[][] {
  const lists: Run[][] = []
  let last: Run | undefined
  for (const run of runs) {
    if (last !== undefined && Buffer.compare(last.tag, run.tag) === 0) lists.at(-1)?.push(run)
    else lists.push([run])
    last = run
  }
  return lists
}
