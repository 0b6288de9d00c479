// Runs on: any.
// Every limit of the scanner, on both sides of it, and what is left of a stream that goes over.

import t from 'tap'
import {
  ACK_TOKEN_BYTES_MAX,
  CONSECUTIVE_INVALID_MAX,
  RECORD_BYTES_MAX,
  RECORD_NESTING_MAX
} from '../../src/core/limits.ts'
import { ScanKernel, ScanProgress } from '../../src/kernel/scan-kernel.ts'
import { merge } from './forward-oracle.ts'
import { newKernel, scanPieces, summarize } from './scan-harness.ts'

const kernel = newKernel()
const hex = (text: string) => Buffer.from(text, 'hex')
const joined = (...parts: readonly Uint8Array[]) => Buffer.concat(parts)
const ENTRY = hex('92d7006553f100075bcd1581a16101')
const MESSAGE = hex('93a174d7006553f100075bcd1581a16101')

function u32(prefix: string, value: number): Buffer {
  return hex(prefix + value.toString(16).padStart(8, '0'))
}

function packed(body: Buffer): Buffer {
  return joined(hex('92a174'), u32('c6', body.length), body)
}

function forward(entries: readonly Buffer[]): Buffer {
  return joined(hex('92a174'), u32('dd', entries.length), ...entries)
}

/** A record whose map is depth 1 and whose lists reach `depth`. */
function deepEntry(depth: number): Buffer {
  const lists = Buffer.alloc(depth - 1, 0x91)
  return joined(hex('92d7006553f100075bcd1581a161'), lists, hex('c0'))
}

const first = (stream: Buffer, cuts: number[] = []) => scanPieces(kernel, stream, cuts).units[0]

t.test('a record may nest 128 deep, not deeper; its neighbours stand', (t) => {
  for (const stream of [
    (entry: Buffer) => packed(joined(ENTRY, entry, ENTRY)),
    (entry: Buffer) => forward([ENTRY, entry, ENTRY])
  ]) {
    t.equal(first(stream(deepEntry(RECORD_NESTING_MAX)))?.records, 3)
    const over = first(stream(deepEntry(RECORD_NESTING_MAX + 1)))
    t.equal(over?.records, 2)
    t.strictSame(over?.invalid, { too_deep: 1 })
    t.equal(over?.spans.length, 2)
  }
  const single = joined(hex('93a174'), deepEntry(RECORD_NESTING_MAX + 1).subarray(1))
  t.strictSame(first(single)?.invalid, { too_deep: 1 })
  t.end()
})

t.test('beyond 1024 levels a stream ends; within a body it is one bad entry', (t) => {
  t.equal(scanPieces(kernel, forward([deepEntry(1100)]), []).error, 'nested_too_deep')
  const body = first(packed(joined(ENTRY, deepEntry(1100), ENTRY)))
  t.equal(body?.records, 2)
  t.strictSame(body?.invalid, { too_deep: 1 })
  t.end()
})

t.test('metadata nests as deep as a record may', (t) => {
  const metadata = joined(hex('81a161'), Buffer.alloc(RECORD_NESTING_MAX, 0x91), hex('c0'))
  const entry = joined(hex('9292d7006553f100075bcd15'), metadata, hex('81a16101'))
  t.strictSame(first(packed(joined(entry, ENTRY)))?.invalid, { too_deep: 1 })
  const message = joined(hex('93a17492d7006553f100075bcd15'), metadata, hex('81a16101'))
  t.strictSame(first(message)?.invalid, { too_deep: 1 })
  t.end()
})

t.test('a record over 8 MiB is left out and counted', (t) => {
  const recordOf = (byteCount: number) => {
    return joined(hex('81a161'), u32('db', byteCount - 8), Buffer.alloc(byteCount - 8, 0x78))
  }
  for (const [byteCount, isGood] of [
    [RECORD_BYTES_MAX, true],
    [RECORD_BYTES_MAX + 1, false]
  ] as const) {
    const entry = joined(hex('92d7006553f100075bcd15'), recordOf(byteCount))
    const body = first(packed(joined(ENTRY, entry, ENTRY)))
    t.equal(body?.records, isGood ? 3 : 2)
    t.strictSame(body?.invalid, isGood ? {} : { too_large: 1 })
    const message = first(joined(hex('93a174d7006553f100075bcd15'), recordOf(byteCount)))
    t.equal(message?.records, isGood ? 1 : 0)
  }
  t.end()
})

t.test('a thousand values in a row that are no entries end a body, one less does not', (t) => {
  const junk = (count: number) => Array.from({ length: count }, () => hex('05'))
  for (const stream of [
    (entries: Buffer[]) => packed(joined(...entries)),
    (entries: Buffer[]) => forward(entries)
  ]) {
    const under = first(stream([ENTRY, ...junk(CONSECUTIVE_INVALID_MAX - 1), ENTRY]))
    t.equal(under?.records, 2)
    t.equal(under?.giveUp, null)
    const bytes = stream([ENTRY, ...junk(CONSECUTIVE_INVALID_MAX), ENTRY])
    const over = scanPieces(kernel, joined(bytes, MESSAGE), [])
    t.equal(over.units[0]?.records, 1, 'what came before stands')
    t.equal(over.units[0]?.giveUp, 'consecutive_invalid')
    t.equal(over.units[1]?.records, 1, 'the next message is found')
  }
  t.end()
})

t.test('a body with more gaps than there is room for is given up where they end', (t) => {
  const pair = joined(ENTRY, hex('05'))
  const body = Buffer.concat(Array.from({ length: 5000 }, () => pair))
  const unit = first(packed(body))
  t.equal(unit?.giveUp, 'scattered_invalid')
  t.equal(unit?.spans.length, 4095)
  t.equal(unit?.records, 4095)
  t.end()
})

t.test('entries over the limit of a message are given up, those before stand', (t) => {
  const small = new ScanKernel({
    memoryBytes: 16 * 2 ** 20,
    borrowBytesMax: 2 ** 20,
    messageEntriesMax: 3
  })
  for (const stream of [packed(joined(ENTRY, ENTRY, ENTRY)), forward([ENTRY, ENTRY, ENTRY])]) {
    t.equal(scanPieces(small, stream, []).units[0]?.giveUp, null)
  }
  const four = [ENTRY, ENTRY, ENTRY, ENTRY]
  for (const stream of [packed(joined(...four)), forward(four)]) {
    const { units, consumed } = scanPieces(small, stream, [])
    t.equal(units[0]?.giveUp, 'entries_max')
    t.equal(units[0]?.records, 3)
    t.equal(consumed, stream.length)
  }
  t.end()
})

t.test('an ack token over 4096 bytes ends the stream, as an ack would repeat it', (t) => {
  const withToken = (byteCount: number) => {
    const token = joined(hex('da'), hex((byteCount - 3).toString(16).padStart(4, '0')))
    return joined(
      hex('94a174d7006553f100075bcd1581a1610181a56368756e6b'),
      token,
      Buffer.alloc(byteCount - 3, 0x61)
    )
  }
  t.equal(first(withToken(ACK_TOKEN_BYTES_MAX))?.acks[0]?.length, 2 * ACK_TOKEN_BYTES_MAX)
  const over = scanPieces(kernel, joined(MESSAGE, withToken(ACK_TOKEN_BYTES_MAX + 1)), [])
  t.equal(over.error, 'ack_token_too_long')
  t.equal(over.consumed, MESSAGE.length)
  t.equal(over.units.length, 1, 'the message before stands')
  t.end()
})

t.test('X11 X12 X14 a message that cannot fit its limit is refused before its bytes come', (t) => {
  const small = newKernel({ messageBytesMax: 1000 })
  const refused = ['ddffffffff', '92a174dd000003e1', '93a17400dfffffffff', '92a174c6000003e1']
  for (const text of refused) {
    t.equal(scanPieces(small, hex(text), []).error, 'message_too_large', text)
  }
  for (const text of ['92a174dd000003e0', '92a174c6000003e0']) {
    const result = scanPieces(small, hex(text), [])
    t.equal(result.error, null, text)
    t.equal(result.needed, 1000, text)
  }
  const whole = packed(Buffer.alloc(992, 0xc0))
  t.equal(whole.length, 1000)
  t.equal(scanPieces(small, whole, []).error, null)
  t.equal(scanPieces(small, packed(Buffer.alloc(993, 0xc0)), []).error, 'message_too_large')
  t.end()
})

t.test('a PackedForward body is asked for in one piece and not looked at before', (t) => {
  const stream = packed(joined(...Array.from({ length: 1000 }, () => ENTRY)))
  const block = kernel.borrow(stream.length)!
  const progress = new ScanProgress()
  block.set(stream.subarray(0, 100))
  // If the scanner looked behind the bytes that are there, it would find a broken stream.
  block.fill(0xc1, 100)
  t.equal(kernel.scan(block.subarray(0, 100), progress), 'done')
  t.equal(kernel.consumedBytes, 0)
  t.equal(kernel.neededBytes, stream.length)
  block.set(stream)
  t.equal(kernel.scan(block.subarray(0, stream.length), progress), 'done')
  t.equal(kernel.unit(0).recordCount, 1000)
  kernel.giveBack(block)
  t.end()
})

t.test('a Forward message goes on where it stopped', (t) => {
  const stream = forward(Array.from({ length: 1000 }, () => ENTRY))
  const block = kernel.borrow(stream.length)!
  const progress = new ScanProgress()
  block.set(stream)
  let scanned = 0
  for (let end = 50; end < stream.length; end += 50) {
    kernel.scan(block.subarray(0, end), progress)
    t.ok(progress.scannedBytes > scanned, 'it moves on')
    scanned = progress.scannedBytes
    t.ok(kernel.neededBytes > end)
    // What was scanned is not read again before the message is complete.
    block.fill(0xc1, 8, scanned)
  }
  block.set(stream)
  kernel.scan(block.subarray(0, stream.length), progress)
  t.equal(kernel.unit(0).recordCount, 1000)
  const { isDecided, scannedBytes, valuesLeft } = progress
  t.strictSame(
    { isDecided, scannedBytes, valuesLeft },
    { isDecided: true, scannedBytes: 0, valuesLeft: 0 }
  )
  kernel.giveBack(block)
  t.end()
})

t.test('more messages than the tables hold are told in turns', (t) => {
  const other = Buffer.from(MESSAGE).fill('u', 2, 3)
  const stream = Buffer.concat(
    Array.from({ length: 9000 }, (_, index) => (index % 2 ? other : MESSAGE))
  )
  const result = scanPieces(kernel, stream, [])
  t.equal(result.units.length, 9000)
  t.equal(result.consumed, stream.length)
  t.equal(kernel.unitCount, 9000 - 2 * 4096, 'the last of three turns')
  t.end()
})

t.test('C18 messages with tokens beyond the table keep every token in order', (t) => {
  const withId = (id: number) => {
    return joined(hex('94a174d7006553f100075bcd1581a1610181a56368756e6b'), u32('ce', id))
  }
  const stream = Buffer.concat(Array.from({ length: 20_000 }, (_, id) => withId(id)))
  const result = scanPieces(kernel, stream, [])
  const acks = result.units.flatMap((unit) => unit.acks)
  t.equal(acks.length, 20_000)
  t.equal(
    acks.every((ack, id) => Number.parseInt(ack.slice(2), 16) === id),
    true
  )
  t.equal(merge(result.units)[0]?.records, 20_000)
  t.ok(
    result.units.every((unit) => unit.end - unit.start <= 256 * 1024),
    'merged up to the size of a frame'
  )
  t.end()
})

t.test('a marker that is open where a span begins is told with it', (t) => {
  const open = hex('9292d700ffffffff0000000081a17301' + '80')
  const close = hex('9292d700fffffffe000000008080')
  const body = joined(open, ENTRY, hex('05'), ENTRY, close, hex('05'), ENTRY)
  const unit = first(packed(body))
  t.equal(unit?.markers, 2)
  t.equal(unit?.records, 3)
  const at = 8
  t.strictSame(
    unit?.spans.map((span) => span.slice(3, 5)),
    [
      [0, 0],
      [at, at + open.length],
      [0, 0]
    ]
  )
  t.equal(unit?.spans[1]?.[1], at + body.length - ENTRY.length - 1, 'the closing marker belongs')
  t.end()
})

t.test('a decompressed body is one unit of entries', (t) => {
  const body = joined(ENTRY, hex('05'), ENTRY)
  const block = kernel.borrow(body.length)!
  block.set(body)
  kernel.scanBody(block.subarray(0, body.length))
  t.equal(kernel.unitCount, 1)
  const unit = summarize(kernel.unit(0), block, 0)
  t.strictSame(unit.spans, [
    [0, 15, 1, 0, 0, 0, 0],
    [16, 31, 1, 0, 0, 0, 0]
  ])
  t.equal(kernel.consumedBytes, body.length)
  t.throws(() => kernel.unit(1), { message: /no unit 1/ })
  kernel.giveBack(block)
  t.end()
})

t.test('bytes outside the kernel memory are refused', (t) => {
  t.throws(() => kernel.scan(Buffer.alloc(10), new ScanProgress()), { message: /outside/ })
  t.throws(() => kernel.scanBody(Buffer.alloc(10)), { message: /outside/ })
  t.end()
})

t.test('areas and blocks of one kernel do not overlap, and a full region gives null', (t) => {
  const small = new ScanKernel({ memoryBytes: 16 * 2 ** 20, borrowBytesMax: 2 ** 20 })
  const slab = small.reserve(1000).fill(1)
  const blocks = [small.borrow(2 ** 19)!, small.borrow(2 ** 19)!]
  for (const block of blocks) block.fill(2)
  small.readBuffer.fill(3)
  t.ok(slab.every((byte) => byte === 1))
  t.ok(blocks.every((block) => block.every((byte) => byte === 2)))
  t.equal(small.borrow(1), null)
  t.equal(small.borrowedBytes, 2 ** 20)
  small.giveBack(blocks[0]!)
  t.equal(small.borrow(2 ** 19 + 1), null)
  t.ok(small.borrow(2 ** 19))
  t.throws(() => small.reserve(small.freeBytes() + 1), { message: /has no room/ })
  t.end()
})
