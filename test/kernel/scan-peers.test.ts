// Runs on: any.
// The scanner and the JSON reader against other people's code: @msgpack/msgpack on both sides, and bytes of one kind.

import { decode, decodeMulti, ExtData, ExtensionCodec, encode } from '@msgpack/msgpack'
import fc from 'fast-check'
import t from 'tap'
import { ScanProgress } from '../../src/kernel/scan-kernel.ts'
import { newKernel, summarize } from './scan-harness.ts'

const kernel = newKernel()
const AREA_BYTES = 2 ** 18

/** The library refuses a record key __proto__; everything else that JSON can say is fair. */
const record = fc.dictionary(
  fc.string({ unit: 'grapheme', maxLength: 12 }).filter((key) => key !== '__proto__'),
  fc.jsonValue({ maxDepth: 3 }).filter((value) => !hasProto(value)),
  { maxKeys: 20, noNullPrototype: true }
)

function hasProto(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false
  return Object.entries(value).some(([key, item]) => key === '__proto__' || hasProto(item))
}

function eventTime(seconds: number): ExtData {
  const bytes = Buffer.alloc(8)
  bytes.writeUInt32BE(seconds, 0)
  bytes.writeUInt32BE(1, 4)
  return new ExtData(0, bytes)
}

const entry = fc.tuple(fc.integer({ min: 1, max: 2 ** 32 - 3 }), record)

/** A copy in the kernel's memory, for the call. */
function withBytes<Result>(bytes: Uint8Array, use: (inside: Buffer) => Result): Result {
  const block = kernel.borrow(bytes.length + 64)
  if (!block) throw new Error('no block')
  block.set(bytes)
  try {
    return use(block.subarray(0, bytes.length))
  } finally {
    kernel.giveBack(block)
  }
}

t.test('entries that the library wrote are one span with its count and times', (t) => {
  fc.assert(
    fc.property(fc.array(entry, { minLength: 1, maxLength: 10 }), (entries) => {
      const body = Buffer.concat(entries.map(([seconds, map]) => encode([eventTime(seconds), map])))
      const seconds = entries.map(([at]) => at)
      withBytes(body, (inside) => {
        kernel.scanBody(inside)
        const unit = summarize(kernel.unit(0), inside, 0)
        const expected = [[0, body.length, entries.length, 0, 0, 0, 0]]
        if (JSON.stringify(unit.spans) !== JSON.stringify(expected)) throw new Error('spans')
        if (unit.min !== Math.min(...seconds) || unit.max !== Math.max(...seconds)) {
          throw new Error('times')
        }
      })
    }),
    { numRuns: 400 }
  )
  t.end()
})

t.test('messages that the library wrote in all three modes are found in order', (t) => {
  const message = fc.tuple(
    fc.constantFrom('message', 'forward', 'packed'),
    fc.array(entry, { minLength: 1, maxLength: 4 })
  )
  fc.assert(
    fc.property(fc.array(message, { maxLength: 6 }), (messages) => {
      const parts = messages.map(([mode, entries], index) => {
        const list = entries.map(([seconds, map]) => [eventTime(seconds), map])
        const option = { chunk: `id-${index}`, size: list.length }
        if (mode === 'message') return encode([`tag-${index}`, ...(list[0] ?? []), option])
        if (mode === 'forward') return encode([`tag-${index}`, list, option])
        const body = Buffer.concat(list.map((item) => encode(item)))
        return encode([`tag-${index}`, body, option])
      })
      withBytes(Buffer.concat(parts), (inside) => {
        const status = kernel.scan(inside, new ScanProgress())
        if (status !== 'done' || kernel.consumedBytes !== inside.length) throw new Error(status)
        if (kernel.unitCount !== messages.length) throw new Error(`${kernel.unitCount} units`)
        messages.forEach(([mode, entries], index) => {
          const unit = summarize(kernel.unit(index), inside, 0)
          const tag = Buffer.from(unit.tag, 'hex').toString()
          const ack = decode(Buffer.from(unit.acks[0] ?? '', 'hex'))
          const records = mode === 'message' ? 1 : entries.length
          if (tag !== `tag-${index}` || ack !== `id-${index}` || unit.records !== records) {
            throw new Error(JSON.stringify(unit))
          }
        })
      })
    }),
    { numRuns: 400 }
  )
  t.end()
})

t.test('entries made of JSON decode to what JSON.parse gives', (t) => {
  const codec = new ExtensionCodec()
  codec.register({
    type: 0,
    encode: () => null,
    decode: (bytes) => Buffer.from(bytes).readUInt32BE(0)
  })
  fc.assert(
    fc.property(fc.array(record, { maxLength: 6 }), (records) => {
      const text = Buffer.from(JSON.stringify(records))
      const result = kernel.json.toEntries(text, { timeSeconds: 7, timeNanos: 0 })
      if (!result || result.error) throw new Error(result?.error?.reason)
      const decoded = [...decodeMulti(Buffer.from(result.bytes), { extensionCodec: codec })]
      kernel.giveBack(result.bytes)
      const expected = (JSON.parse(text.toString().toWellFormed()) as unknown[]).map((map) => [
        7,
        map
      ])
      if (JSON.stringify(decoded) !== JSON.stringify(expected)) {
        throw new Error(`${JSON.stringify(decoded)}\n${JSON.stringify(expected)}`)
      }
    }),
    { numRuns: 400 }
  )
  t.end()
})

t.test('an area of any one byte, and of any byte behind an entry header, comes to an end', (t) => {
  const block = kernel.borrow(AREA_BYTES)
  if (!block) throw new Error('no block')
  for (let byte = 0; byte < 256; byte += 1) {
    for (const head of ['', '92', '92d7006553f100075bcd15', '92a174', '92a174dd0003ff00']) {
      block.fill(byte)
      block.write(head, 'hex')
      kernel.scanBody(block)
      const unit = kernel.unit(0)
      const spansEnd = unit.spanCount > 0 ? unit.spanEndByte(unit.spanCount - 1) : 0
      if (spansEnd > block.length) t.fail(`body of ${byte} ends at ${spansEnd}`)
      const progress = new ScanProgress()
      progress.isDecided = true
      const status = kernel.scan(block, progress)
      if (kernel.consumedBytes > block.length) t.fail(`stream of ${byte}`)
      if (status === 'done' && kernel.consumedBytes < block.length) {
        if (kernel.neededBytes <= block.length - kernel.consumedBytes) t.fail(`needs of ${byte}`)
      }
    }
  }
  kernel.giveBack(block)
  t.pass('every one of them')
  t.end()
})
