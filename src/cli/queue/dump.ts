// Runs on: main.
// `millrace queue dump`: stored records as JSON, one per line, in the order of their offsets. Parts of a record that is
// joined later stand as they were stored.

import { decoded, jsonOf, unreadable } from '../../codec/json-view.ts'
import { EventTime } from '../../codec/msgpack-value.ts'
import { formatRfc3339 } from '../../core/event-time.ts'
import { positionId } from '../../core/position.ts'
import type { Group } from '../../storage/format/frame.ts'
import { ENTRY_FORM } from '../../storage/format/layout.ts'
import { splitEntries } from '../../storage/format/stored-entries.ts'
import { type FrameRecords, readRecords } from '../../storage/inspect/records.ts'
import type { ReadableShard } from '../../storage/inspect/shard.ts'
import type { CliIo } from '../io.ts'
import type { DirectoryOptions } from '../options.ts'
import { openDirectory } from './directory.ts'
import { offsetsOf, type RangeOptions, shardsOf } from './range.ts'

export interface DumpOptions extends DirectoryOptions, RangeOptions {
  readonly limit?: number
}

export async function dump(route: string, options: DumpOptions, io: CliIo): Promise<void> {
  const view = await openDirectory(options, io)
  let left = options.limit ?? Number.POSITIVE_INFINITY
  for (const shard of shardsOf(view, route, options)) {
    const { end, first } = offsetsOf(shard, options)
    for (const next of readRecords(shard, first)) {
      if (left <= 0) return
      const at = next.firstOffset
      if (at >= end) break
      if (next.kind !== 'frame') {
        const stop = Math.min(next.endOffset, end)
        const why = next.kind === 'hole' ? next.reason : next.kind
        io.error(`${shard.path}: records ${at} to ${stop - 1}: ${WHY[why]}\n`)
        continue
      }
      for (const line of linesOf(shard, next, first, end)) {
        io.out(line)
        left--
        if (left <= 0) return
      }
    }
  }
}

/** Why there are no records at some offsets. */
export const WHY = {
  corrupt: 'damaged, they cannot be read',
  unsynced: 'gone with the power, they had not reached the disk',
  unacked: 'never acknowledged, they were not stored',
  vanished: 'delivered and deleted meanwhile',
  locked: 'encrypted, and the key is not here; give the configuration with -c'
} as const

function* linesOf(
  shard: ReadableShard,
  frame: FrameRecords,
  first: number,
  end: number
): Generator<string> {
  for (const group of frame.groups) {
    const head = {
      shard: shard.shardNumber,
      tag: group.tag.toString(),
      source: group.source.toString().replace(/\0$/, '').replace('\0', ' '),
      append_time: new Date(frame.appendTimeMs).toISOString()
    }
    for (const [index, { startByte, endByte }] of (splitEntries(group) ?? []).entries()) {
      const offset = group.firstOffset + index
      if (offset < first || offset >= end) continue
      const id = positionId(shard.logId, frame.epoch, offset)
      const bytes = group.entries.subarray(startByte, endByte)
      const record = recordOf(bytes, group)
      const line = { offset, epoch: frame.epoch, id, ...head, event_time: record.time }
      yield `${JSON.stringify(line).slice(0, -1)},"record":${record.json}}\n`
    }
  }
}

/** Event time (null: none that can be used, the append time stands in) and record of an entry or message. */
function recordOf(bytes: Buffer, { form }: Group): { time: string | null; json: string } {
  const value = decoded(bytes)
  if (!Array.isArray(value)) return { time: null, json: unreadable(bytes) }
  const parts: readonly unknown[] = form === ENTRY_FORM.messages ? value.slice(1) : value
  const [time, record] = parts
  return { time: timeText(Array.isArray(time) ? time[0] : time), json: jsonOf(record) }
}

function timeText(time: unknown): string | null {
  if (time instanceof EventTime) return formatRfc3339(time, 9)
  const seconds = typeof time === 'bigint' ? Number(time) : time
  if (typeof seconds !== 'number' || !Number.isFinite(seconds)) return null
  const whole = Math.floor(seconds)
  const nanoseconds = Math.round((seconds - whole) * 1e9)
  return formatRfc3339({ seconds: whole, nanoseconds: Math.min(nanoseconds, 999_999_999) }, 9)
}
