// Runs on: any.
// Records of a queue as a stream of text that any tool can carry: `millrace queue export` writes it, `import` reads it.
// One JSON object per line, UTF-8, lines of bounded length:
//
//   {"millrace":"export","format":1,"store":"<uuid, hex>","log":"routes/web","created":<ms>,"records":"pending","destination":"search"}
//   {"run":{"shard":0,"epoch":1763600000,"offset":1200,"count":3,"appended":<ms>,"tag":"app.web","source":"in\u0000",
//           "chunk":"<base64>","form":1,"entries":"<base64: 3 entries as received, back to back>"}}
//   {"hole":{"shard":0,"offset":1203,"count":20,"reason":"corrupt"}}
//   {"millrace":"end","records":3,"lost":20,"sha256":"<hex, over all lines before this one with their line feeds>"}
//
// A stream without its last line, or with another sum, is not whole: a reader throws before it has said `end`. Tag and
// source stand as text when they are UTF-8, else as {"base64":"..."}. What is read is checked as strictly as a message of
// a stranger: shape, bounds, and that the entries are as many values of the right shape as the line says.

import { createHash } from 'node:crypto'
import { MillraceError } from '../../core/errors.ts'
import { RECORD_BYTES_MAX } from '../../core/limits.ts'
import { headerAt, skipValue } from '../../core/msgpack-skip.ts'
import { OFFSET_MAX } from '../../core/position.ts'
import { ENTRY_FORM } from '../format/layout.ts'
import { splitEntries } from '../format/stored-entries.ts'

export const EXPORT_FORMAT = 1
/** Entries of one line before base64; one entry that is longer has a line for itself. */
export const EXPORT_RUN_BYTES_MAX = 1024 * 1024
/** A line: the longest entry as a message, in base64, and its labels. */
export const EXPORT_LINE_BYTES_MAX = Math.ceil((RECORD_BYTES_MAX + 65_536) / 3) * 4 + 512 * 1024
const RUN_RECORDS_MAX = 2 ** 32 - 1
const LABEL_BYTES_MAX = 65_535

export interface ExportHeader {
  /** Which store the records come from, hex. */
  readonly store: string
  /** `routes/web`, `dlq/out.search`. */
  readonly log: string
  readonly createdMs: number
  /** `pending`: what `destination`, or any destination if it is null, has not finished. `retained`: all that is stored. */
  readonly records: 'pending' | 'retained'
  readonly destination: string | null
}

/** Records of one group: same tag, source, chunk id and append time, offsets in a row. */
export interface ExportRun {
  readonly shardNumber: number
  readonly epoch: number
  readonly firstOffset: number
  readonly recordCount: number
  readonly appendTimeMs: number
  readonly tag: Buffer
  readonly source: Buffer
  /** The `chunk` value with its MessagePack type byte. */
  readonly ingestId: Buffer | null
  readonly form: number
  /** As received, `recordCount` of them. */
  readonly entries: Buffer
}

/** Offsets that could not be read; nothing stands for them in the stream. */
export interface ExportHole {
  readonly shardNumber: number
  readonly firstOffset: number
  readonly recordCount: number
  readonly reason: string
}

export type ExportItem =
  | ({ readonly kind: 'header' } & ExportHeader)
  | ({ readonly kind: 'run' } & ExportRun)
  | ({ readonly kind: 'hole' } & ExportHole)
  | {
      readonly kind: 'end'
      readonly recordCount: number
      readonly lostCount: number
      /** SHA-256 over all lines before, hex. */
      readonly sum: string
    }

/** Lines with their line feeds, in the order: header, runs and holes, end. */
export class ExportEncoder {
  readonly #sum = createHash('sha256')
  #recordCount = 0
  #lostCount = 0

  get recordCount(): number {
    return this.#recordCount
  }

  get lostCount(): number {
    return this.#lostCount
  }

  header(header: ExportHeader): string {
    const { createdMs, destination, log, records, store } = header
    const line = { millrace: 'export', format: EXPORT_FORMAT, store, log, created: createdMs }
    return this.#line({ ...line, records, destination })
  }

  run(run: ExportRun): string {
    this.#recordCount += run.recordCount
    return this.#line({
      run: {
        shard: run.shardNumber,
        epoch: run.epoch,
        offset: run.firstOffset,
        count: run.recordCount,
        appended: run.appendTimeMs,
        tag: labelText(run.tag),
        source: labelText(run.source),
        ...(run.ingestId === null ? {} : { chunk: run.ingestId.toString('base64') }),
        form: run.form,
        entries: run.entries.toString('base64')
      }
    })
  }

  hole(hole: ExportHole): string {
    this.#lostCount += hole.recordCount
    const { firstOffset, reason, recordCount, shardNumber } = hole
    return this.#line({
      hole: { shard: shardNumber, offset: firstOffset, count: recordCount, reason }
    })
  }

  end(): string {
    const sha256 = this.#sum.digest('hex')
    const line = { millrace: 'end', records: this.#recordCount, lost: this.#lostCount, sha256 }
    return `${JSON.stringify(line)}\n`
  }

  #line(value: object): string {
    const line = `${JSON.stringify(value)}\n`
    this.#sum.update(line)
    return line
  }
}

/** Takes the bytes of a stream in any pieces. Throws MR_EXPORT at the first line that is wrong; holds one line at most. */
export class ExportDecoder {
  readonly #sum = createHash('sha256')
  readonly #parts: Buffer[] = []
  #partBytes = 0
  #lineCount = 0
  #recordCount = 0
  #lostCount = 0
  #isEnded = false

  /** After the last piece: throws when the stream was cut. */
  finish(): void {
    if (!this.#isEnded)
      throw wrong(this.#lineCount + 1, 'the stream is cut: its last line is not there')
  }

  /** Items of the lines that this piece completes, in order. */
  *push(piece: Uint8Array): Generator<ExportItem> {
    const bytes = Buffer.from(piece.buffer, piece.byteOffset, piece.byteLength)
    let from = 0
    for (let at = bytes.indexOf(10); at >= 0; at = bytes.indexOf(10, from)) {
      this.#keep(bytes.subarray(from, at + 1))
      from = at + 1
      const line = Buffer.concat(this.#parts)
      this.#parts.length = 0
      this.#partBytes = 0
      yield this.#item(line)
    }
    // The piece is the caller's: what is left of it is copied.
    if (from < bytes.length) this.#keep(Buffer.from(bytes.subarray(from)))
  }

  #keep(part: Buffer): void {
    this.#partBytes += part.length
    if (this.#partBytes > EXPORT_LINE_BYTES_MAX) {
      throw wrong(this.#lineCount + 1, `a line is longer than ${EXPORT_LINE_BYTES_MAX} bytes`)
    }
    this.#parts.push(part)
  }

  #item(line: Buffer): ExportItem {
    this.#lineCount++
    const number = this.#lineCount
    if (this.#isEnded) throw wrong(number, 'something follows the last line')
    const value = parseLine(line, number)
    if (number === 1) {
      this.#sum.update(line)
      return readHeader(new Fields(value, number))
    }
    if (value['millrace'] === 'end') return this.#end(new Fields(value, number))
    this.#sum.update(line)
    if (isObject(value['run'])) {
      const run = readRun(new Fields(value['run'], number))
      this.#recordCount += run.recordCount
      return run
    }
    if (isObject(value['hole'])) {
      const hole = readHole(new Fields(value['hole'], number))
      this.#lostCount += hole.recordCount
      return hole
    }
    throw wrong(number, 'neither a run, a hole nor the end')
  }

  #end(fields: Fields): ExportItem {
    const recordCount = fields.number('records', Number.MAX_SAFE_INTEGER)
    const lostCount = fields.number('lost', Number.MAX_SAFE_INTEGER)
    if (recordCount !== this.#recordCount || lostCount !== this.#lostCount) {
      throw fields.wrong(
        `${this.#recordCount} records and ${this.#lostCount} lost were read, the last line says ${recordCount} and ${lostCount}`
      )
    }
    const sum = this.#sum.digest('hex')
    if (fields.text('sha256') !== sum) {
      throw fields.wrong('the sum of the lines is another one: the stream was changed')
    }
    this.#isEnded = true
    return { kind: 'end', recordCount, lostCount, sum }
  }
}

/** Cuts records of a group into runs of bounded length. */
export function* runsOf(run: ExportRun): Generator<ExportRun> {
  const entries = splitEntries(run) ?? []
  let first = 0
  for (let index = 0; index < entries.length; index++) {
    const startByte = entries[first]?.startByte ?? 0
    const nextEndByte = entries[index + 1]?.endByte ?? Number.POSITIVE_INFINITY
    if (nextEndByte - startByte <= EXPORT_RUN_BYTES_MAX) continue
    yield {
      ...run,
      firstOffset: run.firstOffset + first,
      recordCount: index + 1 - first,
      // Markers between entries are left out: they are no records.
      entries: Buffer.concat(
        entries
          .slice(first, index + 1)
          .map((entry) => run.entries.subarray(entry.startByte, entry.endByte))
      )
    }
    first = index + 1
  }
}

type Json = Readonly<Record<string, unknown>>

function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function wrong(lineNumber: number, what: string): MillraceError {
  return new MillraceError('MR_EXPORT', `line ${lineNumber} of the export: ${what}`)
}

function parseLine(line: Buffer, number: number): Json {
  let value: unknown
  try {
    value = JSON.parse(line.toString())
  } catch {
    throw wrong(number, 'no JSON')
  }
  if (!isObject(value)) throw wrong(number, 'no JSON object')
  return value
}

/** Fields of one line, each checked as it is taken. */
class Fields {
  readonly #json: Json
  readonly #lineNumber: number

  constructor(json: Json, lineNumber: number) {
    this.#json = json
    this.#lineNumber = lineNumber
  }

  wrong(what: string): MillraceError {
    return wrong(this.#lineNumber, what)
  }

  number(name: string, max: number, min = 0): number {
    const value = this.#json[name]
    const isRight =
      typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max
    if (!isRight) throw this.wrong(`"${name}" is no whole number from ${min} to ${max}`)
    return value
  }

  text(name: string): string {
    const value = this.#json[name]
    if (typeof value !== 'string') throw this.wrong(`"${name}" is no text`)
    return value
  }

  base64(name: string, value = this.#json[name]): Buffer {
    if (typeof value !== 'string') throw this.wrong(`"${name}" is no text in base64`)
    const bytes = Buffer.from(value, 'base64')
    // Node passes over what is no base64; the way back tells.
    if (bytes.toString('base64') !== value) throw this.wrong(`"${name}" is no base64`)
    return bytes
  }

  /** Text, or `{"base64": ...}` for bytes that are none. */
  label(name: string): Buffer {
    const value = this.#json[name]
    const bytes = isObject(value)
      ? this.base64(name, value['base64'])
      : Buffer.from(this.text(name), 'utf8')
    if (bytes.length > LABEL_BYTES_MAX) throw this.wrong(`"${name}" is too long`)
    return bytes
  }

  has(name: string): boolean {
    return this.#json[name] !== undefined && this.#json[name] !== null
  }
}

function readHeader(fields: Fields): ExportItem {
  const isExport = fields.has('millrace') && fields.text('millrace') === 'export'
  if (!isExport) throw fields.wrong('this is no export of a queue')
  const format = fields.number('format', Number.MAX_SAFE_INTEGER)
  if (format !== EXPORT_FORMAT) {
    throw fields.wrong(`format ${format}; this release reads format ${EXPORT_FORMAT}`)
  }
  const records = fields.text('records')
  if (records !== 'pending' && records !== 'retained') {
    throw fields.wrong('"records" is neither pending nor retained')
  }
  return {
    kind: 'header',
    store: fields.text('store'),
    log: fields.text('log'),
    createdMs: fields.number('created', Number.MAX_SAFE_INTEGER),
    records,
    destination: fields.has('destination') ? fields.text('destination') : null
  }
}

function readRun(fields: Fields): { kind: 'run' } & ExportRun {
  const run = {
    kind: 'run' as const,
    shardNumber: fields.number('shard', 65_535),
    epoch: fields.number('epoch', 2 ** 32 - 1),
    firstOffset: fields.number('offset', OFFSET_MAX),
    recordCount: fields.number('count', RUN_RECORDS_MAX, 1),
    appendTimeMs: fields.number('appended', Number.MAX_SAFE_INTEGER),
    tag: fields.label('tag'),
    source: fields.label('source'),
    ingestId: fields.has('chunk') ? fields.base64('chunk') : null,
    form: fields.number('form', ENTRY_FORM.messages, ENTRY_FORM.entries),
    entries: fields.base64('entries')
  }
  const entries = splitEntries(run)
  const isWhole = entries?.length === run.recordCount
  if (!isWhole) throw fields.wrong(`"entries" are not ${run.recordCount} MessagePack values`)
  if (!entries.every(({ startByte }) => isEntryShaped(run.entries, startByte, run.form))) {
    throw fields.wrong('"entries" holds a value that is no entry')
  }
  return run
}

function readHole(fields: Fields): { kind: 'hole' } & ExportHole {
  return {
    kind: 'hole',
    shardNumber: fields.number('shard', 65_535),
    firstOffset: fields.number('offset', OFFSET_MAX),
    recordCount: fields.number('count', OFFSET_MAX, 1),
    reason: fields.text('reason')
  }
}

/** `[time, map]`, or a message `[tag, time, map, option?]`. */
function isEntryShaped(bytes: Buffer, startByte: number, form: number): boolean {
  const head = headerAt(bytes, startByte)
  const first = bytes[startByte] ?? 0
  const isArray = (first >= 0x90 && first < 0xa0) || first === 0xdc || first === 0xdd
  if (head === null || !isArray) return false
  const isMessage = form === ENTRY_FORM.messages
  const isCountRight = isMessage
    ? head.valueCount === 3 || head.valueCount === 4
    : head.valueCount === 2
  if (!isCountRight) return false
  let at = startByte + head.byteCount
  for (let skipped = 0; skipped < (isMessage ? 2 : 1); skipped++) at = skipValue(bytes, at)
  const type = bytes[at] ?? 0
  return (type >= 0x80 && type < 0x90) || type === 0xde || type === 0xdf
}

/** Text when the bytes are UTF-8 and come back the same. */
function labelText(bytes: Buffer): string | { base64: string } {
  const text = bytes.toString('utf8')
  return Buffer.from(text, 'utf8').equals(bytes) ? text : { base64: bytes.toString('base64') }
}
