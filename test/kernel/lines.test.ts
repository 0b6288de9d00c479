// Lines to entries against a plain oracle: split, trim, cut; and what of a text is left for the next read.

import { deepStrictEqual } from 'node:assert/strict'
import { decodeMulti, ExtensionCodec } from '@msgpack/msgpack'
import fc from 'fast-check'
import t from 'tap'
import type { LineFormat } from '../../src/kernel/line-converter.ts'
import { ScanKernel } from '../../src/kernel/scan-kernel.ts'
import { packFields } from '../../src/plugin/entry-writer.ts'

const RUNS = Number(process.env['MILLRACE_FUZZ_RUNS'] ?? 2000)
const kernel = new ScanKernel({ memoryBytes: 64 * 2 ** 20 })

const extensionCodec = new ExtensionCodec()
extensionCodec.register({
  type: 0,
  encode: () => null,
  decode: (bytes) => Buffer.from(bytes).toString('hex')
})

const TIME = { seconds: 1_700_000_000, nanos: 5 }
const KEY = Buffer.from('\xa3log', 'latin1')
const NO_FIELDS = packFields([])

const PLAIN = { format: 'plain', time: TIME, fields: NO_FIELDS, key: KEY } as const

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
    const result = kernel.lines.toEntries(text.subarray(at), { ...PLAIN, ...rules })
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
    ...PLAIN,
    fields: packFields([
      ['path', '/var/log/x'],
      ['host', 'h']
    ]),
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

function read(format: LineFormat, ...lines: string[]) {
  const result = kernel.lines.toEntries(Buffer.from(`${lines.join('\n')}\n`), {
    ...PLAIN,
    format,
    fields: packFields([['path', '/x']]),
    lineBytesMax: 2 ** 20,
    isLast: false,
    keepsEmpty: false
  })
  const entries = [...decodeMulti(result!.bytes, { extensionCodec })] as unknown[]
  kernel.scanBody(result!.bytes)
  t.equal(kernel.unit(0).recordCount, entries.length)
  kernel.giveBack(result!.bytes)
  return { entries, unread: result!.unreadCount }
}
const NOW = '6553f10000000005'

t.test('CRI: time and stream of the line, parts are marked', (t) => {
  const { entries, unread } = read(
    'cri',
    '2023-11-14T22:13:20.123456789Z stdout F a line',
    '2023-11-14T23:13:20+01:00 stderr P first ',
    '2023-11-14T22:13:20Z stderr F:x second',
    '2023-11-14T22:13:20Z stdout F '
  )
  t.strictSame(entries, [
    ['6553f100075bcd15', { path: '/x', log: 'a line', stream: 'stdout' }],
    ['6553f10000000000', { path: '/x', log: 'first ', stream: 'stderr', partial_message: 'true' }],
    ['6553f10000000000', { path: '/x', log: 'second', stream: 'stderr' }],
    ['6553f10000000000', { path: '/x', log: '', stream: 'stdout' }]
  ])
  t.equal(unread, 0)
  t.end()
})

t.test('a line that is no CRI line keeps its text and the time of its reading', (t) => {
  const lines = [
    'no time at all',
    '2023-11-14T22:13:20Z stdlog F x',
    '2023-11-14T22:13:20Z stdout X x',
    '2023-13-14T22:13:20Z stdout F x',
    '2023-11-14T22:13:20Z stdout',
    '2023-11-14T22:13:20Z stdout '
  ]
  const { entries, unread } = read('cri', ...lines)
  t.strictSame(
    entries,
    lines.map((log) => [NOW, { path: '/x', log }])
  )
  t.equal(unread, lines.length)
  t.end()
})

t.test('json-file of Docker: the line feed goes, a text without one is a part', (t) => {
  const long = 'y'.repeat(300)
  const docker = (log: string, more: object = {}) =>
    JSON.stringify({ log, stream: 'stdout', ...more, time: '2023-11-14T22:13:20.000000007Z' })
  const many = Object.fromEntries(Array.from({ length: 12 }, (_, n) => [`k${n}`, n]))
  const { entries, unread } = read(
    'docker',
    docker('one\n'),
    docker(`${long}\n`),
    docker('\n'),
    docker('part'),
    docker('"q" \\n\n', { attrs: { tag: 'x' } }),
    docker('part', many)
  )
  const base = { stream: 'stdout', path: '/x' }
  const time = '6553f10000000007'
  t.strictSame(
    entries.map((entry) => (entry as unknown[])[0]),
    Array(6).fill(time)
  )
  t.same(
    entries.map((entry) => (entry as unknown[])[1]),
    [
      { log: 'one', ...base },
      { log: long, ...base },
      { log: '', ...base },
      { log: 'part', ...base, partial_message: 'true' },
      { log: '"q" \\n', ...base, attrs: { tag: 'x' } },
      { log: 'part', ...base, ...many, partial_message: 'true' }
    ]
  )
  t.equal(unread, 0)
  t.end()
})

t.test('a line that is no line of json-file keeps its text', (t) => {
  const lines = ['{"log":"x', '{"log":7}', '{"stream":"stdout"}', 'text', '{"log":"a\\n"} more']
  const { entries, unread } = read('docker', ...lines)
  t.strictSame(
    entries,
    lines.map((log) => [NOW, { path: '/x', log }])
  )
  t.equal(unread, lines.length)
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

/** Frames with their length in front, read from the whole stream at once. */
function framesOf(stream: Buffer, lineBytesMax: number) {
  const lines: string[] = []
  const isEnding = (byte: number | undefined) => byte === 10 || byte === 13 || byte === 0
  let at = 0
  while (at < stream.length) {
    if (isEnding(stream[at])) {
      at++
      continue
    }
    const head = /^\d{1,9}(?= |$)/.exec(stream.toString('latin1', at, at + 20))?.[0]
    const isLate = head !== undefined && at + head.length === stream.length
    if (head === undefined) return { lines, isBroken: true }
    if (isLate) break
    at += head.length + 1
    let text = stream.subarray(at, at + Number(head))
    at += text.length
    while (text.length > lineBytesMax) {
      let cut = lineBytesMax
      for (let back = 0; back < 3 && cut > 0 && isInner(text[cut]); back++) cut--
      if (cut === 0 || isInner(text[cut])) cut = lineBytesMax
      lines.push(text.toString('latin1', 0, cut))
      text = text.subarray(cut)
    }
    while (text.length > 0 && isEnding(text.at(-1))) text = text.subarray(0, -1)
    if (text.length > 0) lines.push(text.toString('latin1'))
  }
  return { lines, isBroken: false }
}

t.test('counted frames, cut anywhere, give what a reader of the whole stream finds', (t) => {
  const text = fc.string({
    maxLength: 90,
    unit: fc.constantFrom('a', '7', ' ', '\n', '\0', 'é', '<')
  })
  const frame = fc.oneof(
    { weight: 9, arbitrary: text.map((each) => `${Buffer.byteLength(each)} ${each}`) },
    fc.constantFrom('\n', '\r\0', 'x', '0 ', '1234567890 a', '12')
  )
  const cuts = fc.array(fc.nat({ max: 400 }), { maxLength: 8 })
  fc.assert(
    fc.property(fc.array(frame, { maxLength: 8 }), cuts, (frames, places) => {
      const stream = Buffer.from(frames.join(''))
      const lines: unknown[] = []
      const ends = [...new Set(places.filter((each) => each < stream.length))].sort((a, b) => a - b)
      let at = 0
      let openBytes = 0
      let isBroken = false
      for (const end of [...ends, stream.length]) {
        const isLast = end === stream.length
        for (let hasMore = true; hasMore && !isBroken; ) {
          const part = stream.subarray(at, end)
          const rules = { lineBytesMax: 64, isLast, keepsEmpty: false, openBytes }
          const result = kernel.lines.toEntries(part, { ...PLAIN, ...rules, format: 'counted' })
          if (result === null) throw new Error('no memory')
          lines.push(...texts(result.bytes))
          kernel.giveBack(result.bytes)
          at += result.consumedBytes
          openBytes = result.openBytes
          isBroken = result.isBroken
          hasMore = result.consumedBytes > 0
        }
      }
      deepStrictEqual({ lines, isBroken }, framesOf(stream, 64))
    }),
    { numRuns: RUNS }
  )
  t.equal(kernel.borrowedBytes, 0)
  t.end()
})
