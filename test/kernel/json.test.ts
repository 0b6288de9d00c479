// Runs on: any.

import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import t from 'tap'
import { type JsonEntryOptions, JsonProgress } from '../../src/kernel/json-converter.ts'
import { ScanProgress } from '../../src/kernel/scan-kernel.ts'
import { readNode } from './forward-oracle.ts'
import { type EntryNote, meaningOf, noteEntries, noteNumber, noteRecord } from './json-oracle.ts'
import { newKernel, summarize } from './scan-harness.ts'

const kernel = newKernel()
const NOW: JsonEntryOptions = { timeSeconds: 1_700_000_000, timeNanos: 5 }

interface Outcome {
  readonly entries: EntryNote[]
  readonly error: { byte: number; valueStartByte: number; reason: string } | null
}

function convert(text: string | Buffer, options: JsonEntryOptions = NOW): Outcome {
  const bytes = Buffer.from(text)
  // Neighbour blocks on both sides show what is written outside.
  const guards = [kernel.borrow(1), kernel.borrow(1), kernel.borrow(1)].map((block) => {
    return block!.fill(0xa5)
  })
  kernel.giveBack(guards[1]!)
  const result = kernel.json.toEntries(bytes, options)
  if (!result) throw new Error('no block')
  const entries = noteEntries(Buffer.from(result.bytes))
  const outcome = { entries, error: result.error }
  if (result.valueCount !== entries.length) throw new Error(`${result.valueCount} values`)
  if (!guards[0]!.every((byte) => byte === 0xa5) || !guards[2]!.every((byte) => byte === 0xa5)) {
    throw new Error('bytes outside the block were written')
  }
  kernel.giveBack(result.bytes)
  kernel.giveBack(guards[0]!)
  kernel.giveBack(guards[2]!)
  return outcome
}

const records = (text: string | Buffer) => convert(text).entries.map((entry) => entry.record)

t.test('an object, a list of objects and any sequence of them become entries', (t) => {
  t.strictSame(convert('{"a":1}'), {
    entries: [{ seconds: 1_700_000_000, nanos: 5, record: '{"a":i1}' }],
    error: null
  })
  t.strictSame(records(' [ {"a":1} , {"b":[]} ] '), ['{"a":i1}', '{"b":[]}'])
  t.strictSame(records('[]'), [])
  t.strictSame(records(''), [])
  t.end()
})

t.test('W06 objects stand side by side, with white space or without', (t) => {
  t.strictSame(records('{"a":1}{"b":2}\n\n{"c":3}\r\n[{"d":4}]{}'), [
    '{"a":i1}',
    '{"b":i2}',
    '{"c":i3}',
    '{"d":i4}',
    '{}'
  ])
  t.end()
})

t.test('W18 hostile values have one meaning and no crash', (t) => {
  const hostile = String.raw`{"big":1e400,"exact":12345678901234567890,"a":1,"a":2,"__proto__":{"x":1},"s":"\ud800"}`
  t.strictSame(records(hostile), [
    `{"__proto__":{"x":i1},"a":i2,"big":"1e400","exact":i12345678901234567890,"s":"�"}`
  ])
  const deep = `{"a":${'['.repeat(10_000)}${']'.repeat(10_000)}}`
  t.equal(convert(deep).error?.reason, 'nested_too_deep')
  t.equal(convert(nested(127)).error, null)
  t.equal(convert(nested(128)).error?.reason, 'nested_too_deep')
  t.end()
})

function nested(lists: number): string {
  return `{"a":${'['.repeat(lists)}${']'.repeat(lists)}}`
}

t.test('numbers keep all their digits or become text', (t) => {
  const texts = [
    ...['0', '-0', '1', '-1', '127', '128', '255', '256', '65535', '65536', '4294967295'],
    ...['4294967296', '-32', '-33', '-128', '-129', '-32768', '-32769', '-2147483648'],
    ...['-2147483649', '9007199254740993', '9223372036854775807', '9223372036854775808'],
    ...['18446744073709551615', '18446744073709551616', '-9223372036854775808'],
    ...['-9223372036854775809', '99999999999999999999', '100000000000000000000000'],
    ...['0.1', '1.0', '-1.5e3', '1e22', '1e23', '1.7976931348623157e308', '1.8e308', '-1e309'],
    ...['5e-324', '2e-324', '0e-999', '123456789012345678901234567890.5', '0.30000000000000004'],
    ...[
      '9007199254740993.0',
      '2.2250738585072011e-308',
      '1E+2',
      '1e-7',
      '0.000001234567890123456789'
    ]
  ]
  for (const text of texts)
    t.strictSame(records(`{"n":${text}}`), [`{"n":${noteNumber(text)}}`], text)
  t.end()
})

t.test('strings of every length class come through, with and without escapes', (t) => {
  for (const byteCount of [0, 1, 15, 16, 17, 31, 32, 33, 255, 256, 257, 65_535, 65_536, 70_000]) {
    const plain = 'x'.repeat(byteCount)
    t.strictSame(records(`{"s":"${plain}"}`), [`{"s":"${plain}"}`], `${byteCount} plain`)
    const escaped = '\\n'.repeat(byteCount)
    t.strictSame(records(`{"s":"${escaped}"}`), [`{"s":"${escaped}"}`], `${byteCount} escapes`)
  }
  t.end()
})

t.test('containers of every size class come through', (t) => {
  for (const count of [15, 16, 17, 65_535, 65_536]) {
    const list = Array.from({ length: count }, (_, index) => index % 10)
    const text = JSON.stringify({
      list,
      map: Object.fromEntries(list.map((n, index) => [`k${index}`, n]))
    })
    t.equal(records(text)[0] === meaningOf(Buffer.from(text)), true, `${count} elements`)
  }
  t.end()
})

t.test('an error tells its byte, its value and its reason, and what came before stands', (t) => {
  const cases: [string, number, number, string][] = [
    ['{"a":1} {"a":}', 13, 8, 'unexpected_byte'],
    ['{"a":1', 6, 0, 'cut_short'],
    ['{"a":"x', 7, 0, 'cut_short'],

    ['[{"a":1},]', 9, 9, 'not_an_object'],
    ['5', 0, 0, 'not_an_object'],
    ['[1]', 1, 1, 'not_an_object'],
    ['{"a":01}', 6, 0, 'bad_number'],
    ['{"a":-}', 6, 0, 'bad_number'],
    ['{"a":1.}', 7, 0, 'bad_number'],
    ['{"a":1e}', 7, 0, 'bad_number'],
    ['{"a":"\\x"}', 6, 0, 'bad_escape'],
    ['{"a":"\\u12g4"}', 6, 0, 'bad_escape'],
    ['{"a":"\n"}', 6, 0, 'control_character'],
    ['{"a":1,}', 7, 0, 'unexpected_byte'],
    ['{a:1}', 1, 0, 'unexpected_byte'],
    ['{"a":tru}', 5, 0, 'unexpected_byte'],
    ['{"a":1]', 6, 0, 'unexpected_byte']
  ]
  for (const [text, byte, valueStartByte, reason] of cases) {
    t.strictSame(convert(text).error, { byte, valueStartByte, reason }, text)
  }
  t.strictSame(convert('{"a":1} {"a":}').entries.length, 1)
  const broken = Buffer.from([...Buffer.from('{"a":"'), 0xed, 0xa0, 0x80, 0x22, 0x7d])
  t.strictSame(convert(broken).error, { byte: 6, valueStartByte: 0, reason: 'bad_utf8' })
  t.end()
})

t.test('W04 a bad line costs no other line', (t) => {
  const text = Buffer.from('{"a":1}\r\n\r\n{"b":\n{"c":3}\n{"d":"x\n{"e":5}')
  const found: string[] = []
  const bad: number[] = []
  for (let rest = 0; rest < text.length; ) {
    const { entries, error } = convert(text.subarray(rest), { ...NOW, isByLine: true })
    found.push(...entries.map((entry) => entry.record))
    if (!error) break
    bad.push(rest + error.valueStartByte)
    const lineEnd = text.indexOf('\n', rest + error.byte)
    rest = lineEnd < 0 ? text.length : lineEnd + 1
  }
  t.strictSame(found, ['{"a":i1}', '{"c":i3}', '{"e":i5}'])
  t.strictSame(bad, [11, 25])
  t.end()
})

t.test('W02 a number under the time key is the time of its record, and its pair is gone', (t) => {
  const timeOf = (number: string, options = {}) => {
    const text = `{"a":1,"time":${number},"b":2}`
    const [entry] = convert(text, { ...NOW, timeKeys: ['time'], ...options }).entries
    return entry && `${entry.seconds}.${String(entry.nanos).padStart(9, '0')} ${entry.record}`
  }
  const both = '{"a":i1,"b":i2}'
  t.equal(timeOf('1700000000.5'), `1700000000.500000000 ${both}`)
  t.equal(timeOf('1700000000'), `1700000000.000000000 ${both}`)
  t.equal(timeOf('1700000000.1234567899'), `1700000000.123456789 ${both}`)
  t.equal(timeOf('1.7e9'), `1700000000.000000000 ${both}`)
  t.equal(timeOf('1700000000.12345678901234567890'), `1700000000.123456789 ${both}`)
  t.equal(timeOf('-1.25'), `-2.750000000 ${both}`)
  t.equal(timeOf('4294967296'), `4294967296.000000000 ${both}`)
  t.equal(timeOf('1700000000123'), `1700000000.123000000 ${both}`)
  t.equal(timeOf('1700000000123456'), `1700000000.123456000 ${both}`)
  t.equal(timeOf('1700000000123456789'), `1700000000.123456789 ${both}`)
  const seconds = timeOf('1700000000123', { isTimeUnitGuessed: false })
  t.equal(seconds, `1700000000123.000000000 ${both}`)
  t.equal(timeOf('0'), `1700000000.000000005 ${both}`, 'zero means arrival')
  t.equal(timeOf('"x"'), '1700000000.000000005 {"a":i1,"b":i2,"time":"x"}', 'text stays a field')
  t.equal(
    convert('{"k":{"time":7}}', { ...NOW, timeKeys: ['time'] }).entries[0]?.record,
    '{"k":{"time":i7}}',
    'only the record itself has a time'
  )
  t.equal(convert('{"\\u0074ime":7}', { ...NOW, timeKeys: ['time'] }).entries[0]?.seconds, 7)
  t.end()
})

/** JSON text with every freedom that the grammar leaves. */
const space = fc.constantFrom('', '', '', ' ', '\n', '\t\r ')
const stringText = fc.oneof(
  fc.string({ unit: 'grapheme', maxLength: 40 }).map((text) => JSON.stringify(text)),
  fc
    .array(
      fc.constantFrom(
        '\\n',
        '\\u0041',
        '\\ud83d\\ude00',
        '\\udc00',
        '\\/',
        'é',
        '日本',
        '😀',
        'plain'
      )
    )
    .map((parts) => `"${parts.join('')}"`)
)
const numberText = fc.oneof(
  fc.integer().map(String),
  fc.double({ noNaN: true, noDefaultInfinity: true }).map((value) => String(value)),
  fc.bigInt({ min: -(2n ** 70n), max: 2n ** 70n }).map(String),
  fc
    .tuple(
      fc.bigInt({ min: 0n, max: 10n ** 25n }),
      fc.nat({ max: 999_999 }),
      fc.integer({ min: -400, max: 400 })
    )
    .map(([whole, fraction, exponent]) => `-${whole}.${fraction}e${exponent}`)
)
const jsonText = fc.letrec<{ value: string; list: string; object: string }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 4 },
    fc.oneof(stringText, numberText, fc.constantFrom('true', 'false', 'null')),
    tie('list'),
    tie('object')
  ),
  list: fc
    .array(
      fc.tuple(space, tie('value'), space).map((parts) => parts.join('')),
      { maxLength: 6 }
    )
    .map((items) => `[${items.join(',')}]`),
  object: fc
    .array(
      fc.tuple(space, stringText, space, tie('value'), space).map(([a, key, b, item, c]) => {
        return `${a}${key}${b}:${item}${c}`
      }),
      { maxLength: 6 }
    )
    .map((pairs) => `{${pairs.join(',')}}`)
})).object

t.test('valid text means what JSON.parse says', (t) => {
  fc.assert(
    fc.property(jsonText, (text) => {
      const { entries, error } = convert(text)
      if (error) throw new Error(`${error.reason} at ${error.byte}`)
      const expected = meaningOf(Buffer.from(text))
      if (entries[0]?.record !== expected) throw new Error(`${entries[0]?.record}\n${expected}`)
    }),
    { numRuns: 2000 }
  )
  t.end()
})

t.test('damaged text is good exactly when JSON.parse and a strict decoder say so', (t) => {
  const change = fc.tuple(
    fc.nat(),
    fc.oneof(fc.nat({ max: 255 }), fc.constantFrom(...Buffer.from('{}[]",:\\0.e')))
  )
  fc.assert(
    fc.property(jsonText, fc.array(change, { minLength: 1, maxLength: 3 }), (text, changes) => {
      const bytes = Buffer.from(text)
      for (const [at, byte] of changes) bytes[at % bytes.length] = byte
      const expected = meaningOf(bytes)
      const { entries, error } = convert(bytes)
      const isRecord = expected?.startsWith('{') ?? false
      const isSequence = expected === null && !error
      // Side by side values are ours alone; JSON.parse must take them one by one.
      if (isSequence || (expected?.startsWith('[') ?? false)) return
      if (isRecord !== (error === null)) throw new Error(`${error?.reason}, not ${expected}`)
      if (isRecord && entries[0]?.record !== expected) throw new Error(`${entries[0]?.record}`)
      if (error && (error.byte < error.valueStartByte || error.byte > bytes.length)) {
        throw new Error(`byte ${error.byte}`)
      }
    }),
    { numRuns: 5000 }
  )
  t.end()
})

t.test('the end of a value is found in whatever pieces its bytes come', (t) => {
  const block = kernel.borrow(2 ** 16)!
  fc.assert(
    fc.property(
      fc.array(jsonText, { minLength: 1, maxLength: 4 }),
      fc.array(fc.nat(), { maxLength: 8 }),
      (texts, cuts) => {
        const stream = Buffer.from(texts.join(' '))
        if (stream.length > block.length - 64) return
        block.set(stream)
        block.fill('"', stream.length, stream.length + 64)
        const ends: number[] = []
        const progress = new JsonProgress()
        let start = 0
        for (const end of [
          ...cuts.map((cut) => cut % stream.length).sort((a, b) => a - b),
          stream.length
        ]) {
          for (let found = 1; found > 0 && start < end; ) {
            found = kernel.json.findEnd(block.subarray(start, end), progress)
            if (found < 0) throw new Error('refused')
            start += found
            if (found > 0) ends.push(start)
          }
        }
        const expected: number[] = []
        for (const text of texts)
          expected.push((expected.at(-1) ?? -1) + 1 + Buffer.byteLength(text))
        if (ends.join() !== expected.join()) throw new Error(`${ends}, not ${expected}`)
      }
    ),
    { numRuns: 1000 }
  )
  kernel.giveBack(block)
  t.end()
})

t.test('what begins no array or object ends the search', (t) => {
  const block = kernel.borrow(4096)!
  for (const text of ['5', ' "x"', ']', `${'['.repeat(200)}`]) {
    block.fill(text, 0, text.length)
    t.equal(kernel.json.findEnd(block.subarray(0, text.length), new JsonProgress()), -1, text)
  }
  kernel.giveBack(block)
  t.end()
})

interface JsonCase {
  id: string
  title: string
  hex?: string
  expect: { events: { tag: string; time: string; record: unknown }[]; connection: string }
}

t.test('wire cases of JSON on the forward port', (t) => {
  const file = new URL('../fixtures/wire/cases.json', import.meta.url)
  const cases: JsonCase[] = JSON.parse(readFileSync(file, 'utf8'))
  for (const { id, title, hex, expect } of cases) {
    if (hex === undefined || !id.startsWith('J')) continue
    t.test(`${id} ${title}`, (t) => {
      const stream = Buffer.from(hex, 'hex')
      for (let cut = 1; cut <= stream.length; cut += 1) {
        t.strictSame(
          readJsonStream(stream, cut),
          expect.connection === 'open' ? expect.events : null
        )
      }
      t.end()
    })
  }
  t.end()
})

t.test('a JSON stream of the Go client gives its four messages', (t) => {
  const file = new URL('../fixtures/wire/go-fluent-logger-1.9.0-json.c2s.bin', import.meta.url)
  const events = readJsonStream(readFileSync(file), 100)
  t.equal(events?.length, 4)
  t.strictSame(events?.at(-1), {
    tag: 'go.app',
    time: '-5.000000000',
    record: { msg: 'before 1970' }
  })
  t.end()
})

/** Events of a JSON stream that comes in two pieces, or null when it is to be closed. */
function readJsonStream(
  stream: Buffer,
  cut: number
): { tag: string; time: string; record: unknown }[] | null {
  const block = kernel.borrow(stream.length + 64)!
  block.set(stream)
  const progress = new JsonProgress()
  const events: { tag: string; time: string; record: unknown }[] = []
  let start = 0
  let isClosed = false
  for (const end of [cut, stream.length]) {
    for (let found = 1; found > 0 && start < end && !isClosed; ) {
      found = kernel.json.findEnd(block.subarray(start, end), progress)
      isClosed ||= found < 0
      if (found <= 0) continue
      const result = kernel.json.toMessages(block.subarray(start, start + found))!
      start += found
      isClosed ||= result.error !== null
      if (!isClosed) events.push(...eventsOf(result.bytes))
      kernel.giveBack(result.bytes)
    }
  }
  kernel.giveBack(block)
  return isClosed ? null : events
}

function eventsOf(bytes: Buffer): { tag: string; time: string; record: unknown }[] {
  if (kernel.scan(bytes, new ScanProgress()) !== 'done') throw new Error('not a message')
  const unit = summarize(kernel.unit(0), bytes, 0)
  const [start = 0, end = 0] = unit.spans[0] ?? []
  const events = []
  for (let at = start; at < end; ) {
    const node = readNode(bytes, at)
    at = node.end
    const [time, record] = unit.kind === 'messages' ? node.items.slice(1) : node.items
    events.push({
      tag: Buffer.from(unit.tag, 'hex').toString(),
      time: Number(time!.number).toFixed(9),
      record: JSON.parse(noteRecord(bytes, record!).replace(/:[if]/g, ':'))
    })
  }
  return events
}
