import t from 'tap'
import type { TemplatePart } from '../../src/core/template.ts'
import * as codes from '../../src/kernel/codes.ts'
import type { ProgramWriter } from '../../src/kernel/program.ts'
import { packText, packValue } from './support/record-twin.ts'
import { entryOf, groupOf, runGroups, runRecords } from './support/render-fixture.ts'

type Write = (writer: ProgramWriter) => void

const field = (...path: (string | number)[]): TemplatePart => ({
  kind: 'record',
  path,
  fallback: null
})
const line = (record: unknown, write: Write): string =>
  runRecords([record], { write }).lines.join('').trim()
const json = (record: unknown, write: Write): unknown => JSON.parse(line(record, write))

/** Keeps the records for which the test jumps on 1. */
function keepIf(test: (writer: ProgramWriter, label: { word: number }) => void): Write {
  return (writer) => {
    const kept = writer.label()
    test(writer, kept)
    writer.drop()
    writer.place(kept)
  }
}

t.test(
  'S14 a constant with backslash, quote, newline and emoji is what a template reads',
  async (t) => {
    const text = 'a\\b"c\nd😀'
    const write: Write = (writer) => {
      writer.setJson(writer.key('c'), JSON.stringify(text))
      writer.setText(writer.key('t'), [
        { kind: 'text', text: '<' },
        field('c'),
        { kind: 'text', text: '>' }
      ])
    }
    t.same(json({ c: 1 }, write), { c: text, t: `<${text}>` })
  }
)

t.test('S15 a template takes the text of every kind of value', async (t) => {
  const record = { map: { a: [1] }, n: 1.5, none: null, yes: true, text: 'x' }
  const write: Write = (writer) => {
    const names = ['map', 'n', 'none', 'yes', 'text', 'missing']
    writer.setText(
      writer.key('t'),
      names.flatMap((name) => [field(name), { kind: 'text', text: '|' } as const])
    )
    writer.setText(writer.key('f'), [
      { kind: 'record', path: ['missing'], fallback: 'other' },
      { kind: 'text', text: '!' }
    ])
  }
  const result = runRecords([record], { write })
  t.match(JSON.parse(result.lines[0] ?? ''), { t: '{"a":[1]}|1.5||true|x||', f: 'other!' })
  t.equal(result.counters['1:template_missing'], 1)
})

t.test('S15 tag, time, position and source in templates', async (t) => {
  const part = (from: number, to: number | null, isSlice: boolean): TemplatePart => ({
    kind: 'tag_parts',
    from,
    to,
    isSlice
  })
  const cases: [TemplatePart, string][] = [
    [{ kind: 'tag' }, 'a.b.c.d'],
    [part(1, null, false), 'b'],
    [part(-1, null, false), 'd'],
    [part(9, null, false), ''],
    [part(1, null, true), 'b.c.d'],
    [part(1, -1, true), 'b.c'],
    [part(-2, null, true), 'c.d'],
    [part(0, 2, true), 'a.b'],
    [
      { kind: 'time', format: '%Y-%m-%dT%H:%M:%S.%3N%z %j %a %B %e %p %V %G %s' },
      '2026-11-20T17:05:09.123+0000 324 Fri November 20 PM 47 2026 1795194309'
    ],
    [{ kind: 'source_address' }, '10.0.0.9'],
    [{ kind: 'position' }, 'ABEiM0RVZncAAAAHAAAAAAPo']
  ]
  const write: Write = (writer) => {
    for (const [index, [each]] of cases.entries()) {
      writer.setText(writer.key(`k${index}`), [each, { kind: 'text', text: '.' }])
    }
  }
  const result = runGroups([groupOf([entryOf({})], { tag: 'a.b.c.d' })], { write })
  const record = JSON.parse(result.lines[0] ?? '')
  for (const [index, [each, text]] of cases.entries())
    t.equal(record[`k${index}`], `${text}.`, each.kind)
})

t.test('S16 a template of one placeholder copies the value with its type', async (t) => {
  const write: Write = (writer) => {
    const copy = (to: string, part: TemplatePart) =>
      writer.setTemplate(writer.key(to), { source: '', parts: [part] })
    copy('b', field('a'))
    copy('c', field('a', 'n', 1))
    copy('d', field('missing'))
    copy('e', { kind: 'record', path: ['missing'], fallback: '7' })
  }
  const result = runRecords([{ a: { n: [1, 2.5] } }], { write })
  t.equal(result.lines[0], '{"a":{"n":[1,2.5]},"b":{"n":[1,2.5]},"c":2.5,"d":"","e":"7"}\n')
  t.equal(result.counters['1:template_missing'], 1, 'a missing value is empty text and counted')
})

t.test('S17 assignments of one step read the record before it', async (t) => {
  const write: Write = (writer) => {
    writer.copy(writer.key('a'), writer.key('b'), codes.SET_DEFER)
    writer.setText(writer.key('b'), [field('a'), { kind: 'text', text: '!' }], codes.SET_DEFER)
    writer.commit()
  }
  t.equal(line({ a: 1, b: 2 }, write), '{"a":2,"b":"1!"}')
})

t.test('S18 removing what is missing changes nothing, removing all leaves {}', async (t) => {
  t.equal(
    line({ a: 1 }, (writer) => writer.remove([writer.key('x')])),
    '{"a":1}'
  )
  t.equal(
    line({ a: 1, b: 2 }, (writer) => writer.remove([writer.key('a'), writer.key('b')])),
    '{}'
  )
})

t.test('S04 a field set after its removal stands at the end with the new value', async (t) => {
  const write: Write = (writer) => {
    writer.remove([writer.key('a')])
    writer.setJson(writer.key('a'), '3')
  }
  t.equal(line({ a: 1, b: 2 }, write), '{"b":2,"a":3}')
})

t.test('S19 rename to existing, to itself, swapped, from missing', async (t) => {
  const rename = (pairs: [string, string][], isKept = false): Write => {
    return (writer) =>
      writer.rename(
        pairs.map(([from, to]) => [writer.key(from), writer.key(to)]),
        isKept
      )
  }
  const record = { a: 1, b: 2 }
  t.equal(line(record, rename([['a', 'b']])), '{"b":1}')
  t.equal(line(record, rename([['a', 'b']], true)), '{"a":1,"b":2}')
  t.equal(line(record, rename([['a', 'a']])), '{"a":1,"b":2}')
  t.equal(
    line(
      record,
      rename([
        ['a', 'b'],
        ['b', 'a']
      ])
    ),
    '{"b":1,"a":2}'
  )
  t.equal(line(record, rename([['x', 'a']])), '{"a":1,"b":2}')
})

t.test('S20 S21 patterns of keys hold for keys that come later, and after a reset', async (t) => {
  const records = Array.from({ length: 5000 }, (_, index) => ({
    [`x_${index}`]: 1,
    [`y_${index}`]: 2
  }))
  const write =
    (isKept: boolean): Write =>
    (writer) => {
      const patterns = [writer.pattern('_4999$')]
      writer.filterKeys(writer.keySet({ exact: ['y_1'], prefixes: ['x_'], patterns }), isKept)
    }
  const isIn = (key: string) => key.startsWith('x_') || key === 'y_1' || key.endsWith('_4999')
  for (const isKept of [false, true]) {
    t.same(
      runRecords(records, { write: write(isKept) }).lines,
      records.map((record) => {
        const fields = Object.entries(record).filter(([key]) => isIn(key) === isKept)
        return `${JSON.stringify(Object.fromEntries(fields))}\n`
      })
    )
  }
})

t.test('S25 paths go through MessagePack, JSON text and what steps made', async (t) => {
  const record = { m: { 'x.y': { z: [0, { q: 'deep' }] } }, log: '{"a":{"b":[1,{"c":"é\\n"}]}}' }
  const write: Write = (writer) => {
    writer.copy(writer.key('one'), writer.field(['m', 'x.y', 'z', 1, 'q']))
    writer.parseJson(writer.key('log'), { into: writer.key('parsed') })
    writer.copy(writer.key('two'), writer.field(['parsed', 'a', 'b', 1, 'c']))
    writer.copy(writer.key('three'), writer.field(['parsed', 'a', 'b', 9]))
    writer.copy(writer.key('four'), writer.field(['m', 'x']))
    writer.remove([writer.key('m')])
  }
  t.same(json(record, write), { parsed: { a: { b: [1, { c: 'é\n' }] } }, one: 'deep', two: 'é\n' })
})

t.test('S28 tests of text do not hold for missing fields, maps, arrays and null', async (t) => {
  const records = [{}, { a: { b: 1 } }, { a: ['x'] }, { a: null }, { a: 'x' }]
  const write = keepIf((writer, kept) =>
    writer.match(writer.key('a'), codes.MATCH_CONTAINS, '', kept, true)
  )
  t.same(runRecords(records, { write }).lines, ['{"a":"x"}\n'])
})

t.test('S29 numbers compare by the JSON grammar and exactly', async (t) => {
  const values = [
    '500',
    500,
    '5e2',
    '0x1f4',
    500.5,
    '499',
    '0500',
    2n ** 63n + 1n,
    '9223372036854775809',
    true,
    ' 500'
  ]
  const write = (relation: number, limit: bigint | number) =>
    keepIf((writer, kept) => writer.compare(writer.key('a'), relation, limit, kept, true))
  const kept = (relation: number, limit: bigint | number) =>
    runRecords(
      values.map((a) => ({ a })),
      { write: write(relation, limit) }
    ).lines.map((each) => /:(.*)}/.exec(each)?.[1])
  t.same(kept(codes.COMPARE_EQUAL, 500), ['"500"', '500', '"5e2"'])
  t.same(kept(codes.COMPARE_EQUAL, 2n ** 63n + 1n), [
    '9223372036854775809',
    '"9223372036854775809"'
  ])
  t.same(kept(codes.COMPARE_EQUAL, 2n ** 63n), [])
  t.same(kept(codes.COMPARE_GREATER, 500), [
    '500.5',
    '9223372036854775809',
    '"9223372036854775809"'
  ])
  t.same(kept(codes.COMPARE_LESS, 499.5), ['"499"'])
})

t.test('S31 a literal is found at every offset and none behind the end', async (t) => {
  for (let length = 1; length <= 20; length++) {
    const literal = 'abcdefghijklmnopqrst'.slice(0, length)
    const records = Array.from({ length: 41 }, (_, offset) => ({
      a: `${'a'.repeat(offset)}${literal}`
    }))
    // The entry behind begins with bytes that would complete the literal, were they read.
    const cut = { a: literal.slice(0, -1), b: literal.slice(-1) }
    const write = keepIf((writer, kept) =>
      writer.match(writer.key('a'), codes.MATCH_CONTAINS, literal, kept, true)
    )
    t.equal(runRecords([...records, cut], { write }).lines.length, 41, `${length} bytes`)
  }
})

t.test('S30 and, or, not follow the truth table with jumps across dropped branches', async (t) => {
  const records = [0, 1, 2, 3, 4, 5, 6, 7].map((bits) => ({
    ...(bits & 1 ? { a: 1 } : {}),
    ...(bits & 2 ? { b: 1 } : {}),
    ...(bits & 4 ? { c: 1 } : {}),
    bits
  }))
  // Keep (a and not b) or c.
  const write: Write = (writer) => {
    const [kept, other] = [writer.label(), writer.label()]
    writer.exists(writer.key('a'), other, false)
    writer.exists(writer.key('b'), kept, false)
    writer.place(other)
    writer.exists(writer.key('c'), kept, true)
    writer.drop()
    writer.place(kept)
  }
  t.same(
    runRecords(records, { write }).lines.map((each) => JSON.parse(each).bits),
    [1, 4, 5, 6, 7]
  )
})

t.test('verdicts and counters tell what a step did', async (t) => {
  const result = runRecords([{ a: 1 }, { b: 1 }, { a: 2 }, { c: 1 }], {
    write: (writer) => {
      const next = writer.label()
      writer.step = 2
      writer.exists(writer.key('a'), next, false)
      writer.drop()
      writer.place(next)
      writer.step = 3
      const end = writer.label()
      writer.exists(writer.key('c'), end, false)
      writer.dead(codes.REASON_STEP)
      writer.place(end)
    }
  })
  t.same(result.verdicts, [
    { firstOffset: 1000, count: 1, fate: 'dropped', step: 2, reason: 'step' },
    { firstOffset: 1001, count: 1, fate: 'out', step: 0, reason: '' },
    { firstOffset: 1002, count: 1, fate: 'dropped', step: 2, reason: 'step' },
    { firstOffset: 1003, count: 1, fate: 'dead_letter', step: 3, reason: 'step' }
  ])
  t.same(result.counters, { '2:dropped': 2, '3:dead_letter': 1 })
})

t.test('finished offsets are passed over', async (t) => {
  const { kernel } = runRecords([])
  const payload = groupOf([0, 1, 2, 3, 4, 5].map((n) => entryOf({ n })))
  kernel.input.set(payload)
  kernel.setFinished(1001, [
    [1002, 1004],
    [1005, 1006]
  ])
  t.equal(
    kernel.run({ startByte: 0, endByte: payload.length, firstOffset: 1000, appendTimeMs: 1 }),
    'end'
  )
  t.same(
    kernel.verdicts().map(({ fate, count }) => [fate, count]),
    [
      ['finished', 1],
      ['out', 1],
      ['finished', 2],
      ['out', 1],
      ['finished', 1]
    ]
  )
  t.same([kernel.rows.offset(0), kernel.rows.offset(1)], [1001, 1004])
})

t.test('bin and text of any width are one kind', async (t) => {
  const entries = [0, 1, 2, 3, 4].map((width) => {
    const map = Buffer.concat([
      Buffer.from([0x81]),
      packText(Buffer.from('a'), width),
      packValue('x', width)
    ])
    return entryOf(map)
  })
  t.same(runGroups([groupOf(entries)]).lines, Array(5).fill('{"a":"x"}\n'))
})
