import t from 'tap'
import { TAG_CACHE_MAX } from '../../src/core/limits.ts'
import { type RouteRule, Router } from '../../src/ingest/router.ts'

interface Seen {
  readonly router: Router<string>
  readonly asked: string[]
  readonly unmatched: string[]
}

type Rule = Partial<Omit<RouteRule<string>, 'targetOf' | 'matches'>> & {
  target: string
  tags: RegExp
}

function build(rules: readonly Rule[]): Seen {
  const asked: string[] = []
  const unmatched: string[] = []
  const router = new Router({
    rules: rules.map(({ target, tags, from = null, isContinue = false }) => ({
      targetOf: () => target,
      from,
      isContinue,
      matches: (tag) => {
        asked.push(`${target}:${tag}`)
        return tags.test(tag)
      }
    })),
    unmatched: 'unmatched',
    onUnmatched: (inputId, tag) => unmatched.push(`${inputId}:${tag}`)
  })
  return { router, asked, unmatched }
}

const bytes = (tag: string): Uint8Array => new TextEncoder().encode(tag)

t.test('the first route that matches takes the tag, continue goes on', (t) => {
  const { router } = build([
    { target: 'copy', tags: /^app/, isContinue: true },
    { target: 'web', tags: /web/ },
    { target: 'rest', tags: /^app|^sys/ }
  ])
  t.same(router.lookup('in', bytes('app.web')), ['copy', 'web'])
  t.same(router.lookup('in', bytes('app.db')), ['copy', 'rest'])
  t.same(router.lookup('in', bytes('sys')), ['rest'])
  t.end()
})

t.test('a route with from takes nothing of other inputs', (t) => {
  const { router, unmatched } = build([{ target: 'a', tags: /./, from: new Set(['http']) }])
  t.same(router.lookup('http', bytes('x')), ['a'])
  t.same(router.lookup('forward', bytes('x')), ['unmatched'])
  t.same(router.lookup('http', bytes('x')), ['a'], 'inputs do not share answers')
  t.same(unmatched, ['forward:x'])
  t.end()
})

t.test('what no route takes is unmatched and reported once per tag', (t) => {
  const { router, unmatched } = build([{ target: 'a', tags: /^a/ }])
  for (const tag of ['b', 'c', 'b', 'c', 'a']) router.lookup('in', bytes(tag))
  t.same(router.lookup('in', bytes('b')), ['unmatched'])
  t.same(unmatched, ['in:b', 'in:c'])
  t.end()
})

t.test('a continue route alone is a match', (t) => {
  const { router, unmatched } = build([{ target: 'a', tags: /^a/, isContinue: true }])
  t.same(router.lookup('in', bytes('a')), ['a'])
  t.same(unmatched, [])
  t.end()
})

t.test('patterns run once per tag while it is remembered', (t) => {
  const { router, asked } = build([{ target: 'a', tags: /./ }])
  for (const tag of ['x', 'x', 'y', 'x', 'y', 'y']) router.lookup('in', bytes(tag))
  t.same(asked, ['a:x', 'a:y'])
  t.end()
})

t.test('C28 no more than TAG_CACHE_MAX tags are remembered, the oldest leaves', (t) => {
  const { router, asked } = build([{ target: 'a', tags: /./ }])
  for (let i = 0; i <= TAG_CACHE_MAX; i++) router.lookup('in', bytes(`tag${i}`))
  asked.length = 0
  router.lookup('in', bytes('tag1'))
  t.same(asked, [], 'the second oldest is known')
  router.lookup('in', bytes('tag0'))
  t.same(asked, ['a:tag0'], 'the oldest was forgotten')
  router.lookup('in', bytes('tag1'))
  t.same(asked, ['a:tag0', 'a:tag1'], 'and pushed the next one out')
  t.end()
})

t.test('T05 tags that differ only in broken bytes are matched as text and kept apart', (t) => {
  const { router, asked } = build([{ target: 'a', tags: /^t\ufffd$/ }])
  t.same(router.lookup('in', Uint8Array.of(0x74, 0xff)), ['a'])
  t.same(router.lookup('in', Uint8Array.of(0x74, 0xfe)), ['a'])
  t.equal(asked.length, 2)
  t.end()
})

t.test('the tag is copied: the caller may reuse its bytes', (t) => {
  const { router } = build([{ target: 'a', tags: /^a$/ }])
  const tag = bytes('a')
  t.same(router.lookup('in', tag), ['a'])
  tag[0] = 0x62
  t.same(router.lookup('in', tag), ['unmatched'])
  t.end()
})
