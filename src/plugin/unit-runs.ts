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

export function entryRuns(
  unit: ScanUnit,
  bytes: Buffer,
  tag: Buffer,
  ingestId: Buffer | null
): Run[] {
  const runs: Run[] = []
  for (let span = 0; span < unit.spanCount; span++) {
    const entries = bytes.subarray(unit.spanStartByte(span), unit.spanEndByte(span))
    const markerStart = unit.spanMarkerStartByte(span)
    const markerEnd = unit.spanMarkerEndByte(span)
    runs.push({
      tag,
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
