import { encode } from '@msgpack/msgpack'
import t from 'tap'
import { packText, packValue } from './support/record-twin.ts'
import {
  entryOf,
  eventTime,
  groupOf,
  runGroups,
  runRecords,
  sharedKernel
} from './support/render-fixture.ts'

/** A map of raw key and value bytes, so that duplicates and odd keys can be written. */
function mapOf(pairs: readonly (readonly [Uint8Array, Uint8Array])[]): Buffer {
  const head = Buffer.alloc(5, 0xdf)
  head.writeUInt32BE(pairs.length, 1)
  return Buffer.concat([head, ...pairs.flat()])
}

const key = (text: string): Buffer => packText(Buffer.from(text))
const int = (value: number): Buffer => Buffer.from([value])
const bytes = (hex: string): Buffer => Buffer.from(hex, 'hex')

function lineOf(map: Uint8Array): string {
  return runGroups([groupOf([entryOf(map)])]).lines.join('')
}

t.test('S02 an empty map renders as {} and with the output fields it has', async (t) => {
  t.same(runRecords([{}]).lines, ['{}\n'])
  const layout = {
    timeField: { key: '@timestamp', precision: 3 },
    tagField: 'tag',
    hasId: true
  } as const
  const target = () =>
    ({ kind: 'ok', prefix: Buffer.from('<'), afterId: Buffer.from('>') }) as const
  t.same(runRecords([{}], { layout, target }).lines, [
    '<ABEiM0RVZncAAAAHAAAAAAPo>{"@timestamp":"2026-11-20T17:05:09.123Z","tag":"app.web"}\n'
  ])
})

t.test('S03 a key that comes again has its last value at its first place', async (t) => {
  const map = mapOf([
    [key('a'), int(1)],
    [key('b'), int(2)],
    [key('a'), key('last')]
  ])
  t.equal(lineOf(map), '{"a":"last","b":2}\n')
})

t.test('S05 keys that differ only in length or in the middle are distinct', async (t) => {
  const names = [0, 1, 7, 8, 9, 16, 17, 31, 255, 1024].map((n) => 'k'.repeat(n))
  for (const n of [17, 40, 1024]) {
    names.push(`${'k'.repeat(8)}x${'k'.repeat(n - 9)}`, `${'k'.repeat(8)}y${'k'.repeat(n - 9)}`)
  }
  const record = Object.fromEntries(names.map((name, index) => [name, index]))
  t.same(runRecords([record]).lines, [`${JSON.stringify(record)}\n`])
})

t.test(
  'S06 a record that has no table goes out whole where no step could be skipped',
  async (t) => {
    const long = { ['k'.repeat(1025)]: 1, b: { c: [1, 2] } }
    t.same(runRecords([long]).lines, [`${JSON.stringify(long)}\n`])
    const wide = Object.fromEntries(Array.from({ length: 961 }, (_, index) => [`f${index}`, index]))
    t.same(runRecords([wide]).lines, [`${JSON.stringify(wide)}\n`])
    const pairs = Object.entries(wide).map(
      ([name, value]) => [key(name), packValue(value)] as const
    )
    t.equal(
      lineOf(mapOf([...pairs, [key('f3'), key('again')]])),
      `${JSON.stringify({ ...wide, f3: 'again' })}\n`,
      'a later value wins there too'
    )
    const layout = { timeField: { key: 'f1', precision: 0 }, timeConflict: 'overwrite' } as const
    const { f1: _, ...rest } = wide
    t.same(runRecords([wide], { layout }).lines, [
      `${JSON.stringify({ f1: '2026-11-20T17:05:09Z', ...rest })}\n`
    ])
  }
)

t.test('S06 a record that has no table is a failure of the first step', async (t) => {
  const result = runRecords([{ ['k'.repeat(1025)]: 1 }, { a: 1 }], {
    write: (writer) => writer.remove([writer.key('b')])
  })
  t.same(result.lines, ['{"a":1}\n'])
  t.match(result.verdicts[0], { fate: 'dead_letter', step: 1, reason: 'too_many_fields' })
  t.equal(result.counters['1:too_many_fields'], 1)
})

t.test('S07 records of ever new keys stay equal when the dictionary begins anew', async (t) => {
  const records = Array.from({ length: 5000 }, (_, index) => ({
    [`key_${index}_one`]: index,
    [`key_${index}_two_and_more_than_16`]: 'x',
    same: true
  }))
  const result = runRecords(records, { write: (writer) => writer.setJson(writer.key('c'), '1') })
  t.same(
    result.lines,
    records.map((record) => `${JSON.stringify({ ...record, c: 1 })}\n`)
  )
  t.ok((result.counters['0:dictionary_reset'] ?? 0) >= 2, 'resets are counted')
})

t.test('S08 at the wrap of the generation no field of an older record appears', async (t) => {
  const kernel = sharedKernel()
  const write: Parameters<typeof runRecords>[1] = {
    write: (writer) => {
      writer.setTemplate(writer.key('seen'), {
        source: '',
        parts: [{ kind: 'record', path: ['old'], fallback: 'none' }]
      })
    }
  }
  runRecords([{ old: 1 }], write)
  kernel.presetGeneration(2 ** 32 - 2)
  const result = runRecords([{ old: 1 }, { a: 1 }, { b: 2 }, { old: 3 }], write)
  t.same(result.lines, [
    '{"old":1,"seen":1}\n',
    '{"a":1,"seen":"none"}\n',
    '{"b":2,"seen":"none"}\n',
    '{"old":3,"seen":3}\n'
  ])
})

t.test('S09 keys of other types are their JSON text', async (t) => {
  const pairs = [
    [int(7), int(1)],
    [bytes('c0'), int(2)],
    [bytes('c3'), int(3)],
    [bytes('cb3ff8000000000000'), int(4)],
    [bytes('c40162'), int(5)],
    [bytes('920102'), int(6)],
    [bytes('81a16b01'), int(7)],
    [bytes('d6ff00000001'), int(8)]
  ] as const
  const expected =
    '"7":1,"null":2,"true":3,"1.5":4,"b":5,"[1,2]":6,"{\\"k\\":1}":7,"1970-01-01T00:00:01.000000000Z":8'
  t.equal(lineOf(mapOf(pairs)), `{${expected}}\n`)
  t.equal(lineOf(mapOf([[key('n'), mapOf(pairs)]])), `{"n":{${expected}}}\n`, 'nested as well')
})

t.test('S10 numbers keep every digit', async (t) => {
  const values: [string, string][] = [
    ['cfffffffffffffffff', '18446744073709551615'],
    ['d38000000000000000', '-9223372036854775808'],
    ['ca3dcccccd', '0.10000000149011612'],
    ['cb7ff8000000000000', 'null'],
    ['cb7ff0000000000000', 'null'],
    ['cb8000000000000000', '0'],
    ['cb3fb999999999999a', '0.1'],
    ['cb444b1ae4d6e2ef50', '1e+21'],
    ['cb3e7ad7f29abcaf48', '1e-7'],
    ['d0ff', '-1'],
    ['d18000', '-32768'],
    ['e0', '-32'],
    ['ccff', '255'],
    ['ceffffffff', '4294967295']
  ]
  const map = mapOf(values.map(([hex], index) => [key(`k${index}`), bytes(hex)] as const))
  t.equal(lineOf(map), `{${values.map(([, text], index) => `"k${index}":${text}`).join()}}\n`)
})

t.test('S11 bad UTF-8 becomes U+FFFD and is counted', async (t) => {
  const bad = ['ff', 'c080', 'eda080', 'f4908080', 'e282', 'f09f98']
  const map = mapOf(
    bad.map((hex, index) => [key(`k${index}`), packText(bytes(`61${hex}62`))] as const)
  )
  const result = runGroups([groupOf([entryOf(map)])])
  const expected = bad.map(
    (hex, index) => `"k${index}":${JSON.stringify(new TextDecoder().decode(bytes(`61${hex}62`)))}`
  )
  t.equal(
    result.lines[0]?.replaceAll(/\ufffd+/g, '\ufffd'),
    `{${expected.join()}}\n`.replaceAll(/\ufffd+/g, '\ufffd')
  )
  t.ok(result.kernel.invalidByteCount >= bad.length)
})

t.test('ext values are times or base64', async (t) => {
  const map = mapOf([
    [key('event'), bytes('d7000000000100000002')],
    [key('ts32'), bytes('d6ff00000001')],
    [key('ts64'), bytes('d7ff0000000800000001')],
    [key('ts96'), bytes('c70cff000000070000000000000001')],
    [key('go'), bytes('c70c05000000000000000100000007')],
    [key('other'), bytes('c70307616263')],
    [key('odd'), bytes('d60001020304')]
  ])
  const record = JSON.parse(lineOf(map))
  t.same(record, {
    event: '1970-01-01T00:00:01.000000002Z',
    ts32: '1970-01-01T00:00:01.000000000Z',
    ts64: '1970-01-01T00:00:01.000000002Z',
    ts96: '1970-01-01T00:00:01.000000007Z',
    go: '1970-01-01T00:00:01.000000007Z',
    other: 'YWJj',
    odd: 'AQIDBA=='
  })
})

t.test('S12 a record that does not fit the rest of the output begins the next one', async (t) => {
  const records = Array.from({ length: 10 }, (_, index) => ({ index, text: 'x'.repeat(1000) }))
  const result = runRecords(records, { outputBytesMax: 14_000 })
  t.equal(result.stop, 'full')
  t.equal(result.resumeOffset, 1000 + result.lines.length)
  t.same(
    result.lines,
    records.slice(0, result.lines.length).map((each) => `${JSON.stringify(each)}\n`)
  )
  t.same(result.verdicts, [
    { firstOffset: 1000, count: result.lines.length, fate: 'out', step: 0, reason: '' }
  ])
})

t.test(
  'S13 a record larger than the whole output is refused, a big one that fits is not',
  async (t) => {
    const result = runRecords([{ text: '\u0001'.repeat(30_000) }, { a: 1 }], {
      outputBytesMax: 100_000
    })
    t.match(result.verdicts, [{ fate: 'dead_letter', reason: 'too_large' }, { fate: 'out' }])
    const big = {
      text: `${'x'.repeat(60_000)}\u0001가"`,
      nested: [{ text: 'y'.repeat(20_000), n: 1.25 }]
    }
    t.same(runRecords([big], { outputBytesMax: 100_000 }).lines, [`${JSON.stringify(big)}\n`])
    const limited = runRecords([{ text: 'x'.repeat(300) }, { a: 1 }], {
      layout: { recordBytesMax: 100 }
    })
    t.match(limited.verdicts, [{ reason: 'too_large' }, { fate: 'out' }])
    t.same(limited.lines, ['{"a":1}\n'])
  }
)

t.test('records nested deeper than the limit are refused without harm', async (t) => {
  const deep = (depth: number) =>
    Buffer.concat([Buffer.from([0x81, 0xa1, 0x61]), Buffer.alloc(depth, 0x91), Buffer.from([1])])
  const result = runGroups([
    groupOf([entryOf(deep(128)), entryOf(deep(129)), entryOf(deep(100_000))])
  ])
  t.match(
    result.verdicts.map(({ fate, reason, count }) => [fate, reason, count]),
    [
      ['out', '', 1],
      ['dead_letter', 'nesting', 2]
    ]
  )
})

t.test('times of every encoding are read, unusable ones become the arrival', async (t) => {
  const cases: [string, string][] = [
    ['d7000000000100000002', '1970-01-01T00:00:01.000000002Z'],
    ['c708000000000100000002', '1970-01-01T00:00:01.000000002Z'],
    ['d70080000000ffffffff', '2038-01-19T03:14:12.294967295Z'],
    ['d6ff00000001', '1970-01-01T00:00:01.000000000Z'],
    ['05', '1970-01-01T00:00:05.000000000Z'],
    ['ce65000000', '2023-09-12T06:06:56.000000000Z'],
    ['d2fffffffb', '2106-02-07T06:28:11.000000000Z'],
    ['cb4278bcfe56800000', '2023-11-14T22:13:20.000000000Z'],
    ['cf0000018bcfe56800', '2023-11-14T22:13:20.000000000Z'],
    ['cb3ff8000000000000', '1970-01-01T00:00:01.500000000Z'],
    ['fb', '1969-12-31T23:59:55.000000000Z'],
    ['d0fb', '1969-12-31T23:59:55.000000000Z'],
    ['d1fffb', '1969-12-31T23:59:55.000000000Z'],
    ['d3fffffffffffffffb', '1969-12-31T23:59:55.000000000Z'],
    ['d3fffffff186da9e00', '0000-03-01T00:00:00.000000000Z'],
    ['cbbff8000000000000', '1969-12-31T23:59:58.500000000Z'],
    ['cfffffffffffffffff', '2554-07-21T23:34:33.709551615Z'],
    ['c70cff00000002ffffffffffffffff', '1969-12-31T23:59:59.000000002Z']
  ]
  const layout = { timeField: { key: 't', precision: 9 } } as const
  const entries = cases.map(([hex]) => entryOf({}, bytes(hex)))
  const arrival = ['c0', '00', 'd7000000000000000000', 'c3', 'cb7ff8000000000000', 'd60001020304']
  arrival.push('d3fffffff186da9dff', 'd38000000000000000', 'cbc3f0000000000000')
  entries.push(...arrival.map((hex) => entryOf({}, bytes(hex))))
  const result = runGroups([groupOf(entries)], { layout })
  t.same(
    result.lines.map((line) => JSON.parse(line).t),
    [...cases.map(([, text]) => text), ...arrival.map(() => '2026-11-20T17:06:40.500000000Z')]
  )
  t.equal(
    result.kernel.badTimeCount,
    6,
    'bool, NaN, a wrong length and times before the year 0 are bad; nil and 0 are not'
  )
})

t.test('log events and index rows bear 0 for a time before 1970', async (t) => {
  const entries = ['fb', '05'].map((hex) => entryOf({ a: 1 }, bytes(hex)))
  const result = runGroups([groupOf(entries)], { layout: { framing: 'log_events' } })
  t.match(result.lines.join(''), /"timestamp":0\}.*"timestamp":5000\}/s)
  t.equal(result.kernel.rows.timeMs(0), 0)
  t.equal(result.kernel.rows.timeMs(1), 5000)
})

t.test('whole messages, metadata and markers of groups', async (t) => {
  const message = (...parts: unknown[]) => Buffer.from(encode(parts))
  const time = eventTime()
  const marker = bytes('92 92 d700fffffffe00000000 80 80'.replaceAll(' ', ''))
  const write: Parameters<typeof runGroups>[1] = {
    write: (writer) =>
      writer.setTemplate(writer.key('m'), {
        source: '',
        parts: [{ kind: 'meta', key: 'k', fallback: 'none' }]
      })
  }
  const result = runGroups(
    [
      groupOf(
        [
          message('tag', time, { a: 1 }, { metadata: { k: 'option' }, chunk: 'x' }),
          message('tag', [time, { k: 'header' }], { a: 2 }, {}),
          message('tag', 5, { a: 3 })
        ],
        { form: 2 }
      ),
      groupOf(
        [
          marker,
          message([time, { k: 'meta' }], { a: 4 }),
          marker,
          message(time, { a: 5 }, 'extra')
        ],
        {
          count: 2
        }
      )
    ],
    write
  )
  t.equal(result.stop, 'end')
  t.same(result.lines, [
    '{"a":1,"m":"option"}\n',
    '{"a":2,"m":"header"}\n',
    '{"a":3,"m":"none"}\n',
    '{"a":4,"m":"meta"}\n',
    '{"a":5,"m":"none"}\n'
  ])
  t.equal(result.resumeOffset, 1005)
})

t.test('bytes that are no entries stop the run where they begin', async (t) => {
  const good = entryOf({ a: 1 })
  for (const [name, broken] of [
    ['cut', good.subarray(0, good.length - 1)],
    ['missing', Buffer.alloc(0)]
  ] as const) {
    const result = runGroups([groupOf([good, broken])])
    t.equal(result.stop, 'damaged', name)
    t.equal(result.resumeOffset, 1001)
  }
  const odd = runGroups([groupOf([Buffer.from([0x91, 1]), good])])
  t.match(odd.verdicts, [{ fate: 'dead_letter', reason: 'not_a_record' }, { fate: 'out' }])
})

t.test('fields of the output win, give way or move the field of the record', async (t) => {
  const record = { a: 1, tag: 'mine', '@timestamp': 'then' }
  const layout = { timeField: { key: '@timestamp', precision: 0 }, tagField: 'tag' } as const
  const time = '"@timestamp":"2026-11-20T17:05:09Z"'
  t.same(runRecords([record], { layout: { ...layout, timeConflict: 'overwrite' } }).lines, [
    `{${time},"tag":"app.web","a":1}\n`
  ])
  t.same(runRecords([record], { layout: { ...layout, timeConflict: 'keep' } }).lines, [
    '{"a":1,"tag":"mine","@timestamp":"then"}\n'
  ])
  t.same(runRecords([record], { layout: { ...layout, timeConflict: 'rename' } }).lines, [
    `{${time},"tag":"app.web","a":1,"tag_original":"mine","@timestamp_original":"then"}\n`
  ])
})

t.test('S87 a record whose keys alone fill the dictionary has no table', async (t) => {
  const wide = Object.fromEntries(
    Array.from({ length: 300 }, (_, index) => [`${'k'.repeat(900)}${index}`, index])
  )
  t.same(runRecords([wide, { a: 1 }]).lines, [`${JSON.stringify(wide)}\n`, '{"a":1}\n'])
})
