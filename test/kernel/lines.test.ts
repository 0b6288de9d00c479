// Lines to entries against a plain oracle: split, trim, cut; and what of a text is left for the next read.

import { deepStrictEqual } from 'node:assert/strict'
import { decodeMulti, ExtensionCodec } from '@msgpack/msgpack'
import fc from 'fast-check'
import t from 'tap'
import { ScanKernel } from '../../src/kernel/scan-kernel.ts'
import { EntryWriter } from '../../src/plugin/entry-writer.ts'

const RUNS = Number(process.env['MILLRACE_FUZZ_RUNS'] ?? 2000)
const kernel = new ScanKernel({ memoryBytes: 64 * 2 ** 20 })

const extensionCodec = new ExtensionCodec()
extensionCodec.register({
  type: 0,
  encode: () => null,
  decode: (bytes) => Buffer.from(bytes).toString('hex')
})

function prefix(fields: Readonly<Record<string, string>> = {}): Buffer {
  const writer = new EntryWriter(Buffer.alloc(4096))
  writer.begin({ seconds: 1_700_000_000, nanos: 5 })
  for (const [key, value] of Object.entries(fields)) writer.text(key, value)
  return writer.openAt('log')
}

interface Rules {
  readonly lineBytesMax: number
  readonly isLast: boolean
  readonly keepsEmpty: boolean
}

const texts = (bytes: Buffer): unknown[] =>
  [...decodeMulti(bytes, { extensionCodec, rawStrings: true })].map((entry) => {
    const [, record] = entry as [string, Record<string, Uint8Array>]
    return Buffer.from(record['log'] ?? []).toString('latin1')
  })

/** All of a text, call after call, as an input does. */
function convert(text: Buffer, rules: Rules) {
  const lines: unknown[] = []
  let at = 0
  let cutCount = 0
  for (;;) {
    const result = kernel.lines.toEntries(text.subarray(at), { ...rules, prefix: prefix() })
    if (result === null) throw new Error('no memory')
    lines.push(...texts(result.bytes))
    kernel.giveBack(result.bytes)
    at += result.consumedBytes
    cutCount += result.cutCount
    if (result.consumedBytes === 0) return { lines, consumed: at, cutCount }
  }
}

const isInner = (byte: number | undefined) => byte !== undefined && (byte & 0xc0) === 0x80

function oracle(text: Buffer, { lineBytesMax, isLast, keepsEmpty }: Rules) {
  const lines: string[] = []
  let consumed = 0
  let cutCount = 0
  while (consumed < text.length) {
    const lineFeed = text.indexOf(10, consumed)
    const isOpen = lineFeed < 0
    let end = isOpen ? text.length : lineFeed
    if (!isOpen && end > consumed && text[end - 1] === 13) end--
    if (end - consumed > lineBytesMax) {
      let cut = consumed + lineBytesMax
      let back = 0
      while (back < 3 && cut > consumed && isInner(text[cut])) {
        cut--
        back++
      }
      if (cut === consumed || isInner(text[cut])) cut = consumed + lineBytesMax
      lines.push(text.toString('latin1', consumed, cut))
      consumed = cut
      cutCount++
      continue
    }
    if (isOpen && !isLast) break
    if (end > consumed || keepsEmpty) lines.push(text.toString('latin1', consumed, end))
    consumed = isOpen ? text.length : lineFeed + 1
  }
  return { lines, consumed, cutCount }
}

t.test('whole lines become records; what has no end yet stays', (t) => {
  const text = Buffer.from('one\r\ntwo\n\nthree')
  const rules = { lineBytesMax: 100, isLast: false, keepsEmpty: false }
  t.same(convert(text, rules), { lines: ['one', 'two'], consumed: 10, cutCount: 0 })
  t.same(convert(text, { ...rules, isLast: true }).lines, ['one', 'two', 'three'])
  t.same(convert(text, { ...rules, keepsEmpty: true }).lines, ['one', 'two', ''])
  t.end()
})

t.test('an entry has its time, the fields in front, and the text under the key', (t) => {
  const result = kernel.lines.toEntries(Buffer.from('a line\n'), {
    prefix: prefix({ path: '/var/log/x', host: 'h' }),
    lineBytesMax: 100,
    isLast: false,
    keepsEmpty: false
  })
  t.same(
    [...decodeMulti(result!.bytes, { extensionCodec })],
    [['6553f10000000005', { path: '/var/log/x', host: 'h', log: 'a line' }]]
  )
  kernel.scanBody(result!.bytes)
  t.equal(kernel.unit(0).recordCount, 1)
  kernel.giveBack(result!.bytes)
  t.equal(kernel.borrowedBytes, 0)
  t.end()
})

t.test('a line over the limit is cut between two characters, and nothing of it is lost', (t) => {
  const text = Buffer.from(`${'é'.repeat(100)}\nend\n`)
  const { lines, cutCount } = convert(text, { lineBytesMax: 65, isLast: false, keepsEmpty: false })
  t.same(
    lines.map((line) => Buffer.from(String(line), 'latin1').toString()),
    ['é'.repeat(32), 'é'.repeat(32), 'é'.repeat(32), 'é'.repeat(4), 'end']
  )
  t.equal(cutCount, 3)
  t.end()
})

t.test('more lines than one block takes come in several calls', (t) => {
  const text = Buffer.from('x\n'.repeat(400_000))
  const { lines, consumed } = convert(text, { lineBytesMax: 64, isLast: false, keepsEmpty: false })
  t.equal(lines.length, 400_000)
  t.equal(consumed, text.length)
  t.equal(kernel.borrowedBytes, 0)
  t.end()
})

t.test(`any text: ${RUNS} runs against the oracle`, (t) => {
  const byte = fc.oneof(
    { weight: 6, arbitrary: fc.constantFrom(97, 98, 0xc3, 0xa9, 0x80) },
    { weight: 2, arbitrary: fc.constantFrom(10, 13) },
    fc.integer({ min: 0, max: 255 })
  )
  const rules = fc.record({
    lineBytesMax: fc.integer({ min: 4, max: 40 }),
    isLast: fc.boolean(),
    keepsEmpty: fc.boolean()
  })
  fc.assert(
    fc.property(fc.array(byte, { maxLength: 300 }), rules, (bytes, rules) => {
      const text = Buffer.from(bytes)
      deepStrictEqual(convert(text, rules), oracle(text, rules))
    }),
    { numRuns: RUNS }
  )
  t.pass('no difference')
  t.end()
})
