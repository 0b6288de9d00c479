// Steps 2 to 4. Runs on: ingest.
// Bodies -> entries in kernel memory -> queue. A body is stored as one message; what of it cannot be read goes to the dead
// letters and the good records stand. Nothing is kept when there is no room: the sender is told to come again.

import { CONSECUTIVE_INVALID_MAX } from '../../../src/core/limits.ts'
import { skipValue } from '../../../src/core/msgpack-skip.ts'
import type { JsonError, JsonResult } from '../../../src/kernel/json-converter.ts'
import type { ScanKernel } from '../../../src/kernel/scan-kernel.ts'
import type { DurableListener, InputContext, Run } from '../../../src/plugin/input.ts'
import { entryRuns, refusedBytes } from '../../../src/plugin/unit-runs.ts'
import type { FormedBody } from './body-form.ts'

export type StoreOutcome =
  | { readonly kind: 'stored' }
  /** No room, or the disk failed: the sender has to come again. */
  | { readonly kind: 'busy' }
  /** Nothing in the body is a record. */
  | { readonly kind: 'bad'; readonly reason: string }

export interface RecordRules {
  readonly tag: Buffer
  /** Time of all records; null: that under `timeKey`, else the arrival. */
  readonly time: { readonly seconds: number; readonly nanos: number } | null
  readonly timeKey: string | null
}

/** Entries and what could not be read; the blocks are given back after the append. */
interface Gathered {
  readonly blocks: Buffer[]
  readonly entries: Buffer[]
  readonly refused: Buffer[]
  firstError: string | null
}

const ENTRY_HEAD_BYTES = 11
const LINE_FEED = 0x0a

export class RecordStore {
  readonly #context: InputContext<ScanKernel>

  constructor(context: InputContext<ScanKernel>) {
    this.#context = context
  }

  store({ form, bytes }: FormedBody, rules: RecordRules): Promise<StoreOutcome> {
    const { kernel } = this.#context
    const gathered: Gathered = { blocks: [], entries: [], refused: [], firstError: null }
    try {
      const text = kernel.borrow(Math.max(1, bytes.length))
      if (text === null) return Promise.resolve({ kind: 'busy' })
      gathered.blocks.push(text)
      bytes.copy(text)
      const body = text.subarray(0, bytes.length)
      const isGathered =
        form === 'msgpack'
          ? this.#gatherMsgpack(body, rules, gathered)
          : this.#gatherJson(body, rules, form === 'ndjson', gathered)
      return isGathered ? this.#append(rules.tag, gathered) : Promise.resolve({ kind: 'busy' })
    } finally {
      for (const block of gathered.blocks) kernel.giveBack(block)
    }
  }

  /** False: no memory. */
  #gatherJson(body: Buffer, rules: RecordRules, isByLine: boolean, gathered: Gathered): boolean {
    const { kernel } = this.#context
    const { seconds, nanos } = rules.time ?? this.#now()
    const hasOwnTime = rules.time === null && rules.timeKey !== null
    let start = 0
    let badLines = 0
    while (start < body.length) {
      const result: JsonResult | null = kernel.json.toEntries(body.subarray(start), {
        timeSeconds: seconds,
        timeNanos: nanos,
        isByLine,
        ...(hasOwnTime ? { timeKey: rules.timeKey ?? '' } : {})
      })
      if (result === null) return false
      const entries = result.error === null ? result.bytes : this.#shrunk(result.bytes)
      if (entries === null) return false
      gathered.blocks.push(entries)
      if (result.valueCount > 0) gathered.entries.push(entries)
      if (result.error === null) return true
      gathered.firstError ??= placeOf(result.error, start)
      const badStart = start + result.error.valueStartByte
      const lineEnd = isByLine ? body.indexOf(LINE_FEED, badStart) : -1
      badLines = result.valueCount > 0 ? 1 : badLines + 1
      const isGivenUp = lineEnd < 0 || badLines > CONSECUTIVE_INVALID_MAX
      const badEnd = isGivenUp ? body.length : lineEnd + 1
      gathered.refused.push(body.subarray(badStart, badEnd))
      start = badEnd
    }
    return true
  }

  /**
   * What came before a bad line, in a block of its size: it was read into one for all of the rest, and a body may have
   * many bad lines. Null: no memory.
   */
  #shrunk(bytes: Buffer): Buffer | null {
    const { kernel } = this.#context
    const block = kernel.borrow(Math.max(1, bytes.length))
    if (block !== null) bytes.copy(block)
    kernel.giveBack(bytes)
    return block?.subarray(0, bytes.length) ?? null
  }

  /** Maps, arrays of maps, `[time, map]` and `[[time, meta], map]`, one after another. False: no memory. */
  #gatherMsgpack(body: Buffer, rules: RecordRules, gathered: Gathered): boolean {
    const maps = mapsOf(body)
    if (maps === null) {
      gathered.entries.push(body)
      return true
    }
    const { seconds, nanos } = rules.time ?? this.#now()
    const byteCount = maps.reduce((sum, map) => sum + ENTRY_HEAD_BYTES + map.length, 0)
    const block = this.#context.kernel.borrow(Math.max(1, byteCount))
    if (block === null) return false
    gathered.blocks.push(block)
    let at = 0
    for (const map of maps) {
      // [EventTime, map]
      block.set([0x92, 0xd7, 0x00], at)
      block.writeUInt32BE(seconds, at + 3)
      block.writeUInt32BE(nanos, at + 7)
      map.copy(block, at + ENTRY_HEAD_BYTES)
      at += ENTRY_HEAD_BYTES + map.length
    }
    gathered.entries.push(block.subarray(0, at))
    return true
  }

  #append(tag: Buffer, gathered: Gathered): Promise<StoreOutcome> {
    const { appender, counters, id, kernel } = this.#context
    const runs: Run[] = []
    let recordCount = 0
    for (const entries of gathered.entries) {
      kernel.scanBody(entries)
      const unit = kernel.unit(0)
      recordCount += unit.recordCount
      // The path is the tag of everything in the body.
      runs.push(...entryRuns(unit, entries, tag, null, () => tag))
      if (unit.invalidTotal > 0 || unit.giveUpReason !== null) {
        gathered.refused.push(refusedBytes(unit, entries))
        gathered.firstError ??= 'no record at the start of the body'
      }
    }
    const refused = Buffer.concat(gathered.refused)
    if (recordCount === 0 && refused.length > 0) {
      return Promise.resolve({ kind: 'bad', reason: gathered.firstError ?? 'no records' })
    }
    const { promise, resolve } = Promise.withResolvers<StoreOutcome>()
    const answer: DurableListener = {
      onDurable: () => resolve({ kind: 'stored' }),
      onRejected: () => resolve({ kind: 'busy' })
    }
    const source = { inputId: id, peer: '' }
    const hasRefused = refused.length > 0
    const letter = { reason: 'unreadable', tag, bytes: refused }
    // Together or not at all: a request that is told to come again must not leave its dead letter each time.
    const outcome = hasRefused
      ? appender.appendWithLetter(source, runs, letter, answer)
      : appender.append(source, runs, answer)
    if (outcome === 'full') return Promise.resolve({ kind: 'busy' })
    counters.add('received_records', recordCount)
    if (hasRefused) counters.add('dead_letters', 1)
    return promise
  }

  #now(): { seconds: number; nanos: number } {
    const nowMs = this.#context.clock.nowMs()
    return { seconds: Math.floor(nowMs / 1000), nanos: (nowMs % 1000) * 1e6 }
  }
}

function placeOf(error: JsonError, startByte: number): string {
  return `${error.reason.replaceAll('_', ' ')} at byte ${startByte + error.byte}`
}

const isMap = (byte: number | undefined): boolean =>
  byte !== undefined && ((byte >= 0x80 && byte < 0x90) || byte === 0xde || byte === 0xdf)

/** The maps of a body of maps, or of arrays of maps; null: it holds entries, or something else for the scan to judge. */
function mapsOf(body: Buffer): Buffer[] | null {
  const maps: Buffer[] = []
  let at = 0
  while (at < body.length) {
    const inner = isMap(body[at]) ? at : arrayStart(body, at)
    if (inner < 0 || (inner < body.length && inner !== at && !isMap(body[inner]))) return null
    const end = skipValue(body, at)
    if (end < 0) return null
    for (let start = inner; start < end; ) {
      const next = skipValue(body, start)
      if (!isMap(body[start]) || next < 0) return null
      maps.push(body.subarray(start, next))
      start = next
    }
    at = end
  }
  return maps
}

/** Byte behind an array header, or -1. */
function arrayStart(body: Buffer, at: number): number {
  const byte = body[at] ?? 0
  if (byte >= 0x90 && byte < 0xa0) return at + 1
  if (byte === 0xdc) return at + 3
  return byte === 0xdd ? at + 5 : -1
}
