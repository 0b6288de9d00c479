// Readers of bodies under generated and damaged bytes, against plain oracles: JSON and MessagePack in whatever pieces they
// come, `_bulk` lines, OTLP in both encodings, forms. MILLRACE_FUZZ_RUNS and MILLRACE_FUZZ_SEED choose how many and which.

import { encode } from '@msgpack/msgpack'
import t from 'tap'
import type { ScanKernel } from '../../../src/kernel/scan-kernel.ts'
import { newKernel } from '../../../test/kernel/scan-harness.ts'
import { type Dice, fuzz, mutate } from '../../../test/support/fuzz.ts'
import {
  bytesOf,
  type Field,
  fixed64Of,
  message,
  noteEntry,
  noteRequest,
  varintOf
} from '../../../test/support/otlp-message.ts'
import type { BodyForm } from './body-form.ts'
import { BulkReader } from './bulk-reader.ts'
import { fieldOfForm, fieldOfMultipart } from './form-fields.ts'
import { RecordGatherer } from './record-gatherer.ts'

const kernel: ScanKernel = newKernel()
const RULES = { timeSeconds: 1_800_000_000, timeNanos: 5, timeKeys: ['time', 'date'] }
/** No body here is long. */
const NO_SPOOLS = {
  open(): never {
    throw new Error('a spool file')
  }
}
const NOW = 1_800_000_000_000_000_005n

const TEXTS = ['', 'a', 'time', 'ü€😀', '"', '\\', '}{][,:', '\u0000\n\t', 'x'.repeat(300)]
const NUMBERS = [0, -1, 1.5, 2 ** 40, -1e300, 1_700_000_000.25, 255, 65_536]

function anyValue(dice: Dice, depth: number): unknown {
  switch (dice.below(depth > 3 ? 4 : 7)) {
    case 0:
      return dice.oneOf(TEXTS)
    case 1:
      return dice.oneOf(NUMBERS)
    case 2:
      return dice.oneOf([true, false, null])
    case 3:
      return '2026-11-20T17:05:09.5Z'
    case 4:
      return Array.from({ length: dice.below(20) }, () => anyValue(dice, depth + 1))
    default:
      return anyRecord(dice, depth + 1)
  }
}

function anyRecord(dice: Dice, depth = 0): Record<string, unknown> {
  const pairs = Array.from({ length: dice.below(5) }, () => [
    dice.oneOf(['a', 'time', 'date', 'long key '.repeat(5), 'k"\\ü']),
    anyValue(dice, depth)
  ])
  return Object.fromEntries(pairs)
}

interface Gathered {
  readonly entries: string
  readonly refused: string
  readonly error: boolean
}

/** What a gatherer makes of the pieces. */
function gather(form: BodyForm, pieces: readonly Buffer[], windowBytes: number): Gathered {
  const gatherer = new RecordGatherer({ kernel, spools: NO_SPOOLS }, form, RULES, windowBytes)
  try {
    for (const piece of pieces) if (!gatherer.add(piece)) throw new Error('no memory')
    if (!gatherer.finish()) throw new Error('no memory')
    return {
      entries: Buffer.concat(gatherer.pieces).toString('hex'),
      refused: Buffer.concat(gatherer.refused).toString('hex'),
      error: gatherer.firstError !== null
    }
  } finally {
    gatherer.release()
  }
}

function cut(bytes: Buffer, dice: Dice): Buffer[] {
  const pieces: Buffer[] = []
  for (let at = 0; at < bytes.length; ) {
    const end = at + 1 + dice.below(dice.oneOf([3, 40, 400]))
    pieces.push(bytes.subarray(at, end))
    at = end
  }
  return pieces
}

function bodyOf(form: BodyForm, records: readonly object[], dice: Dice): Buffer {
  if (form === 'msgpack') {
    const isList = dice.below(2) === 0
    return isList
      ? Buffer.from(encode(records))
      : Buffer.concat(records.map((record) => encode(record)))
  }
  const space = dice.oneOf([undefined, 1])
  if (form === 'ndjson') {
    return Buffer.from(records.map((record) => `${JSON.stringify(record)}\r\n`).join(''))
  }
  return dice.below(2) === 0
    ? Buffer.from(JSON.stringify(records, null, space))
    : Buffer.from(records.map((record) => JSON.stringify(record, null, space)).join(''))
}

for (const form of ['json', 'ndjson', 'msgpack'] as const) {
  fuzz(t, `http ${form}: pieces mean what the whole means`, (dice) => {
    const records = Array.from({ length: dice.below(12) }, () => anyRecord(dice))
    const good = bodyOf(form, records, dice)
    const isDamaged = dice.below(2) === 0
    const body = isDamaged ? mutate(good, dice) : good
    const borrowed = kernel.borrowedBytes
    const whole = gather(form, [body], 2 ** 20)
    const pieced = gather(form, cut(body, dice), dice.oneOf([1, 16, 100, 1000]))
    if (kernel.borrowedBytes !== borrowed) return 'blocks were not given back'
    if (!isDamaged && (whole.error || whole.refused !== '')) return 'good bytes were refused'
    if (pieced.entries !== whole.entries) {
      return `entries differ: ${body.toString('hex')}\n${whole.entries}\n${pieced.entries}`
    }
    if (pieced.refused !== whole.refused) return `refused differ: ${body.toString('hex')}`
    return pieced.error === whole.error ? undefined : `errors differ: ${body.toString('hex')}`
  })
}

/** `_bulk` by lines, as its documentation has it; null: the request is malformed. */
function bulkOracle(body: Buffer): string[] | null {
  const lines: string[] = []
  const text = body.toString('latin1')
  if (text === '') return null
  for (const line of text.split('\n')) lines.push(line)
  const items: string[] = []
  for (let at = 0; at < lines.length; at++) {
    const line = (lines[at] ?? '').replace(/^[ \t\r]+|[ \t\r]+$/g, '')
    if (line === '') continue
    let parsed: unknown
    try {
      parsed = JSON.parse(Buffer.from(line, 'latin1').toString())
    } catch {
      return null
    }
    const [name, ...others] = Object.keys(Object(parsed))
    const about = Object(parsed)[name ?? '']
    const isAction = ['index', 'create', 'update', 'delete'].includes(name ?? '')
    if (!isAction || others.length > 0 || typeof about !== 'object' || about === null) return null
    if (name === 'delete') {
      items.push('delete 404')
      continue
    }
    at++
    items.push(name === 'update' ? 'update 403' : `${name} ${documentStatus(lines[at] ?? '')}`)
  }
  return items
}

function documentStatus(line: string): number {
  const bytes = Buffer.from(line, 'latin1')
  const entry = gather('ndjson', [bytes], 2 ** 20)
  const isOne = kernelRecordCount(bytes) === 1 && !entry.error
  return isOne && /^[ \t\r]*\{/.test(line) ? 201 : 400
}

function kernelRecordCount(bytes: Buffer): number {
  const result = kernel.json.toEntries(bytes, RULES)
  if (result === null) throw new Error('no memory')
  kernel.giveBack(result.bytes)
  return result.valueCount
}

fuzz(t, 'http bulk: each action has the end that its lines say', (dice) => {
  const lines: string[] = []
  for (let left = dice.below(12); left > 0; left--) {
    const operation = dice.oneOf(['create', 'create', 'create', 'index', 'update', 'delete'])
    const about = dice.oneOf([{}, {}, { _index: 'a' }, { _index: 'b', _id: '1' }])
    lines.push(JSON.stringify({ [operation]: about }))
    if (operation !== 'delete') lines.push(JSON.stringify(anyRecord(dice)))
    if (dice.below(5) === 0) lines.push('')
  }
  const end = dice.oneOf(['\n', '\r\n'])
  const good = Buffer.from(lines.map((line) => line + end).join(''))
  const body = dice.below(2) === 0 ? mutate(good, dice) : good
  const expected = bulkOracle(body)
  const found = bulkItems(body)
  return JSON.stringify(found) === JSON.stringify(expected)
    ? undefined
    : `${body.toString('hex')}\n${JSON.stringify(expected)}\n${JSON.stringify(found)}`
})

function bulkItems(body: Buffer): string[] | null {
  const block = kernel.borrow(body.length + 1)
  if (block === null) throw new Error('no memory')
  body.copy(block)
  const reader = new BulkReader(kernel)
  const tagOf = (index: string) => Buffer.from(index)
  const result = reader.read(block.subarray(0, body.length), { ...RULES, index: 'path', tagOf })
  reader.release()
  kernel.giveBack(block)
  if (result.kind !== 'records') return null
  return result.items.flatMap(({ action, count, error }) => {
    const ends = { update: 403, delete: 404, create: 201, index: 201 }
    const status = error === null ? ends[action.operation] : 400
    return Array<string>(count).fill(`${action.operation} ${status}`)
  })
}

function anyMessage(dice: Dice, depth: number): Buffer {
  if (depth > 5) return message(bytesOf(1, dice.oneOf(TEXTS)))
  const one = (): Field =>
    dice.oneOf<() => Field>([
      () => bytesOf(1, dice.oneOf(TEXTS)),
      () => varintOf(2, dice.below(2)),
      () => varintOf(3, dice.oneOf([0, 1, 127, 128, -1, -129, 2 ** 40, -(2 ** 63)])),
      () => fixed64Of(4, dice.below(2 ** 30)),
      () => bytesOf(5, message(...many(dice, () => bytesOf(1, anyMessage(dice, depth + 1))))),
      () => bytesOf(6, message(...many(dice, () => bytesOf(1, anyPair(dice, depth + 1))))),
      () => bytesOf(7, dice.bytes(dice.below(40))),
      () => bytesOf(9, 'unknown')
    ])()
  return message(...many(dice, one, 2))
}

const many = (dice: Dice, make: () => Field, end = 4): Field[] =>
  Array.from({ length: dice.below(end + 1) }, make)

const anyPair = (dice: Dice, depth: number): Buffer =>
  message(bytesOf(1, dice.oneOf(TEXTS)), bytesOf(2, anyMessage(dice, depth)))

function anyLogRecord(dice: Dice): Buffer {
  const one = (): Field =>
    dice.oneOf<() => Field>([
      () => fixed64Of(1, BigInt(dice.oneOf([0, 1, 1_700_000_000])) * 1_000_000_007n),
      () => varintOf(2, dice.below(25)),
      () => bytesOf(3, dice.oneOf(['', 'INFO'])),
      () => bytesOf(5, anyMessage(dice, 0)),
      () => bytesOf(6, anyPair(dice, 1)),
      () => [8, 'fixed32', BigInt(dice.below(300))],
      () => bytesOf(9, dice.bytes(dice.oneOf([0, 8, 16, 200]))),
      () => bytesOf(10, Buffer.alloc(8)),
      () => fixed64Of(11, 5_000_000_000n),
      () => bytesOf(12, 'event')
    ])()
  return message(...many(dice, one, 8))
}

function anyRequest(dice: Dice): Buffer {
  const attributes = () => many(dice, () => bytesOf(1, anyPair(dice, 1)))
  const scopeLogs = () =>
    message(
      ...many(dice, () => bytesOf(1, message(bytesOf(1, dice.oneOf(TEXTS)))), 1),
      ...many(dice, () => bytesOf(2, anyLogRecord(dice)))
    )
  const resourceLogs = () =>
    message(
      ...many(dice, () => bytesOf(2, scopeLogs()), 2),
      ...many(dice, () => bytesOf(1, message(...attributes())), 1),
      ...many(dice, () => bytesOf(2, scopeLogs()), 1)
    )
  return message(...many(dice, () => bytesOf(1, resourceLogs()), 3))
}

/** Notes of what the kernel makes of a request; null: it refuses it. */
function kernelNotes(body: Buffer, isJson = false): { records: string[]; rejected: number } | null {
  const block = kernel.borrow(body.length + 64)
  if (block === null) throw new Error('no memory')
  body.copy(block)
  const reading = kernel.otlp.open()
  const bytes = block.subarray(0, body.length)
  const rules = { ...RULES, entryBytesMax: 2 ** 24 }
  try {
    const result = isJson ? reading.readJson(bytes, rules) : reading.readProtobuf(bytes, rules)
    if (result.kind === 'failed') return null
    const records: string[] = []
    for (const { entries, recordCount } of result.groups) {
      let count = 0
      for (let at = 0; at < entries.length; count++) {
        const { note, end } = noteEntry(entries.subarray(at), NOW)
        records.push(note)
        at += end
      }
      if (count !== recordCount) throw new Error(`${count} records, ${recordCount} told`)
    }
    return { records, rejected: result.rejected.length }
  } finally {
    reading.release()
    kernel.giveBack(block)
  }
}

fuzz(t, 'http otlp: protobuf means what a plain reader says', (dice) => {
  const good = anyRequest(dice)
  const body = dice.below(2) === 0 ? mutate(good, dice) : good
  const borrowed = kernel.borrowedBytes
  const found = JSON.stringify(kernelNotes(body))
  const expected = JSON.stringify(noteRequest(body))
  if (kernel.borrowedBytes !== borrowed) return 'blocks were not given back'
  return found === expected ? undefined : `${body.toString('hex')}\n${expected}\n${found}`
})

/** A value as OTLP has it in JSON, and the same in protobuf. */
function bothValues(dice: Dice, depth: number): { json: object; bytes: Buffer } {
  switch (dice.below(depth > 3 ? 5 : 7)) {
    case 0: {
      const value = dice.oneOf(TEXTS)
      return { json: { stringValue: value }, bytes: message(bytesOf(1, value)) }
    }
    case 1: {
      const value = dice.oneOf([0, 1, -1, 255, -(2 ** 31), 2 ** 53 - 1])
      const json = { intValue: dice.below(2) === 0 ? value : String(value) }
      return { json, bytes: message(varintOf(3, value)) }
    }
    case 2: {
      const value = dice.oneOf([0, 1, -1.5, 1e300])
      const float = Buffer.alloc(8)
      float.writeDoubleLE(value)
      const bytes = message(fixed64Of(4, float.readBigUInt64LE()))
      return { json: { doubleValue: value }, bytes }
    }
    case 3: {
      const value = dice.bytes(dice.below(20))
      const coding = dice.oneOf(['base64', 'base64url'] as const)
      return { json: { bytesValue: value.toString(coding) }, bytes: message(bytesOf(7, value)) }
    }
    case 4: {
      const value = dice.below(2) === 0
      return { json: { boolValue: value }, bytes: message(varintOf(2, value ? 1 : 0)) }
    }
    case 5: {
      const all = Array.from({ length: dice.below(20) }, () => bothValues(dice, depth + 1))
      const list = message(...all.map(({ bytes }) => bytesOf(1, bytes)))
      const json = { arrayValue: { values: all.map((each) => each.json) } }
      return { json, bytes: message(bytesOf(5, list)) }
    }
    default: {
      const all = bothPairs(dice, depth + 1)
      const list = message(...all.map(({ bytes }) => bytesOf(1, bytes)))
      const json = { kvlistValue: { values: all.map((each) => each.json) } }
      return { json, bytes: message(bytesOf(6, list)) }
    }
  }
}

function bothPairs(dice: Dice, depth: number): { json: object; bytes: Buffer }[] {
  return Array.from({ length: dice.below(4) }, () => {
    const key = dice.oneOf(TEXTS)
    const { json, bytes } = bothValues(dice, depth)
    return { json: { key, value: json }, bytes: message(bytesOf(1, key), bytesOf(2, bytes)) }
  })
}

fuzz(t, 'http otlp: JSON means what its protobuf means', (dice) => {
  const records = Array.from({ length: dice.below(5) }, () => {
    const body = bothValues(dice, 0)
    const attributes = bothPairs(dice, 1)
    const id = dice.bytes(16)
    const json = {
      traceId: id.toString('hex'),
      body: body.json,
      attributes: attributes.map((each) => each.json),
      severityNumber: 9,
      timeUnixNano: '1700000000123456789'
    }
    const fields = attributes.map(({ bytes }) => bytesOf(6, bytes))
    const parts = [bytesOf(9, id), bytesOf(5, body.bytes), varintOf(2, 9), ...fields]
    return { json, bytes: message(...parts, fixed64Of(1, 1_700_000_000_123_456_789n)) }
  })
  const json = { resourceLogs: [{ scopeLogs: [{ logRecords: records.map((each) => each.json) }] }] }
  const scopeLogs = message(...records.map(({ bytes }) => bytesOf(2, bytes)))
  const bytes = message(bytesOf(1, message(bytesOf(2, scopeLogs))))
  const text = Buffer.from(JSON.stringify(json))
  const found = JSON.stringify(kernelNotes(text, true))
  const expected = JSON.stringify(kernelNotes(bytes))
  if (found !== expected) return `${text}\n${expected}\n${found}`
  // Damaged text is refused or read, and nothing else.
  kernelNotes(mutate(text, dice), true)
  return undefined
})

fuzz(t, 'http forms: fields come out as they went in', (dice) => {
  const value = dice.bytes(dice.below(60))
  const name = dice.oneOf(['json', 'ndjson', 'msgpack'])
  const coded = Array.from(value, (byte) => `%${byte.toString(16).padStart(2, '0')}`).join('')
  const form = Buffer.from(`x=json%3D1&jsonx=2&${name}=${coded}&z`)
  if (!fieldOfForm(form)?.bytes.equals(value)) return `form ${form}`
  fieldOfForm(mutate(form, dice))
  const boundary = `b${dice.below(1000)}`
  const head = `--${boundary}\r\nContent-Disposition: form-data; name=`
  const multipart = Buffer.concat([
    Buffer.from(`preamble\r\n${head}"other"\r\n\r\n{}\r\n`),
    Buffer.from(`${head}"${name}"; filename="f"\r\nContent-Type: x/y\r\n\r\n`),
    value,
    Buffer.from(`\r\n--${boundary}--\r\n`)
  ])
  const type = `multipart/form-data; boundary=${dice.oneOf([boundary, `"${boundary}"`])}`
  const found = fieldOfMultipart(multipart, type)
  if (found?.form !== name || !found.bytes.equals(value)) return multipart.toString('hex')
  fieldOfMultipart(mutate(multipart, dice), type)
  return undefined
})
