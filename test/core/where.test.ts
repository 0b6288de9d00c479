import t from 'tap'
import { MillraceError } from '../../src/core/errors.ts'
import { compileWhere, type FieldKind } from '../../src/core/where.ts'

const NOW = Date.UTC(2026, 10, 20, 12)
const FIELDS: Readonly<Record<string, FieldKind>> = {
  reason: 'text',
  tag: 'tag',
  status: 'number',
  time: 'time'
}
const LETTER: Readonly<Record<string, string | number | null>> = {
  reason: 'mapping',
  tag: 'app.web.1',
  status: 400,
  time: NOW - 3_600_000
}

const takes = (text: string, letter = LETTER): boolean =>
  compileWhere(text, FIELDS, NOW)((field) => letter[field] ?? null)

t.test('comparisons by kind of field', (t) => {
  for (const [text, expected] of [
    ['', true],
    ['  ', true],
    ['reason=mapping', true],
    ['reason=map', false],
    ['reason=map*', true],
    ['reason = "mapping"', true],
    ["reason != 'mapping'", false],
    ['tag=app.**', true],
    ['tag=app.*', false],
    ['tag=app.*.*', true],
    ['tag={app,db}.**', true],
    ['tag!=db.**', true],
    ['status=400', true],
    ['status>=500', false],
    ['status<500', true],
    ['status!=none', true],
    ['status=none', false],
    ['time>=-2h', true],
    ['time<-2h', false],
    ['time>2026-11-20T10:59:59Z', true],
    ['time<=2026-11-20T11:00:00Z', true]
  ] as const) {
    t.equal(takes(text), expected, text)
  }
  const bare = { ...LETTER, status: null }
  t.equal(takes('status=none', bare), true)
  t.equal(takes('status<500', bare), false, 'no value is on no side of a number')
  t.equal(takes('status!=400', bare), true)
  t.end()
})

t.test('and binds closer than or, not closest, parentheses before all', (t) => {
  const yes = 'reason=mapping'
  const no = 'reason=other'
  for (const [text, expected] of [
    [`${yes} and ${no}`, false],
    [`${yes} or ${no}`, true],
    [`${yes} or ${no} and ${no}`, true],
    [`(${yes} or ${no}) and ${no}`, false],
    [`not ${no} and ${yes}`, true],
    [`not (${no} or ${yes})`, false],
    [`NOT ${no} AND ${yes} OR ${no}`, true],
    [`not not ${yes}`, true],
    [`((${yes}))and(${yes})`, true]
  ] as const) {
    t.equal(takes(text), expected, text)
  }
  t.end()
})

t.test('quotes hold blanks, parentheses, quotes and words of the language', (t) => {
  const letter = { ...LETTER, reason: 'a (b) or "c" \\ and' }
  t.equal(takes(`reason="a (b) or \\"c\\" \\\\ and"`, letter), true)
  t.equal(takes(`reason='a (b) or "c"*'`, letter), true)
  t.equal(takes('reason=and', { ...LETTER, reason: 'and' }), true)
  t.equal(takes('reason=a=b', { ...LETTER, reason: 'a=b' }), true)
  t.end()
})

t.test('a fault names its column and what would be right', (t) => {
  for (const [text, column, message] of [
    ['reson=mapping', 1, /no field "reson".*did you mean "reason"/],
    ['reason=a and', 13, /a field has to stand here/],
    ['reason', 7, /no operator after "reason"/],
    ['reason=', 8, /no value after "reason="/],
    ['reason=a reason=b', 10, /where "and", "or" or the end should stand/],
    ['(reason=a', 10, /no "\)" for the "\(" in column 1/],
    ['reason=a)', 9, /"\)" where/],
    ['reason="a', 8, /the quote " is not closed/],
    ['reason<a', 7, /is text: compare it with = or !=/],
    ['status=many', 8, /"many" is no number/],
    ['status<none', 7, /"none" is compared with = or !=/],
    ['tag=/(/', 5, /regular expression/],
    ['time>=yesterday', 7, /is no time; write/],
    ['not', 4, /a field has to stand here/],
    ['toString=a', 1, /no field "toString"/],
    [`${'('.repeat(100)}reason=a${')'.repeat(100)}`, 65, /more than 64 levels/]
  ] as const) {
    try {
      takes(text)
      t.fail(`${text} has no fault`)
    } catch (error) {
      t.ok(error instanceof MillraceError && error.code === 'MR_USAGE')
      t.match((error as MillraceError).message, message)
      t.equal((error as MillraceError).details['column'], column, text)
    }
  }
  t.throws(() => takes(`reason=${'x'.repeat(5000)}`), { message: /5007 characters; the limit/ })
  t.end()
})

t.test('whatever the text, it is a filter or a usage error', (t) => {
  const pieces = [
    'reason',
    'status',
    '=',
    '!=',
    '<',
    '"',
    "'",
    '(',
    ')',
    ' ',
    'and',
    'or',
    '\\',
    '*'
  ]
  let seed = 1
  const next = (below: number) => {
    seed = (seed * 1_103_515_245 + 12_345) % 2 ** 31
    return Math.floor((seed / 2 ** 31) * below)
  }
  let compiledCount = 0
  for (let round = 0; round < 20_000; round++) {
    const text = Array.from({ length: next(9) }, () => pieces[next(pieces.length)]).join('')
    try {
      takes(text)
      compiledCount++
    } catch (error) {
      if (!(error instanceof MillraceError) || error.code !== 'MR_USAGE') throw error
    }
  }
  t.ok(compiledCount > 100 && compiledCount < 19_000, `${compiledCount} are filters`)
  t.end()
})
