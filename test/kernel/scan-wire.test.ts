// Runs on: any.
// Bytes of real clients and the hand-made wire cases: the scanner against their recorded outcome, at every cut.

import { readFileSync } from 'node:fs'
import { gunzipSync, zstdDecompressSync } from 'node:zlib'
import t, { type Test } from 'tap'
import type { ScanKernel } from '../../src/kernel/scan-kernel.ts'
import { merge, type Node, readNode, readStream, type Summary } from './forward-oracle.ts'
import { newKernel, scanPieces, summarize } from './scan-harness.ts'

interface WireCase {
  readonly id: string
  readonly title: string
  readonly hex?: string
  readonly expect: {
    readonly events: readonly { tag: string; time: string; record: unknown }[]
    readonly ack: string | null
    readonly connection: 'open' | 'close'
    readonly note?: string
  }
}

interface Capture {
  readonly file: string
  readonly format: string
  readonly frames: readonly { kind: string; tag?: string; logRecords?: number }[]
}

const DIR = new URL('../fixtures/wire/', import.meta.url)
const read = (name: string) => readFileSync(new URL(name, DIR))
const cases: WireCase[] = JSON.parse(read('cases.json').toString())
const captures: Record<string, Capture> = JSON.parse(read('manifest.json').toString())
/** Protocols that the scanner only names; the JSON cases are held in json.test.ts. */
const FIRST_BYTES: Record<string, string> = { X04: 'http', X05: 'tls', X10: 'proxy' }
const LARGE_MESSAGE_BYTES_MAX = 272 * 2 ** 20

const kernel = newKernel({ messageBytesMax: LARGE_MESSAGE_BYTES_MAX })

t.test('wire cases', (t) => {
  for (const wireCase of cases) {
    const { id, title, hex } = wireCase
    if (hex === undefined || id.startsWith('J')) continue
    t.test(`${id} ${title}`, (t) => {
      checkCase(t, wireCase, Buffer.from(hex, 'hex'))
      t.end()
    })
  }
  t.end()
})

function checkCase(t: Test, wireCase: WireCase, stream: Buffer): void {
  const { id, expect } = wireCase
  const result = scanPieces(kernel, stream, [])
  const first = FIRST_BYTES[id]
  if (first !== undefined) {
    t.equal(result.status, first)
    return
  }
  t.equal(result.status === 'done' ? 'open' : 'close', expect.connection)
  const events = result.units.flatMap((unit) => eventsOf(stream, unit))
  t.strictSame(
    events,
    expect.events.map(({ tag, time, record }) => expectedEvent(tag, time, record))
  )
  t.strictSame(
    result.units
      .flatMap((unit) => unit.acks)
      .map(ackText)
      .join(' then '),
    expect.ack ?? ''
  )
  const invalid = result.units.reduce((sum, unit) => sum + total(unit), 0)
  // M17 holds ten values that are no entries; the others one.
  if (expect.note?.includes('invalid+1')) t.equal(invalid, id === 'M17' ? 10 : 1)
  else t.equal(invalid, 0)
  const badTime = result.units.reduce((sum, unit) => sum + unit.badTime, 0)
  t.equal(badTime, expect.note?.includes('bad_time+1') ? 1 : 0)
  const nested = result.units.reduce((sum, unit) => sum + unit.nested, 0)
  t.equal(nested, expect.note?.includes('nested_forward+1') ? 1 : 0)
  t.equal(
    result.units.some((unit) => unit.kind === 'skipped'),
    expect.note?.includes('nonlog+1') ?? false
  )
}

t.test('X13 depth 20000 in a record ends the stream', (t) => {
  const head = Buffer.from('93a174d7006553f100075bcd1581a161', 'hex')
  const stream = Buffer.concat([head, Buffer.alloc(20_000, 0x91), Buffer.from([1])])
  const result = scanPieces(kernel, stream, [])
  t.equal(result.status, 'error')
  t.equal(result.error, 'nested_too_deep')
  t.equal(scanPieces(kernel, stream, everyCut(stream, 997)).error, 'nested_too_deep')
  t.end()
})

t.test('V17 V18 long strings are one record each, in whatever pieces', (t) => {
  const entry = longEntry(2 ** 20)
  const v17 = Buffer.concat([Buffer.from('93a174', 'hex'), entry.subarray(1)])
  const v18 = Buffer.concat([
    Buffer.from('93a17498', 'hex'),
    ...Array.from({ length: 8 }, () => entry),
    Buffer.from('81a56368756e6ba463563138', 'hex')
  ])
  t.equal(scanPieces(kernel, v17, []).units[0]?.records, 1)
  for (const cuts of [[], everyCut(v18, 65_536)]) {
    const [unit] = scanPieces(kernel, v18, cuts).units
    t.equal(unit?.records, 8)
    t.strictSame(unit?.acks, ['a463563138'])
    t.strictSame(
      unit?.spans.map((span) => span[2]),
      [3, 3, 2],
      'a span holds at most 4 MiB'
    )
  }
  t.end()
})

t.test('P20 a body of zeros is given up after a thousand values', (t) => {
  const body = kernel.borrow(2 ** 20)
  if (!body) throw new Error('no block')
  body.fill(0)
  kernel.scanBody(body)
  const summary = summarize(kernel.unit(0), body, 0)
  kernel.giveBack(body)
  t.equal(summary.giveUp, 'consecutive_invalid')
  t.strictSame(summary.invalid, { not_an_entry: 1000 })
  t.equal(summary.records, 0)
  t.end()
})

t.test('captures of real clients', (t) => {
  for (const [name, capture] of Object.entries(captures)) {
    if (capture.format !== 'msgpack') continue
    t.test(`${name} gives the recorded number of records at every cut`, (t) => {
      const stream = read(capture.file)
      const frames = capture.frames.filter((frame) => frame.kind !== 'PING')
      const start = frames.length === capture.frames.length ? 0 : readNode(stream, 0).end
      const events = stream.subarray(start)
      const whole = scanPieces(kernel, events, [])
      t.equal(whole.status, 'done')
      t.equal(whole.consumed, events.length)
      t.strictSame(merge(whole.units), merge(readStream(events).units), 'as the oracle')
      const records = whole.units.reduce((sum, unit) => sum + recordsOf(kernel, events, unit), 0)
      const expected = frames.reduce((sum, frame) => sum + (frame.logRecords ?? 0), 0)
      t.equal(records, expected)
      const tags = new Set(whole.units.map((unit) => Buffer.from(unit.tag, 'hex').toString()))
      t.strictSame([...tags].sort(), [...new Set(frames.map((frame) => frame.tag))].sort())
      const step = Math.max(1, Math.floor(events.length / 3000))
      checkEveryCut(t, events, merge(whole.units), step)
      t.end()
    })
  }
  t.end()
})

t.test('X01 every wire case gives the same units cut at every byte', (t) => {
  for (const { id, hex } of cases) {
    if (hex === undefined || id.startsWith('J')) continue
    const stream = Buffer.from(hex, 'hex')
    const whole = scanPieces(kernel, stream, [])
    const bytewise = scanPieces(kernel, stream, everyCut(stream, 1))
    t.strictSame(merge(bytewise.units), merge(whole.units), id)
    t.equal(bytewise.status, whole.status, id)
    checkEveryCut(t, stream, merge(whole.units), 1)
  }
  t.end()
})

function checkEveryCut(t: Test, stream: Buffer, expected: Summary[], step: number): void {
  const wanted = JSON.stringify(expected)
  const wrong: number[] = []
  for (let cut = 1; cut < stream.length; cut += step) {
    if (JSON.stringify(merge(scanPieces(kernel, stream, [cut]).units)) !== wanted) wrong.push(cut)
  }
  t.strictSame(wrong, [], 'cuts that change the outcome')
}

function everyCut(stream: Buffer, step: number): number[] {
  return Array.from({ length: Math.ceil(stream.length / step) - 1 }, (_, index) => {
    return (index + 1) * step
  })
}

function longEntry(textBytes: number): Buffer {
  const head = Buffer.from('92d7006553f100075bcd1581a161db00000000', 'hex')
  head.writeUInt32BE(textBytes, head.length - 4)
  return Buffer.concat([head, Buffer.alloc(textBytes, 0x78)])
}

function total(unit: Summary): number {
  return Object.values(unit.invalid).reduce((sum, count) => sum + count, 0)
}

function inflated(stream: Buffer, unit: Summary): Buffer | null {
  const node = readNode(stream, unit.start)
  const body = Buffer.from(node.items[1]?.payload ?? [])
  try {
    return unit.kind === 'gzip' ? gunzipSync(body) : zstdFrames(body)
  } catch {
    return null
  }
}

/** One call gives one frame; the rest is the next call's. */
function zstdFrames(body: Buffer): Buffer {
  const parts: Buffer[] = []
  for (let at = 0; at < body.length; ) {
    const { buffer, engine } = zstdDecompressSync(body.subarray(at), { info: true }) as unknown as {
      buffer: Buffer
      engine: { bytesWritten: number }
    }
    parts.push(buffer)
    at += engine.bytesWritten
  }
  return Buffer.concat(parts)
}

function recordsOf(on: ScanKernel, stream: Buffer, unit: Summary): number {
  if (unit.kind !== 'gzip' && unit.kind !== 'zstd') return unit.records
  const body = inflated(stream, unit)
  const block = body && on.borrow(body.length)
  if (!block) return 0
  block.set(body)
  on.scanBody(block.subarray(0, body.length))
  on.giveBack(block)
  return on.unit(0).recordCount
}

/** Records of a unit as tag, whole seconds and JSON text. */
function eventsOf(stream: Buffer, unit: Summary): unknown[] {
  const tag = Buffer.from(unit.tag, 'hex').toString() || 'untagged'
  if (unit.kind === 'gzip' || unit.kind === 'zstd') {
    const body = inflated(stream, unit)
    const block = body && kernel.borrow(body.length)
    if (!block) return []
    block.set(body)
    kernel.scanBody(block.subarray(0, body.length))
    const inner = { ...summarize(kernel.unit(0), block, 0), tag: unit.tag }
    kernel.giveBack(block)
    return eventsOf(body, inner)
  }
  const events: unknown[] = []
  for (const [start = 0, end = 0, , , , innerStart = 0, innerEnd = 0] of unit.spans) {
    for (let at = start; at < end; ) {
      const node = readNode(stream, at)
      at = node.end
      const [first, second] = unit.kind === 'messages' ? node.items.slice(1) : node.items
      if (!first || !second) continue
      const time = first.kind === 'array' ? first.items[0] : first
      if (isMarker(first)) continue
      events.push({
        tag: innerEnd > 0 ? stream.toString('utf8', innerStart, innerEnd) : tag,
        time: timeText(time, unit),
        record: jsonText(second)
      })
    }
  }
  return events
}

function isMarker(header: Node): boolean {
  const time = header.kind === 'array' ? header.items[0] : undefined
  return (
    time !== undefined && /^ffffff(ff|fe)00000000$/.test(Buffer.from(time.payload).toString('hex'))
  )
}

/** The scanner bounds times only: with one record the bound is its time. */
function timeText(_time: Node | undefined, unit: Summary): string {
  if (unit.arrival > 0) return 'now'
  return String(unit.min)
}

function expectedEvent(tag: string, time: string, record: unknown): unknown {
  const text = typeof record === 'string' ? record : JSON.stringify(record)
  const seconds = time === 'now' ? time : String(Math.floor(Number(time)))
  return { tag, time: seconds, record: text.includes('…') ? deepText() : text }
}

/** V15 is shortened in the table. */
function deepText(): string {
  return `{"a":${'['.repeat(64)}1${']'.repeat(64)}}`
}

/** JSON text of a value, duplicates by the last. */
function jsonText(node: Node): string {
  if (node.kind === 'text') return JSON.stringify(Buffer.from(node.payload).toString())
  if (node.kind === 'int') return String(node.number)
  if (node.kind === 'float') return JSON.stringify(node.number)
  if (node.kind === 'array') return `[${node.items.map(jsonText).join(',')}]`
  if (node.kind === 'ext') return JSON.stringify(extTime(node))
  if (node.kind !== 'map') return 'null'
  const pairs = new Map<string, string>()
  for (let index = 0; index < node.items.length; index += 2) {
    const key = node.items[index]!
    const name = key.kind === 'text' ? jsonText(key) : JSON.stringify(jsonText(key))
    pairs.set(name, jsonText(node.items[index + 1]!))
  }
  return `{${[...pairs].map(([key, value]) => `${key}:${value}`).join(',')}}`
}

function extTime(node: Node): string {
  const payload = Buffer.from(node.payload)
  const isGo = node.extType === 5
  const seconds = isGo ? Number(payload.readBigInt64BE(0)) : payload.readUInt32BE(0)
  const nanos = payload.readUInt32BE(payload.length - 4)
  const day = new Date(seconds * 1000).toISOString().slice(0, 19)
  return `${day}.${String(nanos).padStart(9, '0')}Z`
}

/** As cases.json writes acks. */
function ackText(hex: string): string {
  const node = readNode(Buffer.from(hex, 'hex'), 0)
  if (node.kind !== 'text') return String(node.number)
  const isBin = hex.startsWith('c4')
  return isBin
    ? `bin ${Buffer.from(node.payload).toString('hex')}`
    : JSON.stringify(Buffer.from(node.payload).toString())
}
