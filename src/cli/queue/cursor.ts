// Runs on: main.
// `millrace queue cursor get`: what a destination has finished, as the files of its cursors say.

import { MillraceError } from '../../core/errors.ts'
import { type CursorView, listShardView, type ShardView } from '../../storage/inspect/shard.ts'
import { shardsOfLog } from '../../storage/inspect/store.ts'
import type { CliIo } from '../io.ts'
import type { DirectoryOptions } from '../options.ts'
import { table } from '../table.ts'
import { openDirectory } from './directory.ts'

interface CursorOptions extends DirectoryOptions {
  readonly json?: boolean
}

/** A cursor as JSON; null where its file cannot be read. */
export function cursorJson({ content, output }: CursorView) {
  if (content === null) return { output, isReadable: false as const }
  const { counts, generation, low, origin, ranges } = content
  return {
    output,
    isReadable: true as const,
    generation,
    /** First offset that was ever the destination's business. */
    origin,
    /** Every offset below is finished. */
    low,
    /** Finished ranges above: first offset, and the offset behind the last. */
    ranges,
    counts: Object.fromEntries(counts)
  }
}

export async function cursorGet(
  route: string,
  destination: string,
  options: CursorOptions,
  io: CliIo
): Promise<void> {
  const view = await openDirectory(options, io)
  const found = shardsOfLog(view, route).flatMap((path) => {
    const shard = listShardView(view, path)
    const cursor = shard.cursors.find(({ output }) => output === destination)
    return cursor === undefined ? [] : [{ shard, cursor }]
  })
  if (found.length === 0) {
    throw new MillraceError('MR_USAGE', `"${route}" has no destination "${destination}"`)
  }
  if (options.json === true) {
    const cursors = found.map(({ cursor, shard }) => ({ shard: shard.path, ...cursorJson(cursor) }))
    io.out(`${JSON.stringify(cursors, null, 2)}\n`)
    return
  }
  for (const { cursor, shard } of found) io.out(cursorText(shard, cursor))
}

function cursorText(shard: ShardView, { content, output }: CursorView): string {
  const head = `${shard.path} ${output}\n`
  if (content === null)
    return `${head}  cannot be read: delivery begins again at the oldest record\n`
  const { counts, generation, low, origin, ranges } = content
  const above = ranges.reduce((sum, [first, end]) => sum + end - first, 0)
  const rows = [...counts].map(([name, { bytes, records }]) => [`  ${name}`, records, bytes])
  return [
    head,
    `  began at ${origin}, finished below ${low}, ${above} more in ${ranges.length} ranges above`,
    ` (generation ${generation})\n`,
    rows.length === 0 ? '' : table(['  OUTCOME', 'RECORDS', 'BYTES'], rows)
  ].join('')
}
