// Step 1. Runs on: ingest.
// What journalctl is asked for.

import type { JournalPlace } from './cursor-file.ts'
import type { SystemdOptions } from './options.ts'

export function argumentsOf(
  { directory, units }: Pick<SystemdOptions, 'directory' | 'units'>,
  { cursor, sinceSeconds }: JournalPlace
): string[] {
  return [
    '--output=export',
    '--follow',
    // Else it begins ten entries before the end.
    '--no-tail',
    '--no-pager',
    // Else it writes a line between two boots into the export.
    '--quiet',
    ...(directory === null ? [] : [`--directory=${directory}`]),
    ...units.map((unit) => `--unit=${unit}`),
    ...placeOf(cursor, sinceSeconds)
  ]
}

function placeOf(cursor: string | null, sinceSeconds: number): string[] {
  if (cursor !== null) return [`--after-cursor=${cursor}`]
  return sinceSeconds > 0 ? [`--since=@${sinceSeconds}`] : []
}
