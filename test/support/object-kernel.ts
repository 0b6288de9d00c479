// The render kernel over plain objects, behind the same face: slow, short, and without a word of the program. Tests run
// the same task through both and compare bytes, verdicts and groups.

import { formatRfc3339 } from '../../src/core/event-time.ts'
import { skipValue } from '../../src/core/msgpack-skip.ts'
import { positionId } from '../../src/core/position.ts'
import { templateEvaluator } from '../../src/core/template.ts'
import type {
  EntryFate,
  FramePlace,
  JoinEntry,
  JoinedFate,
  JoinedRecord,
  LoadedProgram,
  RenderImports,
  RenderKernelFace,
  RunStop,
  StepCount,
  TaskLimits,
  VerdictRun
} from '../../src/kernel/render-face.ts'
import type { RenderSpec } from '../../src/plugin/output.ts'
import { JOIN_FIELD_NAMES } from '../../src/steps/docker-partial.ts'
import type { StepPlan } from '../../src/steps/plan.ts'
import { decodeGroups, type FrameHeader } from '../../src/storage/format/frame.ts'
import { mapToJson, Reader, Text, type Value } from './msgpack-objects.ts'
import { type ObjectRecord, runOperation, textOf, valuesOf } from './object-steps.ts'

/** What a program's bytes stand for; this kernel does not read them. */
export interface PlanOfProgram {
  readonly plan: StepPlan
  readonly spec: RenderSpec
}

interface Entry {
  readonly offset: number
  readonly bytes: Buffer
  readonly form: 1 | 2
  readonly tag: Buffer
  readonly source: Buffer
}

interface Row {
  startByte: number
  byteCount: number
  target: number
  timeMs: number
  offset: number
  memberList: number
}

interface Judged {
  readonly fate: EntryFate
  readonly step: number
  readonly reason: string
}

export class ObjectKernel implements RenderKernelFace {
  readonly input = Buffer.alloc(4 * 1024 * 1024)
  output = Buffer.alloc(0)
  rowList: Row[] = []
  targetList: string[] = []
  resumeOffset = 0
  /** Set by tests: entries that make this kernel trap. */
  trapOffsets = new Set<number>()
  readonly #imports: RenderImports
  readonly #plans: ReadonlyMap<Uint8Array, PlanOfProgram>
  #program: PlanOfProgram | null = null
  #takenBytes = 0
  #limits: TaskLimits = { outputBytesMax: 0, rowsMax: 0 }
  #logId: Uint8Array = Buffer.alloc(8)
  #epoch = 0
  #fromOffset = 0
  #finished: readonly (readonly [number, number])[] = []
  #isAnyOpen = false
  #judged: { offset: number; judged: Judged }[] = []
  #entries: Entry[] = []
  #appendTimeMs = 0
  #isTold = false

  constructor(imports: RenderImports, plans: ReadonlyMap<Uint8Array, PlanOfProgram>) {
    this.#imports = imports
    this.#plans = plans
  }

  get outputByteCount(): number {
    return this.output.length
  }

  takeOutput(into: WebAssembly.Memory, atByte: number): number {
    const byteCount = this.output.copy(Buffer.from(into.buffer), atByte)
    this.#takenBytes += byteCount
    this.output = Buffer.alloc(0)
    return byteCount
  }

  get targets(): readonly string[] {
    return this.targetList
  }

  readonly rows = {
    kernel: this as ObjectKernel,
    get count(): number {
      return this.kernel.rowList.length
    },
    startByte: (row: number) => this.rowList[row]!.startByte,
    byteCount: (row: number) => this.rowList[row]!.byteCount,
    target: (row: number) => this.rowList[row]!.target,
    timeMs: (row: number) => this.rowList[row]!.timeMs,
    offset: (row: number) => this.rowList[row]!.offset,
    memberList: (row: number) => this.rowList[row]!.memberList,
    messageByteCount: () => 0
  }

  loadProgram(bytes: Uint8Array): LoadedProgram {
    return { bytes, stepCount: 0 }
  }

  begin(program: LoadedProgram, limits: TaskLimits): void {
    this.#program = this.#plans.get(program.bytes) ?? null
    this.#limits = limits
    this.output = Buffer.alloc(0)
    this.#takenBytes = 0
    this.rowList = []
    this.targetList = []
    this.#judged = []
    this.resumeOffset = 0
  }

  setShard(logId: Uint8Array, epoch: number): void {
    this.#logId = logId
    this.#epoch = epoch
  }

  setFinished(fromOffset: number, ranges: readonly (readonly [number, number])[]): void {
    this.#fromOffset = fromOffset
    this.#finished = ranges
  }

  setOpenGroups(isAnyOpen: boolean): void {
    this.#isAnyOpen = isAnyOpen
  }

  run(frame: FramePlace): RunStop {
    const payload = Buffer.from(this.input.subarray(frame.startByte, frame.endByte))
    this.#entries = entriesOf(payload, frame.firstOffset)
    this.#appendTimeMs = frame.appendTimeMs
    this.#isTold = false
    return this.resume()
  }

  resume(): RunStop {
    for (let entry = this.#entries[0]; entry !== undefined; entry = this.#entries[0]) {
      this.resumeOffset = entry.offset
      if (this.trapOffsets.has(entry.offset) && !this.#isFinished(entry.offset)) {
        throw Object.assign(new Error('unreachable'), { name: 'RuntimeError' })
      }
      const stop = this.#judge(entry)
      if (stop === 'before' || stop === 'full') return stop === 'full' ? 'full' : 'join'
      this.#entries.shift()
      this.#isTold = false
      this.resumeOffset = entry.offset + 1
      if (stop === 'after') return 'join'
    }
    return 'end'
  }

  #isFinished(offset: number): boolean {
    return (
      offset < this.#fromOffset ||
      this.#finished.some(([first, end]) => offset >= first && offset < end)
    )
  }

  #judge(entry: Entry): 'on' | 'before' | 'after' | 'full' {
    const isFinished = this.#isFinished(entry.offset)
    const record = recordOf(entry, this.#id(entry.offset, ''))
    const isAsked =
      this.#program?.plan.join != null &&
      !this.#isTold &&
      (this.#isAnyOpen || record.fields.has('partial_message'))
    if (isAsked) {
      const answer = this.#imports.join?.(this.#joinEntry(entry, record, isFinished)) ?? 'pass'
      if (answer === 'stop') return 'before'
      if (answer === 'held' || answer === 'held_stop') {
        this.#keep(entry.offset, { fate: 'held', step: 0, reason: '' })
        return answer === 'held' ? 'on' : 'after'
      }
    }
    if (isFinished) {
      this.#keep(entry.offset, { fate: 'finished', step: 0, reason: '' })
      return 'on'
    }
    const fate = this.#render(record, entry.offset, 0)
    if (fate.kind === 'full') return 'full'
    this.#keep(
      entry.offset,
      fate.kind === 'out' ? { fate: 'out', step: 0, reason: '' } : { ...fate, fate: fate.kind }
    )
    return 'on'
  }

  #joinEntry(entry: Entry, record: ObjectRecord, isFinished: boolean): JoinEntry {
    return {
      offset: entry.offset,
      epoch: this.#epoch,
      appendTimeMs: this.#appendTimeMs,
      isFinished,
      form: entry.form,
      tag: entry.tag,
      source: entry.source,
      entry: entry.bytes,
      field(index) {
        const value = record.fields.get(JOIN_FIELD_NAMES[index] ?? '')
        if (value instanceof Text) return value.bytes
        const text = value === undefined || value === null ? null : textOf(value)
        return text === null ? null : Buffer.from(text)
      }
    }
  }

  #keep(offset: number, judged: Judged): void {
    this.#judged.push({ offset, judged })
  }

  #id(offset: number, suffix: string): string {
    return positionId(this.#logId, this.#epoch, offset) + suffix
  }

  /** Steps, then one line of NDJSON. */
  #render(record: ObjectRecord, offset: number, memberList: number): JoinedFate {
    const program = this.#program!
    const firstStep = program.plan.join === null ? 1 : 2
    for (const [index, { name, operation }] of program.plan.steps.entries()) {
      if (operation.kind === 'js') throw new Error('examples alone test JavaScript steps')
      const fate = runOperation(operation, name, record)
      if (fate === 'drop') return { kind: 'dropped', step: firstStep + index, reason: '' }
      if (fate !== 'on') return { kind: 'dead_letter', step: firstStep + index, reason: fate.dead }
    }
    const { spec } = program
    const targetText = templateEvaluator(spec.target)(valuesOf(record)).text
    const target = this.#imports.target(targetText)
    if (target.kind === 'refuse') return { kind: 'dead_letter', step: 0, reason: target.reason }
    const line = Buffer.concat([
      target.prefix,
      Buffer.from(spec.hasId ? record.positionId : ''),
      target.afterId,
      Buffer.from(`${mapToJson(outputFields(spec, record))}\n`)
    ])
    const isFull =
      this.rowList.length >= this.#limits.rowsMax ||
      this.#takenBytes + this.output.length + line.length > this.#limits.outputBytesMax
    if (isFull) return { kind: 'full' }
    if (!this.targetList.includes(targetText)) this.targetList.push(targetText)
    this.rowList.push({
      startByte: this.#takenBytes + this.output.length,
      byteCount: line.length,
      target: this.targetList.indexOf(targetText),
      timeMs: record.time.seconds * 1000,
      offset,
      memberList
    })
    this.output = Buffer.concat([this.output, line])
    return { kind: 'out' }
  }

  renderJoined(joined: JoinedRecord): JoinedFate {
    const epoch = this.#epoch
    this.#epoch = joined.epoch
    const id = this.#id(joined.offset, `.${joined.idSuffix}`)
    this.#epoch = epoch
    const entry = {
      offset: joined.offset,
      bytes: Buffer.from(joined.entry),
      form: joined.form,
      tag: Buffer.from(joined.tag),
      source: Buffer.from(joined.source)
    }
    const record = recordOf(entry, id)
    for (const key of ['partial_message', 'partial_last']) record.fields.delete(key)
    record.fields.set('log', new Text(Buffer.from(joined.text)))
    if (joined.isIncomplete) record.fields.set('partial_incomplete', true)
    else for (const key of ['partial_id', 'partial_ordinal']) record.fields.delete(key)
    return this.#render(record, joined.offset, joined.memberList)
  }

  verdicts(): readonly VerdictRun[] {
    return this.#judged.map(({ offset, judged }) => ({ ...judged, firstOffset: offset, count: 1 }))
  }

  takeCounters(): readonly StepCount[] {
    return []
  }
}

function outputFields(spec: RenderSpec, record: ObjectRecord): Map<string, Value> {
  const fields = new Map<string, Value>()
  if (spec.timeField !== null) {
    const { key, precision } = spec.timeField
    if (!record.fields.has(key)) fields.set(key, new Text(formatRfc3339(record.time, precision)))
  }
  for (const [key, value] of record.fields) fields.set(key, value)
  return fields
}

function recordOf(entry: Entry, id: string): ObjectRecord {
  const reader = new Reader(entry.bytes)
  reader.at = 1
  if (entry.form === 2) reader.value()
  const first = reader.value()
  const [time, meta] = Array.isArray(first) ? first : [first]
  const fields = reader.value()
  if (!(fields instanceof Map)) throw new Error('a record is a map')
  const isTime = typeof time === 'object' && time !== null && 'seconds' in time
  return {
    fields,
    time: isTime ? time : { seconds: Number(time), nanoseconds: 0 },
    tag: entry.tag.toString(),
    sourceAddress: entry.source.toString().split('\0')[1] ?? '',
    meta: meta instanceof Map ? meta : new Map(),
    positionId: id
  }
}

function entriesOf(payload: Buffer, firstOffset: number): Entry[] {
  let recordCount = 0
  for (let at = 0; at < payload.length; at += payload.readUInt32LE(at)) {
    recordCount += payload.readUInt32LE(at + 4)
  }
  // Only the counts of the header are read by what takes a payload apart.
  const groups = decodeGroups(payload, { firstOffset, recordCount } as FrameHeader)
  const entries: Entry[] = []
  for (const group of groups ?? []) {
    for (let at = 0; at < group.entries.length; ) {
      const end = skipValue(group.entries, at)
      entries.push({
        offset: firstOffset + entries.length,
        bytes: group.entries.subarray(at, end),
        form: group.form === 2 ? 2 : 1,
        tag: group.tag,
        source: group.source
      })
      at = end
    }
  }
  return entries
}
