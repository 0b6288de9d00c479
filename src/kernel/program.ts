// Step 7. Runs on: any.
// Puts a route's steps and an output's rendering into the words that the kernel runs. A program is plain bytes: made once
// on main, it crosses to the pool threads and is loaded there. It names fields by key ids and texts by addresses within
// itself; nothing in it depends on the instance that runs it. Header words: HEADER in program-header.ts.

import { MillraceError } from '../core/errors.ts'
import type { Template, TemplatePart } from '../core/template.ts'
import * as codes from './codes.ts'
import { ProgramData, type Slice } from './program-data.ts'
import { buildProgram, type RenderLayout, type RenderWords } from './program-header.ts'
import { counterName } from './render-names.ts'
import { compileTimeFormat } from './time-format.ts'

/** Number of a top-level key within one program, from 1. */
export type KeyId = number
/** A field as ops name it: the id of a top-level key, or a path. */
export type FieldRef = number
/** A place in the code that ops jump to; placed after every op that names it. */
export interface Label {
  word: number
}

export interface ParseOptions {
  /** codes.PARSE_* */
  readonly flags?: number
  /** codes.FAILURE_* */
  readonly failure?: number
  /** For FAILURE_TAG: the field and what the step calls itself in it. */
  readonly tag?: { readonly key: KeyId; readonly text: string }
  readonly into?: KeyId
  readonly prefix?: string
  readonly time?: { readonly key: KeyId; readonly format: string; readonly zoneSeconds?: number }
  /** codes.CONVERT_* of result fields. */
  readonly types?: readonly { readonly key: KeyId; readonly type: number }[]
}

export interface KeySet {
  readonly exact?: readonly string[]
  readonly prefixes?: readonly string[]
  /** Numbers of `pattern`. */
  readonly patterns?: readonly number[]
}

export interface JoinFields {
  /** The join is asked for records that have this field, and for all while groups are open. 0: for all. */
  readonly present: KeyId
  /** The field whose text a joined record gets replaced. */
  readonly text: KeyId
  /** Fields that every joined record loses. */
  readonly clear: readonly KeyId[]
  /** Fields that only complete joined records lose, and the field that incomplete ones get as true (0: none). */
  readonly clearComplete: readonly KeyId[]
  readonly incomplete: KeyId
  /** What JavaScript decides by, in the order it reads them. */
  readonly fields: readonly FieldRef[]
}

export class ProgramWriter {
  /** Number of the step that the ops written next belong to. 0 is the output's own. */
  step = 1
  readonly #data = new ProgramData()
  readonly #code: number[] = []
  readonly #jumps: { readonly at: number; readonly label: Label }[] = []
  readonly #keys: string[] = []
  readonly #keyIds = new Map<string, KeyId>()
  readonly #paths: number[][] = []
  readonly #pathRefs = new Map<string, FieldRef>()
  readonly #patterns: { readonly source: Slice; readonly flags: Slice }[] = []
  readonly #keySets: number[][] = []
  #lastStep = 0
  #hasJoin = false
  #hasSteps = false
  #tagsFailures = false

  /** Id of a top-level key. */
  key(name: string): KeyId {
    const known = this.#keyIds.get(name)
    if (known !== undefined) return known
    this.#keys.push(name)
    this.#keyIds.set(name, this.#keys.length)
    return this.#keys.length
  }

  /** A field of the record, by path; the first part is a top-level key. */
  field(path: readonly (string | number)[]): FieldRef {
    const [root, ...rest] = path
    if (rest.length === 0) return this.key(String(root))
    return this.#path(this.key(String(root)), rest)
  }

  /** A field of the entry's metadata; without a path all of it. */
  meta(path: readonly (string | number)[]): FieldRef {
    return this.#path(codes.ROOT_META, path)
  }

  /** A regular expression that JavaScript runs. */
  pattern(source: string, flags = ''): number {
    this.#patterns.push({ source: this.#data.text(source), flags: this.#data.text(flags) })
    return this.#patterns.length - 1
  }

  keySet(set: KeySet): number {
    const exact = (set.exact ?? []).map((name) => this.key(name))
    const prefixes = (set.prefixes ?? []).map((prefix) => this.#data.text(prefix))
    const patterns = set.patterns ?? []
    this.#keySets.push([
      this.#data.words(exact),
      exact.length,
      this.#data.words(prefixes.flatMap((slice) => [slice.address, slice.byteCount])),
      prefixes.length,
      this.#data.words(patterns),
      patterns.length
    ])
    return this.#keySets.length - 1
  }

  label(): Label {
    return { word: -1 }
  }

  /** The label means the next op. */
  place(label: Label): void {
    label.word = this.#code.length
  }

  setJson(id: KeyId, json: string, flags = 0): void {
    const isEscaped = json.startsWith('"') && json.includes('\\')
    this.#op(codes.OP_SET_JSON, id, ...this.#slice(json), isEscaped ? codes.FLAG_ESCAPED : 0, flags)
  }

  setText(id: KeyId, parts: readonly TemplatePart[], flags = 0): void {
    this.#op(codes.OP_SET_TEXT, id, flags, this.#parts(parts), parts.length)
  }

  copy(id: KeyId, from: FieldRef, flags = 0, fallback: string | null = null): void {
    const all = fallback === null ? flags : flags | codes.SET_HAS_FALLBACK
    this.#op(codes.OP_COPY, id, from, all, ...this.#slice(fallback ?? ''))
  }

  /** Members of the map in the field become fields; no others than maps as they came. */
  merge(from: FieldRef, flags = 0): void {
    this.#op(codes.OP_MERGE, from, flags)
  }

  commit(): void {
    this.#op(codes.OP_COMMIT)
  }

  /** `set`: a template of one placeholder copies the value with its type, any other makes text. */
  setTemplate(id: KeyId, template: Template, flags = 0): void {
    const [part, more] = template.parts
    if (more === undefined && (part?.kind === 'record' || part?.kind === 'meta')) {
      const from = part.kind === 'record' ? this.field(part.path) : this.meta([part.key])
      if (part.fallback !== null) this.copy(id, from, flags, part.fallback)
      else this.copy(id, from, flags | codes.SET_COUNT_MISSING, '')
      return
    }
    this.setText(id, template.parts, flags)
  }

  remove(ids: readonly KeyId[]): void {
    this.#op(codes.OP_REMOVE, ids.length, ...ids)
  }

  filterKeys(keySet: number, isKept: boolean): void {
    this.#op(codes.OP_FILTER_KEYS, keySet, isKept ? 1 : 0)
  }

  rename(pairs: readonly (readonly [KeyId, KeyId])[], isTargetKept: boolean): void {
    this.#op(codes.OP_RENAME, isTargetKept ? 1 : 0, pairs.length, ...pairs.flat())
  }

  /** Jumps when the outcome is `when`. */
  match(field: FieldRef, kind: number, text: string, label: Label, when: boolean): void {
    this.#op(codes.OP_MATCH, field, kind, ...this.#slice(text))
    this.#jump(label, when)
  }

  containsAny(field: FieldRef, texts: readonly string[], label: Label, when: boolean): void {
    const table = this.#data.words(texts.flatMap((text) => this.#slice(text)))
    this.#op(codes.OP_MATCH, field, codes.MATCH_CONTAINS_ANY, table, texts.length)
    this.#jump(label, when)
  }

  /** `value` as a bigint is compared exactly. */
  compare(
    field: FieldRef,
    relation: number,
    value: bigint | number,
    label: Label,
    when: boolean
  ): void {
    this.#op(codes.OP_COMPARE, field, relation, ...numberWords(value))
    this.#jump(label, when)
  }

  /** Whether the entry came by this input. */
  fromInput(input: string, label: Label, when: boolean): void {
    this.#op(codes.OP_FROM_INPUT, ...this.#slice(input))
    this.#jump(label, when)
  }

  exists(field: FieldRef, label: Label, when: boolean): void {
    this.#op(codes.OP_EXISTS, field)
    this.#jump(label, when)
  }

  typeIs(field: FieldRef, mask: number, label: Label, when: boolean): void {
    this.#op(codes.OP_TYPE_IS, field, mask)
    this.#jump(label, when)
  }

  regex(field: FieldRef, pattern: number, label: Label, when: boolean): void {
    this.#op(codes.OP_REGEX, field, pattern)
    this.#jump(label, when)
  }

  parseJson(field: FieldRef, options: ParseOptions): void {
    this.#op(codes.OP_PARSE_JSON, field, this.#options(options))
  }

  /** Ids in the order remote, host, user, time, method, path, code, size, referer, agent, rest. */
  parseAccess(field: FieldRef, options: ParseOptions, ids: readonly KeyId[]): void {
    this.#op(codes.OP_PARSE_ACCESS, field, this.#options(options), ...ids)
  }

  /** Ids in the order facility, severity, host, ident, pid, msgid, message, time, structured data. */
  parseSyslog(
    field: FieldRef,
    options: ParseOptions,
    rules: {
      readonly mode: number
      readonly flags: number
      readonly zoneSeconds: number
      readonly formats: readonly string[]
    },
    ids: readonly KeyId[]
  ): void {
    const formats = rules.formats.map((format) => this.#timeFormat(format))
    const { mode, flags, zoneSeconds } = rules
    const words = [mode, flags, zoneSeconds, ...formats, ...ids]
    this.#op(codes.OP_PARSE_SYSLOG, field, this.#options(options), ...words)
  }

  parseRegex(
    field: FieldRef,
    options: ParseOptions,
    pattern: number,
    groups: readonly KeyId[]
  ): void {
    this.#op(codes.OP_PARSE_RX, field, this.#options(options), pattern, groups.length, ...groups)
  }

  parseTime(field: FieldRef, options: ParseOptions): void {
    this.#op(codes.OP_PARSE_TIME, field, this.#options(options))
  }

  convert(id: KeyId, type: number, timeFormat = '%s', zoneSeconds = 0): void {
    this.#op(codes.OP_CONVERT, id, type, this.#timeFormat(timeFormat), zoneSeconds)
  }

  /** `fields` null: the whole record crosses. */
  leaveJs(stage: number, fields: readonly KeyId[] | null, options: ParseOptions): void {
    const count = fields === null ? 0xffffffff : fields.length
    this.#op(codes.OP_LEAVE_JS, stage, this.#options(options), count, ...(fields ?? []))
  }

  drop(): void {
    this.#op(codes.OP_DROP)
  }

  dead(reason: number): void {
    this.#op(codes.OP_DEAD, reason)
  }

  jump(label: Label): void {
    this.#op(codes.OP_JUMP)
    this.#jumps.push({ at: this.#code.length, label })
    this.#code.push(0)
  }

  count(counter: number): void {
    this.#op(codes.OP_COUNT, counter)
  }

  join(join: JoinFields): void {
    this.#hasJoin = true
    const clear = [...join.clear, ...join.clearComplete]
    this.#op(codes.OP_JOIN, join.present, join.text, join.incomplete)
    this.#code.push(clear.length, join.clear.length, ...clear)
    this.#code.push(join.fields.length, ...join.fields)
  }

  /** The program's bytes. Nothing may be written after. */
  finish(layout: RenderLayout): Uint8Array {
    this.step = 0
    this.#op(codes.OP_END)
    for (const { at, label } of this.#jumps) this.#code[at] = label.word
    const render = this.#render(layout)
    return buildProgram({
      data: this.#data,
      code: this.#code,
      keys: this.#keys,
      patterns: this.#patterns,
      paths: this.#paths,
      keySets: this.#keySets,
      stepCount: this.#lastStep,
      hasJoin: this.#hasJoin,
      hasSteps: this.#hasSteps,
      reasonNames: this.#tagsFailures ? this.#reasonNames() : 0,
      render
    })
  }

  /** Names that FAILURE_TAG writes into records. */
  #reasonNames(): number {
    const reasons = Array.from({ length: codes.COUNTERS_PER_STEP }, (_, reason) => reason)
    return this.#data.words(reasons.flatMap((reason) => this.#slice(counterName(reason))))
  }

  #render(layout: RenderLayout): RenderWords {
    const { timeField, tagField, target } = layout
    return {
      layout,
      timeKey: timeField === null ? 0 : this.key(timeField.key),
      timeRenamed: timeField === null ? 0 : this.key(`${timeField.key}_original`),
      tagKey: tagField === null ? 0 : this.key(tagField),
      tagRenamed: tagField === null ? 0 : this.key(`${tagField}_original`),
      messageField: layout.messageField === null ? 0 : this.key(layout.messageField),
      targetParts: this.#parts(target.parts)
    }
  }

  #op(op: number, ...operands: readonly number[]): void {
    if (this.step > this.#lastStep) this.#lastStep = this.step
    if (op !== codes.OP_JOIN && op !== codes.OP_END) this.#hasSteps = true
    this.#code.push(op | (this.step << 16), ...operands)
  }

  #jump(label: Label, when: boolean): void {
    this.#jumps.push({ at: this.#code.length, label })
    this.#code.push(0, when ? 1 : 0)
  }

  #slice(text: string): readonly [number, number] {
    const slice = this.#data.text(text)
    return [slice.address, slice.byteCount]
  }

  #path(root: KeyId, segments: readonly (string | number)[]): FieldRef {
    const key = JSON.stringify([root, ...segments])
    const known = this.#pathRefs.get(key)
    if (known !== undefined) return known
    const words = segments.flatMap((segment) =>
      typeof segment === 'number' ? [segment, codes.SEGMENT_INDEX] : this.#slice(segment)
    )
    this.#paths.push([root, this.#data.words(words), segments.length, 0])
    const ref = (codes.FIELD_PATH | (this.#paths.length - 1)) >>> 0
    this.#pathRefs.set(key, ref)
    return ref
  }

  #timeFormat(format: string): number {
    const compiled = compileTimeFormat(format)
    if (compiled.kind === 'ok') return this.#data.text(compiled.bytes).address
    throw new MillraceError(
      'MR_CONFIG_TEMPLATE',
      `time format ${JSON.stringify(format)} has the unknown directive ${JSON.stringify(compiled.directive)}`
    )
  }

  #parts(parts: readonly TemplatePart[]): number {
    if (parts.length > codes.TEMPLATE_PARTS_MAX) {
      throw new MillraceError(
        'MR_CONFIG_TEMPLATE',
        `template of ${parts.length} parts exceeds ${codes.TEMPLATE_PARTS_MAX}`
      )
    }
    return this.#data.words(parts.flatMap((part) => this.#part(part)))
  }

  #part(part: TemplatePart): readonly number[] {
    switch (part.kind) {
      case 'text':
        return [codes.PART_TEXT, ...this.#slice(part.text), 0]
      case 'record':
        return [codes.PART_FIELD, this.field(part.path), ...this.#fallback(part.fallback)]
      case 'meta':
        return [codes.PART_FIELD, this.meta([part.key]), ...this.#fallback(part.fallback)]
      case 'tag':
        return [codes.PART_TAG, 0, 0, 0]
      case 'tag_parts':
        return part.isSlice
          ? [codes.PART_TAG_PARTS, part.from, part.to ?? codes.TAG_PARTS_END, 1]
          : [codes.PART_TAG_PARTS, part.from, 0, 0]
      case 'time':
        return [codes.PART_TIME, this.#timeFormat(part.format), 0, 0]
      case 'source_address':
        return [codes.PART_SOURCE_ADDRESS, 0, 0, 0]
      case 'position':
        return [codes.PART_POSITION, 0, 0, 0]
    }
  }

  #fallback(text: string | null): readonly [number, number] {
    return text === null ? [0xffffffff, 0] : this.#slice(text)
  }

  #options(options: ParseOptions): number {
    const types = options.types ?? []
    if (options.tag !== undefined) this.#tagsFailures = true
    return this.#data.words([
      options.flags ?? 0,
      options.failure ?? codes.FAILURE_KEEP,
      options.tag?.key ?? 0,
      ...this.#slice(options.tag?.text ?? ''),
      options.into ?? 0,
      ...this.#slice(options.prefix ?? ''),
      options.time?.key ?? 0,
      options.time === undefined ? 0 : this.#timeFormat(options.time.format),
      options.time?.zoneSeconds ?? 0,
      this.#data.words(types.flatMap(({ key, type }) => [key, type])),
      types.length,
      0
    ])
  }
}

/** Kind and both words of a number that fields are compared with. */
function numberWords(value: bigint | number): readonly [number, number, number] {
  const bytes = Buffer.alloc(8)
  const isInteger = typeof value === 'bigint' || Number.isSafeInteger(value)
  if (!isInteger) bytes.writeDoubleLE(value)
  else if (BigInt(value) >= 2n ** 63n) bytes.writeBigUInt64LE(BigInt.asUintN(64, BigInt(value)))
  else bytes.writeBigInt64LE(BigInt.asIntN(64, BigInt(value)))
  const kind = !isInteger
    ? codes.NUMBER_DOUBLE
    : BigInt(value) >= 2n ** 63n
      ? codes.NUMBER_UINT
      : codes.NUMBER_INT
  return [kind, bytes.readUInt32LE(0), bytes.readUInt32LE(4)]
}
