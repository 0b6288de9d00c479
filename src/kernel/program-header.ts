// Step 7. Runs on: any.
// Header of a program and the part that says how an output renders.

import { invariant } from '../core/invariant.ts'
import type { Template } from '../core/template.ts'
import { PROGRAM_BYTES_MAX, PROGRAM_MAGIC, ROOT_META } from './codes.ts'
import { HEADER_BYTES, type ProgramData, type Slice } from './program-data.ts'

/** What an output asks of the kernel; `RenderSpec` of plugin/output.ts has this shape. */
export interface RenderLayout {
  readonly framing: 'ndjson' | 'log_events'
  readonly target: Template
  readonly timeField: { readonly key: string; readonly precision: 0 | 3 | 6 | 9 } | null
  readonly timeConflict: 'keep' | 'overwrite' | 'rename'
  readonly tagField: string | null
  readonly hasId: boolean
  readonly messageField: string | null
  readonly recordBytesMax: number
}

export interface RenderWords {
  readonly layout: RenderLayout
  readonly timeKey: number
  readonly timeRenamed: number
  readonly tagKey: number
  readonly tagRenamed: number
  readonly messageField: number
  readonly targetParts: number
}

export interface ProgramParts {
  readonly data: ProgramData
  readonly code: readonly number[]
  readonly keys: readonly string[]
  readonly patterns: readonly { readonly source: Slice; readonly flags: Slice }[]
  readonly paths: readonly (readonly number[])[]
  readonly keySets: readonly (readonly number[])[]
  readonly stepCount: number
  readonly hasJoin: boolean
  /** Whether anything but a join stands in the way of a record that has no table. */
  readonly hasSteps: boolean
  /** Address of the names of all reasons; 0: no step tags its failures. */
  readonly reasonNames: number
  readonly render: RenderWords
}

/** Byte place of each header word. Tables: address and count. */
export const HEADER = {
  magic: 0,
  byteCount: 4,
  code: 8,
  codeWords: 12,
  keys: 16,
  keyCount: 20,
  patterns: 24,
  patternCount: 28,
  paths: 32,
  pathCount: 36,
  keySets: 40,
  keySetCount: 44,
  stepCount: 48,
  hasJoin: 52,
  framing: 56,
  timeKey: 60,
  timeRenamed: 64,
  timePrecision: 68,
  tagKey: 72,
  tagRenamed: 76,
  timeConflict: 80,
  hasId: 84,
  messageField: 88,
  recordBytesMax: 92,
  targetParts: 96,
  targetPartCount: 100,
  /** How often the target can change: see TARGET_*. */
  targetSpan: 104,
  /** Whether the metadata of entries is looked at. */
  usesMeta: 108,
  hasSteps: 112,
  reasonNames: 116
} as const

/** The target depends on nothing but the group's tag. */
export const TARGET_TAG = 0
/** Also on the day of the event time. */
export const TARGET_DAY = 1
/** On anything of the record. */
export const TARGET_RECORD = 2

const FRAMINGS = ['ndjson', 'log_events'] as const
const CONFLICTS = ['keep', 'overwrite', 'rename'] as const

export function buildProgram(parts: ProgramParts): Uint8Array {
  const { data, render } = parts
  const { layout } = render
  const header = Buffer.alloc(HEADER_BYTES)
  const put = (place: number, ...words: readonly number[]) => {
    words.forEach((word, index) => {
      header.writeUInt32LE(word >>> 0, place + index * 4)
    })
  }
  const keys = parts.keys.map((key) => data.text(key))
  put(HEADER.keys, data.words(keys.flatMap(sliceWords)), keys.length)
  const patterns = parts.patterns.flatMap(({ source, flags }) => [
    ...sliceWords(source),
    ...sliceWords(flags)
  ])
  put(HEADER.patterns, data.words(patterns), parts.patterns.length)
  put(HEADER.paths, data.words(parts.paths.flat()), parts.paths.length)
  put(HEADER.keySets, data.words(parts.keySets.flat()), parts.keySets.length)
  put(HEADER.stepCount, parts.stepCount, parts.hasJoin ? 1 : 0, FRAMINGS.indexOf(layout.framing))
  put(HEADER.timeKey, render.timeKey, render.timeRenamed, layout.timeField?.precision ?? 0)
  put(HEADER.tagKey, render.tagKey, render.tagRenamed, CONFLICTS.indexOf(layout.timeConflict))
  put(HEADER.hasId, layout.hasId ? 1 : 0, render.messageField, layout.recordBytesMax)
  put(HEADER.targetParts, render.targetParts, layout.target.parts.length, targetSpan(layout.target))
  const usesMeta = parts.paths.some(([root]) => root === ROOT_META)
  put(HEADER.usesMeta, usesMeta ? 1 : 0, parts.hasSteps ? 1 : 0, parts.reasonNames)
  put(HEADER.code, data.words(parts.code), parts.code.length)
  put(HEADER.magic, PROGRAM_MAGIC, data.endAddress)
  const bytes = Buffer.concat([header, data.bytes])
  invariant(bytes.length <= PROGRAM_BYTES_MAX, 'a program outgrew its area')
  return bytes
}

function sliceWords(slice: Slice): readonly [number, number] {
  return [slice.address, slice.byteCount]
}

function targetSpan(template: Template): number {
  let span = TARGET_TAG
  for (const part of template.parts) {
    if (part.kind === 'text' || part.kind === 'tag' || part.kind.startsWith('tag_')) continue
    const isDay = part.kind === 'time' && !/%[^YymdebBhaAjuwVGFD]/.test(part.format)
    if (!isDay) return TARGET_RECORD
    span = TARGET_DAY
  }
  return span
}
