// A render kernel with frames made by hand.

import { ExtData, encode } from '@msgpack/msgpack'
import { ProgramWriter } from '../../../src/kernel/program.ts'
import type { RenderLayout } from '../../../src/kernel/program-header.ts'
import type {
  JoinAnswer,
  JoinEntry,
  JsAnswer,
  RunStop,
  TargetBytes,
  VerdictRun
} from '../../../src/kernel/render-face.ts'
import { RenderKernel } from '../../../src/kernel/render-kernel.ts'

export const LOG_ID = Buffer.from('0011223344556677', 'hex')
export const EPOCH = 7
/** 2026-11-20T17:05:09.123456789Z */
export const SECONDS = 1_795_194_309
export const NANOSECONDS = 123_456_789
export const APPEND_TIME_MS = 1_795_194_400_500

export function eventTime(seconds = SECONDS, nanoseconds = NANOSECONDS): ExtData {
  const bytes = Buffer.alloc(8)
  bytes.writeUInt32BE(seconds >>> 0, 0)
  bytes.writeUInt32BE(nanoseconds >>> 0, 4)
  return new ExtData(0, bytes)
}

/** An entry of form 1 around the record's MessagePack bytes. */
export function entryOf(record: unknown, time: unknown = eventTime()): Buffer {
  const bytes = record instanceof Uint8Array ? record : encode(record, { useBigInt64: true })
  const timeBytes = time instanceof Uint8Array ? time : encode(time, { useBigInt64: true })
  return Buffer.concat([Buffer.from([0x92]), timeBytes, bytes])
}

export interface GroupOptions {
  readonly tag?: string | Uint8Array
  readonly source?: string
  readonly ingestId?: Uint8Array
  readonly form?: 1 | 2
  readonly count?: number
}

/** A group of a frame's payload. */
export function groupOf(entries: readonly Uint8Array[], options: GroupOptions = {}): Buffer {
  const tag = Buffer.from(options.tag ?? 'app.web')
  const source = Buffer.from(options.source ?? 'containers\u000010.0.0.9')
  const ingestId = Buffer.from(options.ingestId ?? [])
  const header = Buffer.alloc(16)
  const body = Buffer.concat(entries)
  header.writeUInt32LE(16 + tag.length + ingestId.length + source.length + body.length, 0)
  header.writeUInt32LE(options.count ?? entries.length, 4)
  header.writeUInt16LE(tag.length, 8)
  header.writeUInt16LE(ingestId.length, 10)
  header.writeUInt16LE(source.length, 12)
  header.writeUInt8(options.form ?? 1, 14)
  return Buffer.concat([header, tag, ingestId, source, body])
}

export const PLAIN_LAYOUT: RenderLayout = {
  framing: 'ndjson',
  target: { source: 'logs', parts: [{ kind: 'text', text: 'logs' }] },
  timeField: null,
  timeConflict: 'keep',
  tagField: null,
  hasId: false,
  messageField: null,
  recordBytesMax: 16 * 1024 * 1024
}

export interface FixtureOptions {
  readonly layout?: Partial<RenderLayout>
  readonly write?: (writer: ProgramWriter) => void
  readonly leaveJs?: (stage: number, json: string) => JsAnswer
  readonly join?: (entry: JoinEntry) => JoinAnswer
  readonly target?: (text: string) => TargetBytes
  readonly kernel?: RenderKernel
  readonly outputBytesMax?: number
  readonly rowsMax?: number
  readonly firstOffset?: number
}

export interface RunResult {
  readonly stop: RunStop
  readonly lines: readonly string[]
  readonly verdicts: readonly VerdictRun[]
  readonly counters: Readonly<Record<string, number>>
  readonly resumeOffset: number
  readonly kernel: RenderKernel
}

const noBytes = Buffer.alloc(0)

export function okTarget(): TargetBytes {
  return { kind: 'ok', prefix: noBytes, afterId: noBytes }
}

let shared: RenderKernel | null = null
let current: FixtureOptions = {}

/** One kernel for all tests of a file: a program per run, so eviction happens all the time. */
export function sharedKernel(): RenderKernel {
  shared ??= new RenderKernel({
    imports: {
      target: (text) => current.target?.(text) ?? okTarget(),
      leaveJs: (stage, json) => current.leaveJs?.(stage, json) ?? { kind: 'unchanged' },
      join: (entry) => current.join?.(entry) ?? 'pass'
    }
  })
  return shared
}

/** Runs groups as one frame through a new program. */
export function runGroups(groups: readonly Uint8Array[], options: FixtureOptions = {}): RunResult {
  current = options
  const kernel = options.kernel ?? sharedKernel()
  const writer = new ProgramWriter()
  options.write?.(writer)
  const program = kernel.loadProgram(writer.finish({ ...PLAIN_LAYOUT, ...options.layout }))
  kernel.begin(program, {
    outputBytesMax: options.outputBytesMax ?? kernel.output.length,
    rowsMax: options.rowsMax ?? 100_000
  })
  kernel.setShard(LOG_ID, EPOCH)
  const payload = Buffer.concat(groups)
  kernel.input.set(payload)
  const stop = kernel.run({
    startByte: 0,
    endByte: payload.length,
    firstOffset: options.firstOffset ?? 1000,
    appendTimeMs: APPEND_TIME_MS
  })
  const counters: Record<string, number> = {}
  for (const { step, counter, count } of kernel.takeCounters(program)) {
    counters[`${step}:${counter}`] = count
  }
  return {
    stop,
    lines: linesOf(kernel),
    verdicts: kernel.verdicts(),
    counters,
    resumeOffset: kernel.resumeOffset,
    kernel
  }
}

export function runRecords(records: readonly unknown[], options: FixtureOptions = {}): RunResult {
  return runGroups([groupOf(records.map((record) => entryOf(record)))], options)
}

/** Each rendered record as text, with its newline. */
export function linesOf(kernel: RenderKernel): string[] {
  return Array.from({ length: kernel.rows.count }, (_, row) => {
    const start = kernel.rows.startByte(row)
    return kernel.output.toString('utf8', start, start + kernel.rows.byteCount(row))
  })
}
