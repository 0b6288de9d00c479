// Random steps, each as the kernel's words and as a function over plain values.

import fc from 'fast-check'
import * as codes from '../../../src/kernel/codes.ts'
import type { ProgramWriter } from '../../../src/kernel/program.ts'
import {
  isContainer,
  jsonOf,
  memberAt,
  numberOf,
  type RecordMap,
  templateText,
  textOf,
  type Value,
  valueOfJson
} from './record-twin.ts'

export const KEYS = [
  'a',
  'b',
  'log',
  'x_one',
  'x_two',
  'a key of more than 16',
  'a key of more thAn 16',
  'é',
  'q"q'
]

/** What is left of the record; null: the step ended it. */
export type Outcome = RecordMap | 'dropped' | 'dead_letter'

export interface TwinStep {
  readonly name: string
  write(writer: ProgramWriter): void
  apply(record: RecordMap): Outcome
  /** Answer of a JavaScript step. */
  readonly answer?: (json: string) => string
}

const key = fc.constantFrom(...KEYS)
const word = fc.constantFrom(
  'a',
  'GET ',
  '"',
  '\\',
  '\n',
  '가',
  '😀',
  '0',
  '12',
  ' ',
  '\u0001',
  '{',
  '-5'
)
export const text = fc.array(word, { maxLength: 8 }).map((words) => words.join(''))

export const scalar: fc.Arbitrary<Value> = fc.oneof(
  text,
  text,
  fc.integer({ min: -500_000, max: 500_000 }),
  fc.bigInt({ min: -(2n ** 63n), max: 2n ** 64n - 1n }),
  fc
    .double({ noNaN: true, noDefaultInfinity: true })
    .map((value) => (Object.is(value, -0) ? 0 : value)),
  fc.constantFrom(0.1, 12.34, 1e21, 1e-7, 123456.789, 1.5, -0.25),
  fc.boolean(),
  fc.constant(null)
)

export const value: fc.Arbitrary<Value> = fc.letrec<{ value: Value }>((tie) => ({
  value: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    scalar,
    fc.array(tie('value'), { maxLength: 3 }),
    fc.array(fc.tuple(key, tie('value')), { maxLength: 3 }).map((pairs) => new Map(pairs))
  )
})).value

/** Values that JSON text and JavaScript numbers keep as they are. */
export const jsonText: fc.Arbitrary<string> = fc
  .array(
    fc.tuple(
      key,
      fc.oneof(text, fc.integer({ min: -1000, max: 1000 }), fc.constantFrom(0.5, true, null))
    ),
    {
      maxLength: 4
    }
  )
  .map((pairs) => jsonOf(new Map(pairs)))

export const record: fc.Arbitrary<RecordMap> = fc
  .array(
    fc.tuple(key, fc.oneof({ weight: 5, arbitrary: value }, { weight: 1, arbitrary: jsonText })),
    {
      maxLength: 9
    }
  )
  .map((pairs) => new Map(pairs))

function changed(record: RecordMap, change: (fields: Map<string, Value>) => void): RecordMap {
  const fields = new Map(record)
  change(fields)
  return fields
}

const setConstant = fc.tuple(key, value, fc.boolean()).map(
  ([to, constant, isOnlyMissing]): TwinStep => ({
    name: `set ${to} ${jsonOf(constant)}`,
    write: (writer) =>
      writer.setJson(writer.key(to), jsonOf(constant), isOnlyMissing ? codes.SET_IF_MISSING : 0),
    apply: (record) =>
      isOnlyMissing && record.has(to)
        ? record
        : changed(record, (fields) => fields.set(to, constant))
  })
)

const setText = fc.tuple(key, key, key, fc.option(text)).map(
  ([to, one, two, fallback]): TwinStep => ({
    name: `set ${to} from ${one}-${two}`,
    write: (writer) =>
      writer.setText(writer.key(to), [
        { kind: 'record', path: [one], fallback },
        { kind: 'text', text: '-' },
        { kind: 'record', path: [two], fallback: null }
      ]),
    apply: (record) =>
      changed(record, (fields) => {
        const part = (name: string, other: string) => {
          const found = record.get(name)
          return found === undefined ? other : templateText(found)
        }
        fields.set(to, `${part(one, fallback ?? '')}-${part(two, '')}`)
      })
  })
)

const copyPath = fc
  .tuple(key, key, fc.option(fc.oneof(key, fc.nat({ max: 2 })), { nil: undefined }))
  .map(([to, root, below]): TwinStep => {
    const path = below === undefined ? [root] : [root, below]
    return {
      name: `copy ${path.join('.')} to ${to}`,
      write: (writer) => writer.copy(writer.key(to), writer.field(path)),
      apply: (record) => {
        const found = memberAt(record, path)
        return found === undefined ? record : changed(record, (fields) => fields.set(to, found))
      }
    }
  })

/** Two assignments at once that read each other. */
const exchange = fc.tuple(key, key).map(
  ([one, two]): TwinStep => ({
    name: `exchange ${one} ${two}`,
    write: (writer) => {
      writer.copy(writer.key(one), writer.field([two]), codes.SET_DEFER)
      writer.copy(writer.key(two), writer.field([one]), codes.SET_DEFER)
      writer.commit()
    },
    apply: (record) =>
      changed(record, (fields) => {
        const first = record.get(two)
        const second = record.get(one)
        if (first !== undefined) fields.set(one, first)
        if (second !== undefined) fields.set(two, second)
      })
  })
)

const remove = fc.array(key, { maxLength: 3 }).map(
  (keys): TwinStep => ({
    name: `remove ${keys.join()}`,
    write: (writer) => writer.remove(keys.map((name) => writer.key(name))),
    apply: (record) => new Map([...record].filter(([name]) => !keys.includes(name)))
  })
)

const filterKeys = fc.tuple(key, fc.constantFrom('x_', 'a key', 'q'), fc.boolean()).map(
  ([exact, prefix, isKept]): TwinStep => ({
    name: `${isKept ? 'keep' : 'remove'} ${exact} ${prefix}*`,
    write: (writer) =>
      writer.filterKeys(writer.keySet({ exact: [exact], prefixes: [prefix] }), isKept),
    apply: (record) =>
      new Map(
        [...record].filter(([name]) => (name === exact || name.startsWith(prefix)) === isKept)
      )
  })
)

const rename = fc
  .tuple(
    fc.uniqueArray(fc.tuple(key, key), { selector: ([from]) => from, maxLength: 3 }),
    fc.boolean()
  )
  .map(
    ([pairs, isTargetKept]): TwinStep => ({
      name: `rename ${pairs.join(' ')}${isTargetKept ? ' kept' : ''}`,
      write: (writer) =>
        writer.rename(
          pairs.map(([from, to]) => [writer.key(from), writer.key(to)] as const),
          isTargetKept
        ),
      apply: (record) => renamed(record, pairs, isTargetKept)
    })
  )

/** Fields keep their places; those that are renamed are nameless until their turn comes. */
function renamed(
  record: RecordMap,
  pairs: readonly (readonly [string, string])[],
  isTargetKept: boolean
): RecordMap {
  const fields = [...record].map(([name, member]) => ({ name: name as string | null, member }))
  const sources = pairs.map(([from]) => fields.find(({ name }) => name === from))
  for (const source of sources) if (source !== undefined) source.name = null
  pairs.forEach(([from, to], index) => {
    const source = sources[index]
    if (source === undefined) return
    const isTaken = fields.some(({ name }) => name === to)
    const target = isTaken && isTargetKept ? from : to
    for (const field of fields) if (field.name === target) fields.splice(fields.indexOf(field), 1)
    source.name = target
  })
  return new Map(fields.map(({ name, member }) => [name ?? '', member]))
}

/** A test and what it drops. */
function grep(
  name: string,
  hit: (record: RecordMap) => boolean,
  write: (writer: ProgramWriter, label: { word: number }) => void
): TwinStep {
  return {
    name,
    write: (writer) => {
      const kept = writer.label()
      write(writer, kept)
      writer.drop()
      writer.place(kept)
    },
    apply: (record) => (hit(record) ? 'dropped' : record)
  }
}

const matches = {
  equal: { kind: codes.MATCH_EQUAL, hit: (one: string, two: string) => one === two },
  prefix: { kind: codes.MATCH_PREFIX, hit: (one: string, two: string) => one.startsWith(two) },
  suffix: { kind: codes.MATCH_SUFFIX, hit: (one: string, two: string) => one.endsWith(two) },
  contains: { kind: codes.MATCH_CONTAINS, hit: (one: string, two: string) => one.includes(two) }
} as const

const match = fc
  .tuple(key, fc.constantFrom(...(Object.keys(matches) as (keyof typeof matches)[])), text)
  .map(([field, kind, literal]) =>
    grep(
      `drop ${field} ${kind} ${JSON.stringify(literal)}`,
      (record) => {
        const found = textOf(record.get(field))
        return found !== undefined && matches[kind].hit(found, literal)
      },
      (writer, kept) => writer.match(writer.key(field), matches[kind].kind, literal, kept, false)
    )
  )

const containsAny = fc
  .tuple(key, fc.array(text, { minLength: 1, maxLength: 3 }))
  .map(([field, literals]) =>
    grep(
      `drop ${field} contains any`,
      (record) => {
        const found = textOf(record.get(field))
        return found !== undefined && literals.some((literal) => found.includes(literal))
      },
      (writer, kept) => writer.containsAny(writer.key(field), literals, kept, false)
    )
  )

const regex = fc
  .tuple(key, fc.constantFrom('^GET', '가|1', '[0-9]+$', '^$', '"'))
  .map(([field, source]) =>
    grep(
      `drop ${field} /${source}/`,
      (record) => {
        const found = textOf(record.get(field))
        return found !== undefined && new RegExp(source).test(found)
      },
      (writer, kept) => writer.regex(writer.key(field), writer.pattern(source), kept, false)
    )
  )

const compare = fc
  .tuple(
    key,
    fc.oneof(fc.integer({ min: -20, max: 20 }), fc.constantFrom(0.5, 2n ** 63n + 1n, -(2n ** 63n)))
  )
  .map(([field, limit]) =>
    grep(
      `drop ${field} >= ${limit}`,
      (record) => {
        const found = numberOf(record.get(field))
        return found !== undefined && found >= limit
      },
      (writer, kept) =>
        writer.compare(writer.key(field), codes.COMPARE_GREATER_EQUAL, limit, kept, false)
    )
  )

const exists = key.map((field) =>
  grep(
    `drop with ${field}`,
    (record) => record.has(field),
    (writer, kept) => writer.exists(writer.key(field), kept, false)
  )
)

const typeIs = key.map((field) =>
  grep(
    `drop with container ${field}`,
    (record) => isContainer(record.get(field)),
    (writer, kept) =>
      writer.typeIs(writer.key(field), codes.TYPE_MAP | codes.TYPE_ARRAY, kept, false)
  )
)

const parseJson = fc
  .tuple(key, fc.constantFrom('keep', 'dead_letter', 'drop'), fc.boolean(), fc.boolean())
  .map(
    ([field, failure, isKept, isAlone]): TwinStep => ({
      name: `parse ${field} as json, ${failure}${isKept ? ', original' : ''}${isAlone ? ', alone' : ''}`,
      write: (writer) =>
        writer.parseJson(writer.key(field), {
          failure:
            {
              keep: codes.FAILURE_KEEP,
              dead_letter: codes.FAILURE_DEAD_LETTER,
              drop: codes.FAILURE_DROP
            }[failure] ?? 0,
          flags: (isKept ? codes.PARSE_KEEP_ORIGINAL : 0) | (isAlone ? codes.PARSE_DROP_OTHERS : 0)
        }),
      apply: (record) => {
        if (!record.has(field)) return record
        const parsed = objectIn(textOf(record.get(field)))
        if (parsed === null) {
          if (failure === 'keep') return record
          return failure === 'drop' ? 'dropped' : 'dead_letter'
        }
        const fields = new Map(isAlone ? [...record].filter(([name]) => name === field) : record)
        if (!isKept) fields.delete(field)
        for (const [name, member] of parsed) fields.set(name, member)
        return fields
      }
    })
  )

function objectIn(found: string | undefined): RecordMap | null {
  try {
    const parsed = valueOfJson(found ?? '')
    return parsed instanceof Map ? parsed : null
  } catch {
    return null
  }
}

const parseRegex = key.map(
  (field): TwinStep => ({
    name: `parse ${field} by regex`,
    write: (writer) =>
      writer.parseRegex(writer.key(field), {}, writer.pattern('^(\\S*)( .*)?$', 's'), [
        writer.key('a'),
        writer.key('rest')
      ]),
    apply: (record) => {
      const found = /^(\S*)( .*)?$/s.exec(textOf(record.get(field)) ?? '\n\n')
      if (found === null) return record
      return changed(record, (fields) => {
        fields.delete(field)
        fields.set('a', found[1] ?? '')
        if (found[2] !== undefined) fields.set('rest', found[2])
      })
    }
  })
)

const script = fc.tuple(fc.uniqueArray(key, { maxLength: 3 }), key, text).map(
  ([reads, to, added]): TwinStep => ({
    name: `js ${reads.join()} to ${to}`,
    write: (writer) =>
      writer.leaveJs(
        0,
        reads.map((name) => writer.key(name)),
        {}
      ),
    answer: (json) =>
      jsonOf(
        new Map<string, Value>([
          [to, added + json],
          ['b', null]
        ])
      ),
    apply: (record) =>
      changed(record, (fields) => {
        const shown = new Map(
          reads.flatMap((name) =>
            record.has(name) ? [[name, record.get(name) ?? null] as const] : []
          )
        )
        fields.set(to, added + jsonOf(shown))
        fields.delete('b')
      })
  })
)

export const step: fc.Arbitrary<TwinStep> = fc.oneof(
  setConstant,
  setText,
  copyPath,
  exchange,
  remove,
  filterKeys,
  rename,
  match,
  containsAny,
  regex,
  compare,
  exists,
  typeIs,
  parseJson,
  parseRegex,
  script
)
