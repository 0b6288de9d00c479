// Runs on: main.
// `millrace queue export`: records of a queue as a stream that `millrace queue import` and any tool can read (form:
// storage/inspect/export-stream.ts). The queue is left as it is; what was exported stays pending in it.

import fs from 'node:fs'
import { resolve } from 'node:path'
import { errorText, MillraceError } from '../../core/errors.ts'
import type { Group } from '../../storage/format/frame.ts'
import { splitEntries } from '../../storage/format/stored-entries.ts'
import { ExportEncoder, type ExportRun, runsOf } from '../../storage/inspect/export-stream.ts'
import { type FrameRecords, readRecords } from '../../storage/inspect/records.ts'
import type { ReadableShard } from '../../storage/inspect/shard.ts'
import { type StoreView, shardsOfLog } from '../../storage/inspect/store.ts'
import type { CliIo } from '../io.ts'
import type { DirectoryOptions } from '../options.ts'
import { openDirectory } from './directory.ts'
import { WHY } from './dump.ts'
import { offsetsOf, type RangeOptions, shardsOf } from './range.ts'

export interface ExportOptions extends DirectoryOptions, RangeOptions {
  /** `-`: standard output. */
  readonly out: string
  readonly destination?: string
  readonly retained?: boolean
}

type Spans = readonly (readonly [number, number])[]

export async function exportRecords(
  route: string,
  options: ExportOptions,
  io: CliIo
): Promise<void> {
  if (options.retained === true && options.destination !== undefined) {
    const text = '--retained exports what is stored, whatever a destination has finished'
    throw new MillraceError('MR_USAGE', `${text}; leave --destination out`)
  }
  const view = await openDirectory(options, io)
  const sink = openSink(options.out, io)
  const encoder = new ExportEncoder()
  try {
    for (const line of linesOf(view, route, options, encoder, io)) sink.write(line)
    sink.finish()
  } catch (error) {
    sink.abandon()
    throw error
  }
  const lost = encoder.lostCount === 0 ? '' : `, ${encoder.lostCount} could not be read`
  io.error(`${encoder.recordCount} records exported${lost}\n`)
}

function* linesOf(
  view: StoreView,
  route: string,
  options: ExportOptions,
  encoder: ExportEncoder,
  io: CliIo
): Generator<string> {
  const [first = ''] = shardsOfLog(view, route)
  yield encoder.header({
    store: view.meta?.uuid.toString('hex') ?? '',
    log: first.slice(0, first.lastIndexOf('/')),
    createdMs: Date.now(),
    records: options.retained === true ? 'retained' : 'pending',
    destination: options.destination ?? null
  })
  for (const shard of shardsOf(view, route, options)) {
    const { end, first } = offsetsOf(shard, options)
    const spans: Spans =
      options.retained === true ? [[first, end]] : pendingOf(shard, first, end, options.destination)
    yield* recordLines(shard, spans, encoder, io)
  }
  yield encoder.end()
}

/** Offsets that the destination, or any of them, has not finished. */
function pendingOf(
  shard: ReadableShard,
  first: number,
  end: number,
  destination: string | undefined
): Spans {
  const cursors = shard.cursors.filter(
    ({ output }) => destination === undefined || output === destination
  )
  if (destination !== undefined && cursors.length === 0) {
    const known = shard.cursors.map(({ output }) => output).join(', ')
    throw new MillraceError(
      'MR_USAGE',
      `${shard.path} has no destination "${destination}": ${known}`
    )
  }
  // A log without cursors, as of dead letters of inputs: all of it waits.
  if (cursors.length === 0) return [[first, end]]
  const spans = cursors.flatMap(({ finished }) =>
    finished === null ? [[first, end] as const] : finished.missing(first, end)
  )
  const joined: [number, number][] = []
  for (const [from, to] of spans.toSorted((one, other) => one[0] - other[0])) {
    const last = joined.at(-1)
    if (last !== undefined && from <= last[1]) last[1] = Math.max(last[1], to)
    else joined.push([from, to])
  }
  return joined.filter(([from, to]) => from < to)
}

function* recordLines(
  shard: ReadableShard,
  spans: Spans,
  encoder: ExportEncoder,
  io: CliIo
): Generator<string> {
  const { path, shardNumber } = shard
  const from = spans[0]?.[0] ?? 0
  const to = spans.at(-1)?.[1] ?? 0
  let spanIndex = 0
  for (const next of readRecords(shard, from)) {
    if (next.firstOffset >= to) return
    const nextEnd = next.kind === 'frame' ? next.firstOffset + next.recordCount : next.endOffset
    while ((spans[spanIndex]?.[1] ?? Number.POSITIVE_INFINITY) <= next.firstOffset) spanIndex++
    // Both are in order: the spans that touch it stand one behind the other.
    for (let index = spanIndex; (spans[index]?.[0] ?? nextEnd) < nextEnd; index++) {
      const [spanFirst = 0, spanEnd = 0] = spans[index] ?? []
      if (next.kind === 'frame') {
        yield* frameLines(shardNumber, next, spanFirst, spanEnd, encoder)
        continue
      }
      const first = Math.max(spanFirst, next.firstOffset)
      const end = Math.min(spanEnd, next.endOffset)
      const reason = next.kind === 'hole' ? next.reason : next.kind
      io.error(`${path}: records ${first} to ${end - 1}: ${WHY[reason]}\n`)
      const isLost = reason !== 'unacked' && reason !== 'vanished'
      const hole = { shardNumber, firstOffset: first, recordCount: end - first, reason }
      if (isLost) yield encoder.hole(hole)
    }
  }
}

function* frameLines(
  shardNumber: number,
  frame: FrameRecords,
  first: number,
  end: number,
  encoder: ExportEncoder
): Generator<string> {
  const { appendTimeMs, epoch } = frame
  for (const group of frame.groups) {
    const wanted = cutGroup(group, first, end)
    if (wanted === null) continue
    const run: ExportRun = { ...wanted, shardNumber, epoch, appendTimeMs }
    for (const piece of runsOf(run)) yield encoder.run(piece)
  }
}

/** Records of the group within [first, end); null: none. */
function cutGroup(
  group: Group,
  first: number,
  end: number
): Omit<ExportRun, 'shardNumber' | 'epoch' | 'appendTimeMs'> | null {
  const { form, ingestId, source, tag } = group
  const from = Math.max(0, first - group.firstOffset)
  const to = Math.min(group.recordCount, end - group.firstOffset)
  if (from >= to) return null
  const entries = splitEntries(group) ?? []
  const startByte = entries[from]?.startByte ?? 0
  const endByte = entries[to - 1]?.endByte ?? 0
  return {
    firstOffset: group.firstOffset + from,
    recordCount: to - from,
    tag,
    source,
    ingestId,
    form,
    entries: group.entries.subarray(startByte, endByte)
  }
}

interface Sink {
  write(text: string): void
  /** Whole and on the disk. */
  finish(): void
  /** Something failed: no file of this name is left. */
  abandon(): void
}

function openSink(out: string, io: CliIo): Sink {
  if (out === '-') return { write: (text) => io.out(text), finish() {}, abandon() {} }
  const target = resolve(io.workingDirectory, out)
  const file = createFile(target)
  return {
    write: (text) => writeWhole(file, text),
    finish() {
      fs.fdatasyncSync(file)
      fs.closeSync(file)
    },
    abandon() {
      fs.closeSync(file)
      fs.unlinkSync(target)
    }
  }
}

function createFile(target: string): number {
  try {
    return fs.openSync(target, 'wx', 0o600)
  } catch (error) {
    throw new MillraceError('MR_STORE_IO', `${target} cannot be made: ${errorText(error)}`)
  }
}

function writeWhole(file: number, text: string): void {
  const bytes = Buffer.from(text)
  for (let done = 0; done < bytes.length; ) {
    done += fs.writeSync(file, bytes, done, bytes.length - done)
  }
}
