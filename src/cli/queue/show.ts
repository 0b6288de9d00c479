// Runs on: main.
// `millrace queue show`: one queue from its files: shards, segments, cursors with what they lack. Every segment is opened
// for its header and footer, the last one is read whole.

import { formatBytes } from '../../core/units.ts'
import { accountOf } from '../../storage/cursor/account.ts'
import { SEGMENT_HEADER } from '../../storage/format/layout.ts'
import { decodeSegmentHeader } from '../../storage/format/segment-file.ts'
import { appendTimeAt } from '../../storage/inspect/records.ts'
import {
  type CursorView,
  listShardView,
  openShardView,
  type ReadableShard,
  type ShardView
} from '../../storage/inspect/shard.ts'
import {
  type LogPolicy,
  policyOf,
  type StoreView,
  shardsOfLog
} from '../../storage/inspect/store.ts'
import { type Checked, verifyShard } from '../../storage/inspect/verify.ts'
import { readFooter } from '../../storage/reader/segment-scan.ts'
import type { CliIo } from '../io.ts'
import type { DirectoryOptions } from '../options.ts'
import { table } from '../table.ts'
import { cursorJson } from './cursor.ts'
import { openDirectory } from './directory.ts'

interface ShowOptions extends DirectoryOptions {
  readonly json?: boolean
}

export async function show(route: string, options: ShowOptions, io: CliIo): Promise<void> {
  const view = await openDirectory(options, io)
  const nowMs = Date.now()
  const shards = shardsOfLog(view, route).map((path) => shardJson(view, path, nowMs))
  if (options.json === true) io.out(`${JSON.stringify(shards, null, 2)}\n`)
  else for (const shard of shards) io.out(shardText(shard))
}

interface SegmentJson {
  readonly file: string
  readonly epoch: number
  readonly firstOffset: number
  readonly endOffset: number | null
  readonly bytes: number
  /** `sealed`: closed with a footer; `open`: without one, after a kill; `last`: the newest one. */
  readonly state: 'sealed' | 'open' | 'last'
  readonly createdMs: number | null
  /** Of its records, by their footer. */
  readonly minTimeMs: number | null
  readonly maxTimeMs: number | null
  readonly isDamaged: boolean
}

type CursorJson = ReturnType<typeof cursorJson> & {
  readonly pendingRecords: number | null
  /** By the sizes of the segments; records within one count alike. */
  readonly pendingBytesAbout: number | null
  readonly oldestPendingMs: number | null
  readonly lagMs: number | null
}

type ArchivedJson = ReturnType<typeof cursorJson> & {
  readonly file: string
  readonly removedMs: number
}

interface ShardJson {
  readonly path: string
  /** Null: META cannot be read, so nothing in the segments can be checked. */
  readonly endOffset: number | null
  readonly segments: readonly SegmentJson[]
  readonly durability: LogPolicy
  readonly cursors: readonly CursorJson[]
  /** Of destinations that the route no longer has. */
  readonly archived: readonly ArchivedJson[]
  readonly superseded: readonly string[]
  readonly unknown: readonly string[]
}

function shardJson(view: StoreView, path: string, nowMs: number): ShardJson {
  const shard = view.meta === null ? null : openShardView(view, path)
  const { archived, cursors, listing, log } = shard ?? listShardView(view, path)
  try {
    return {
      path,
      endOffset: shard?.segments.endOffset ?? null,
      durability: policyOf(view, log),
      segments: shard === null ? listedSegments(listing.live) : segmentsOf(shard),
      cursors: cursors.map((cursor) => ({ ...cursorJson(cursor), ...lagOf(shard, cursor, nowMs) })),
      archived: archived.map((cursor) => {
        const { file, removedMs } = cursor
        return { ...cursorJson(cursor), file, removedMs }
      }),
      superseded: listing.superseded.map((segment) => nameOf(segment.path)),
      unknown: listing.unknown
    }
  } finally {
    shard?.segments.close()
  }
}

const nameOf = (path: string): string => path.slice(path.lastIndexOf('/') + 1)

function listedSegments(live: ShardView['listing']['live']): SegmentJson[] {
  return live.map(({ byteCount, epoch, firstOffset, path }, index) => ({
    file: nameOf(path),
    epoch,
    firstOffset,
    endOffset: live[index + 1]?.firstOffset ?? null,
    bytes: byteCount,
    state: index === live.length - 1 ? 'last' : 'open',
    createdMs: null,
    minTimeMs: null,
    maxTimeMs: null,
    isDamaged: false
  }))
}

function segmentsOf(shard: ReadableShard): SegmentJson[] {
  const checked: Checked = { segments: 0, frames: 0, records: 0, bytes: 0, locked: 0 }
  const damaged = new Set<string | null>()
  for (const { file, isDamage } of verifyShard(shard, false, checked)) {
    if (isDamage) damaged.add(file)
  }
  const { hash, storage } = shard.store
  return listedSegments(shard.listing.live).map((segment, index) => {
    const readable = shard.segments.at(index)
    const walked = readable === null ? null : shard.segments.open(readable)
    if (walked === null || readable === null) return segment
    const bytes = Buffer.alloc(SEGMENT_HEADER.byteCount)
    storage.pread(walked.file, bytes, 0)
    const header = decodeSegmentHeader(bytes, hash, walked.salt)
    const endByte = storage.fstat(walked.file).byteCount
    const footer = readFooter(storage, hash, { ...walked, endByte })
    const hasRecords = footer !== null && footer.recordCount > 0
    return {
      ...segment,
      endOffset: readable.endOffset,
      state: segment.state === 'last' ? 'last' : footer === null ? 'open' : 'sealed',
      createdMs: header?.createdMs ?? null,
      minTimeMs: hasRecords ? footer.minTimeMs : null,
      maxTimeMs: hasRecords ? footer.maxTimeMs : null,
      isDamaged: damaged.has(segment.file)
    }
  })
}

function lagOf(
  shard: ReadableShard | null,
  { content, finished }: CursorView,
  nowMs: number
): Omit<CursorJson, keyof ReturnType<typeof cursorJson>> {
  const unknown = { pendingBytesAbout: null, oldestPendingMs: null, lagMs: null }
  if (shard === null || content === null || finished === null) {
    return { pendingRecords: null, ...unknown }
  }
  const { counts, origin } = content
  const { countAboveLow, high, low } = finished
  const { endOffset } = shard.segments
  const { pending } = accountOf({ origin, low, high, countAboveLow, counts }, endOffset)
  if (pending === 0)
    return { pendingRecords: 0, pendingBytesAbout: 0, oldestPendingMs: null, lagMs: 0 }
  const bytes = shard.listing.live.map(({ byteCount, firstOffset }, index) => {
    const end = shard.listing.live[index + 1]?.firstOffset ?? endOffset
    const missing = finished.missing(firstOffset, end)
    const waiting = missing.reduce((sum, [one, other]) => sum + Math.max(0, other - one), 0)
    return end > firstOffset ? (byteCount * waiting) / (end - firstOffset) : 0
  })
  const oldestPendingMs = appendTimeAt(shard, low)
  return {
    pendingRecords: pending,
    pendingBytesAbout: Math.round(bytes.reduce((sum, each) => sum + each, 0)),
    oldestPendingMs,
    lagMs: oldestPendingMs === null ? null : Math.max(0, nowMs - oldestPendingMs)
  }
}

const timeText = (timeMs: number | null): string =>
  timeMs === null ? '-' : new Date(timeMs).toISOString().slice(0, 19)

function shardText(shard: ShardJson): string {
  const segments = table(
    ['  SEGMENT', 'EPOCH', 'FIRST', 'END', 'BYTES', 'CREATED', 'EVENTS FROM', 'TO', 'STATE'],
    shard.segments.map((segment) => [
      `  ${segment.file}`,
      segment.epoch,
      segment.firstOffset,
      segment.endOffset ?? '-',
      formatBytes(segment.bytes),
      timeText(segment.createdMs),
      timeText(segment.minTimeMs),
      timeText(segment.maxTimeMs),
      segment.isDamaged ? `${segment.state}, DAMAGED` : segment.state
    ])
  )
  const others = [
    ...shard.superseded.map((name) => `  ${name}: superseded by a later epoch\n`),
    ...shard.unknown.map((name) => `  ${name}: not a file of the queue\n`)
  ]
  const end = shard.endOffset === null ? '' : `, ends at ${shard.endOffset}`
  return `${shard.path}${end}\n${segments}${others.join('')}${cursorTable(shard.cursors)}${archivedTable(shard.archived)}\n`
}

const outcomes = (counts: Readonly<Record<string, { readonly records: number }>>): string =>
  Object.entries(counts)
    .map(([name, { records }]) => `${name} ${records}`)
    .join(', ')

function archivedTable(archived: readonly ArchivedJson[]): string {
  if (archived.length === 0) return ''
  return table(
    ['  ARCHIVED', 'BEGAN', 'FINISHED', 'RANGES', 'REMOVED', 'OUTCOMES'],
    archived.map((cursor) => [
      `  ${cursor.output}`,
      cursor.isReadable ? cursor.origin : '-',
      cursor.isReadable ? cursor.low : '-',
      cursor.isReadable ? cursor.ranges.length : '-',
      timeText(cursor.removedMs),
      cursor.isReadable ? outcomes(cursor.counts) : 'cannot be read'
    ])
  )
}

function cursorTable(cursors: readonly CursorJson[]): string {
  if (cursors.length === 0) return ''
  return table(
    ['  DESTINATION', 'BEGAN', 'FINISHED', 'RANGES', 'PENDING', 'ABOUT', 'WAITS SINCE', 'OUTCOMES'],
    cursors.map((cursor) => [
      `  ${cursor.output}`,
      cursor.isReadable ? cursor.origin : '-',
      cursor.isReadable ? cursor.low : '-',
      cursor.isReadable ? cursor.ranges.length : '-',
      cursor.pendingRecords ?? '-',
      cursor.pendingBytesAbout === null ? '-' : formatBytes(cursor.pendingBytesAbout),
      timeText(cursor.oldestPendingMs),
      cursor.isReadable ? outcomes(cursor.counts) : 'cannot be read'
    ])
  )
}
