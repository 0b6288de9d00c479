import fc from 'fast-check'
import t from 'tap'
import { MillraceError } from '../../src/core/errors.ts'
import { checkTagMatch, compileTagMatch, isCovered, type TagMatch } from '../../src/core/tag.ts'

const parts = (...patterns: string[]): TagMatch => ({ kind: 'parts', patterns })
const glob = (...patterns: string[]): TagMatch => ({ kind: 'glob', patterns })
const regex = (...patterns: string[]): TagMatch => ({ kind: 'regex', patterns })

/** Pattern, tags that it takes, tags that it does not. The answers are Fluentd's. */
const FLUENTD: [string, string[], string[]][] = [
  ['a', ['a'], ['', 'b', 'aa', 'a.b']],
  ['a.*', ['a.b', 'a.'], ['a', 'a.b.c', 'ab']],
  ['a.**', ['a', 'a.b', 'a.b.c'], ['ab', 'b.a']],
  ['**', ['', 'a', 'a.b'], []],
  ['**.a', ['a', 'b.a', 'c.b.a'], ['ba', 'a.b']],
  ['a.**.b', ['a.b', 'a.x.b', 'a.x.y.b'], ['ab', 'a.b.c']],
  ['*', ['a', ''], ['a.b']],
  ['a*.b', ['a.b', 'axe.b'], ['a.x.b', 'a.bc']],
  ['{a,b}.c', ['a.c', 'b.c'], ['c.c', 'a,b.c']],
  ['a.{b,c.**}', ['a.b', 'a.c', 'a.c.d'], ['a.d', 'a.b.d']],
  ['{a.**}.b', ['a.b', 'a.x.b'], ['ab', 'a']],
  ['x{a,{b,c}}', ['xa', 'xb', 'xc'], ['x', 'xd']],
  ['a b.*', ['a', 'b.c'], ['a b.c', 'b']],
  ['\\*.a', ['*.a'], ['x.a']],
  ['a,b', ['a,b'], ['a', 'b']],
  ['/a.[bc]/', ['a.b', 'axc'], ['xa.b', 'a.bx']],
  ['/A/i', ['a'], ['b']]
]

for (const [pattern, taken, left] of FLUENTD) {
  t.test(`Fluentd pattern ${pattern} takes what Fluentd takes`, (t) => {
    const matches = compileTagMatch(parts(pattern))
    for (const tag of taken) t.ok(matches(tag), `takes "${tag}"`)
    for (const tag of left) t.notOk(matches(tag), `leaves "${tag}"`)
    t.end()
  })
}

t.test('a list of patterns takes what one of them takes', (t) => {
  const matches = compileTagMatch(parts('a.*', 'b'))
  t.same(['a.x', 'b', 'c'].map(matches), [true, true, false])
  t.end()
})

t.test('a Fluent Bit glob matches across dots', (t) => {
  const matches = compileTagMatch(glob('app-firelens*'))
  t.same(['app-firelens-1', 'app-firelens.a.b', 'app', 'x-app-firelens'].map(matches), [
    true,
    true,
    false,
    false
  ])
  t.ok(compileTagMatch(glob('*'))('any.thing'))
  t.ok(compileTagMatch(glob('*.c'))('a.b.c'))
  t.notOk(compileTagMatch(glob('{a,b}'))('a'), 'braces are letters')
  t.end()
})

t.test('a regular expression is looked for anywhere in the tag', (t) => {
  const matches = compileTagMatch(regex('/^K8S\\./i', 'error'))
  t.same(['k8s.a', 'x.error.y', 'docker'].map(matches), [true, true, false])
  t.end()
})

t.test('no pattern takes every tag', (t) => {
  t.ok(compileTagMatch({ kind: 'all' })(''))
  t.end()
})

t.test('a pattern of many stars answers on a hostile tag', (t) => {
  const matches = compileTagMatch(parts(`${'**a'.repeat(20)}b`))
  t.notOk(matches('a'.repeat(1024)))
  t.ok(matches(`${'a'.repeat(1023)}b`))
  t.end()
})

t.test('faults of patterns are told with the remedy where there is one', (t) => {
  const texts = (match: TagMatch) =>
    checkTagMatch(match).map(({ index, message, hint }) => `${index} ${message} (${hint ?? ''})`)
  t.match(texts(parts('a', '{a')), [/^1 .* "\{" without "\}"/])
  t.match(texts(parts('a}')), [/"\}" without "\{"/])
  t.match(texts(parts('a\\')), [/nothing after the last/])
  t.match(texts(parts('/a')), [/is no \/regex\/ \(tags are separated by dots/])
  t.match(texts(parts('/(/')), [/regular expression \/\(\/: Invalid regular expression/])
  t.match(texts(regex('/a/gg')), [/flags 'gg' of a pattern may be i, m and s only/])
  t.match(texts(regex('^(?=a)(a+)+$')), [/its time has no bound/])
  t.match(texts(parts(' ')), [/takes no tag/])
  t.match(texts(glob('a'.repeat(1025))), [/can never match: tags are cut to 1024 bytes/])
  t.same(texts(parts('a.**', '{a,b}.c', '/x/')), [])
  t.same(texts({ kind: 'all' }), [])
  t.end()
})

t.test('a faulty pattern cannot be compiled', (t) => {
  t.throws(() => compileTagMatch(parts('{')), { code: 'MR_CONFIG_PATTERN' })
  const huge = `{${'{a,b}'.repeat(2000)}}`
  t.throws(() => compileTagMatch(parts(huge)), { message: /longer than 4096 pieces/ })
  t.throws(() => compileTagMatch(regex('(')), MillraceError)
  t.end()
})

t.test('a route is unreachable when earlier ones take all its tags', (t) => {
  t.ok(isCovered(parts('a.b'), [parts('a.*')]))
  t.ok(isCovered(parts('a.**'), [parts('a'), parts('a.**.b', 'a.*'), glob('a.*')]))
  t.ok(isCovered(parts('{a,b}.c'), [parts('a.*'), parts('b.c')]))
  t.ok(isCovered({ kind: 'all' }, [glob('*')]))
  t.ok(isCovered(regex('x'), [parts('**')]))
  t.ok(isCovered(regex('x'), [regex('y', 'x')]), 'the same expression')
  t.ok(isCovered(parts('/x/'), [parts('/x/')]))
  t.ok(isCovered(glob('app*'), [{ kind: 'all' }]))
  t.end()
})

t.test('a route is reachable when one of its tags is left', (t) => {
  t.notOk(isCovered(parts('a.**'), [parts('a.*')]), 'a and a.b.c are left')
  t.notOk(isCovered(parts('a.**'), [glob('a.*')]), 'a is left')
  t.notOk(isCovered({ kind: 'all' }, [parts('*')]))
  t.notOk(isCovered(regex('x'), [regex('y')]), 'not known')
  t.notOk(isCovered(parts('a'), [regex('a')]), 'not known')
  t.notOk(isCovered(parts('/x/', 'b'), [parts('/x/')]))
  t.notOk(isCovered(parts('a'), []))
  t.end()
})

t.test('whatever is called covered takes no tag that the earlier ones leave', (t) => {
  const piece = fc.constantFrom('a', 'b', '*', '**', '{a,b}', 'ab*')
  const pattern = fc.array(piece, { minLength: 1, maxLength: 4 }).map((all) => all.join('.'))
  const tag = fc
    .array(fc.constantFrom('a', 'b', 'ab', 'abc', 'c'), { minLength: 1, maxLength: 5 })
    .map((all) => all.join('.'))
  let coveredCount = 0
  fc.assert(
    fc.property(pattern, fc.array(pattern, { maxLength: 3 }), tag, (later, earlier, tag) => {
      const isGone = isCovered(
        parts(later),
        earlier.map((each) => parts(each))
      )
      if (isGone) coveredCount++
      const isTaken = earlier.some((each) => compileTagMatch(parts(each))(tag))
      return !(isGone && compileTagMatch(parts(later))(tag) && !isTaken)
    }),
    { numRuns: 2000, seed: 7 }
  )
  t.ok(coveredCount > 100, 'the case occurs')
  t.end()
})
