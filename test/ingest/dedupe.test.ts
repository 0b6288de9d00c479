import t from 'tap'
import { RESENDS_MAX } from '../../src/core/limits.ts'
import { type ResendNews, ResendTable } from '../../src/ingest/dedupe.ts'
import type { Resend, Resends } from '../../src/plugin/input.ts'
import { createResendMemory, type RecoveredIds } from '../../src/server/store/resend-memory.ts'

const TAG = Buffer.from('t')
const silent = { onDurable() {}, onRejected() {} }
/** A MessagePack text of up to 31 bytes. */
const id = (text: string): Buffer =>
  Buffer.concat([Buffer.from([0xa0 + text.length]), Buffer.from(text)])
const keyOf = (text: string): string => `t\0${id(text).toString('latin1')}`
/** As a message that was cut over shards bears it. */
const spreadKeyOf = (text: string, ...shards: number[]): string => {
  const bits = Buffer.alloc(8)
  bits.writeBigUInt64LE(shards.reduce((all, shard) => all | (1n << BigInt(shard)), 0n))
  return keyOf(text) + bits.toString('latin1')
}

function recorder() {
  const seen: string[] = []
  return {
    seen,
    onDurable: () => {
      seen.push('durable')
    },
    onRejected: (reason: string) => {
      seen.push(reason)
    }
  }
}

type Recovered = Readonly<Record<string, readonly RecoveredIds[]>>

/** Tables of threads over one memory, each the view of one input. Tags go to the logs that `logsOf` names. */
function tables(
  recovered: Recovered = { a: [] },
  logsOf: (tag: string) => readonly string[] = () => Object.keys(recovered)
) {
  const memory = createResendMemory(
    new Map(Object.entries(recovered).map(([log, shards]) => [log, [shards]]))
  )
  const made: ResendTable[] = []
  for (let own = 0; own < 2; own++) {
    made.push(
      new ResendTable({
        ...memory,
        logsOf: (_inputId, tag) => logsOf(Buffer.from(tag).toString()),
        channel: {
          send: (news: ResendNews) => {
            for (const [i, table] of made.entries()) if (i !== own) table.hear(news)
          }
        }
      })
    )
  }
  return made.map((table) => table.of('in')) as [Resends, Resends]
}

const find = (resends: Resends, text: string, rest: Partial<Resend> = {}) =>
  resends.find({
    tag: TAG,
    id: id(text),
    isKept: false,
    isWholeOnly: false,
    listener: silent,
    ...rest
  })

t.test('C26 an unconfirmed message is found once, an honest second one is fresh', (t) => {
  const [here] = tables()
  t.ok(here.isEmpty)
  t.equal(find(here, 'k'), 'fresh')
  here.addStored(TAG, id('k'), null)
  t.notOk(here.isEmpty)
  t.equal(find(here, 'other'), 'fresh')
  t.equal(find(here, 'k', { tag: Buffer.from('u') }), 'fresh', 'an id is one of its tag')
  t.equal(find(here, 'k'), 'stored')
  t.equal(find(here, 'k'), 'fresh')
  t.ok(here.isEmpty)
  t.end()
})

t.test('tag and id are no one text', (t) => {
  const [here] = tables()
  here.addStored(Buffer.from('ab'), Buffer.from('cd'), null)
  const listener = silent
  const ask = (tag: string, text: string) =>
    here.find({
      tag: Buffer.from(tag),
      id: Buffer.from(text),
      isKept: true,
      isWholeOnly: false,
      listener
    })
  t.same([ask('a', 'bcd'), ask('abc', 'd'), ask('ab', 'cd')], ['fresh', 'fresh', 'stored'])
  t.end()
})

t.test('a window keeps what was found', (t) => {
  const [here, there] = tables()
  here.addStored(TAG, id('k'), null)
  t.equal(find(there, 'k', { isKept: true }), 'stored')
  t.equal(find(here, 'k', { isKept: true }), 'stored')
  t.end()
})

t.test('recovered ids are known from the start, to all threads, once', (t) => {
  const [here, there] = tables({ a: [{ shardNumber: 0, ids: [keyOf('a'), keyOf('b')] }] })
  t.equal(find(there, 'b'), 'stored')
  t.equal(find(here, 'b'), 'fresh')
  t.equal(find(here, 'a'), 'stored')
  t.end()
})

t.test('Q50 a chunk that was cut over shards is stored when every shard has its part', (t) => {
  const both = spreadKeyOf('both', 0, 2)
  const half = spreadKeyOf('half', 0, 2)
  const [here] = tables({
    a: [
      { shardNumber: 0, ids: [both, half] },
      { shardNumber: 1, ids: [half] },
      { shardNumber: 2, ids: [both] }
    ]
  })
  t.equal(find(here, 'half'), 'fresh', 'its part in shard 2 was not there')
  t.equal(find(here, 'both'), 'stored')
  t.end()
})

t.test('a route that has a message gets it no second time, the others do', (t) => {
  const [here] = tables({ a: [{ shardNumber: 0, ids: [keyOf('k')] }], b: [] })
  t.same(find(here, 'k'), { storedIn: ['a'] })
  t.equal(find(here, 'k'), 'fresh', 'its sender was answered')
  here.addStored(TAG, id('l'), ['b'])
  t.same(find(here, 'l'), { storedIn: ['b'] })
  t.end()
})

t.test('what only some routes have is no whole message with parts beside its entries', (t) => {
  const [here] = tables({ a: [{ shardNumber: 0, ids: [keyOf('k')] }] })
  t.equal(find(here, 'k', { isWholeOnly: true }), 'fresh')
  here.addStored(TAG, id('l'), null)
  t.equal(find(here, 'l', { isWholeOnly: true }), 'stored', 'all of it was stored in this life')
  t.end()
})

t.test('a resend of a message that is not durable yet shares its fate, on any thread', (t) => {
  for (const isStored of [true, false]) {
    for (const isOther of [true, false]) {
      const [here, there] = tables({ a: [], b: [] })
      const listener = recorder()
      here.addPending(TAG, id('k'))
      t.equal(find(isOther ? there : here, 'k', { listener }), 'pending')
      t.same(listener.seen, [])
      here.settle(TAG, id('k'), isStored, false)
      t.same(listener.seen, [isStored ? 'durable' : 'sync'])
      t.equal(find(here, 'k'), 'fresh', 'its sender was answered')
    }
  }
  const [here, there] = tables()
  here.addPending(TAG, id('k'))
  here.settle(TAG, id('k'), true, false)
  t.equal(find(there, 'k'), 'stored', 'nobody came meanwhile')
  here.addPending(TAG, id('l'))
  here.settle(TAG, id('l'), false, false)
  t.equal(find(there, 'l'), 'fresh', 'it was never stored')
  t.end()
})

t.test('under a window the second copy waits for the first and both are answered', (t) => {
  const [here, there] = tables()
  here.addPending(TAG, id('k'))
  const listener = recorder()
  t.equal(find(there, 'k', { isKept: true, listener }), 'pending')
  // The second copy takes a place in the line of its connection.
  there.addPending(TAG, id('k'))
  here.settle(TAG, id('k'), true, true)
  t.same(listener.seen, ['durable'])
  there.settle(TAG, id('k'), true, true)
  t.equal(find(here, 'k', { isKept: true }), 'stored')
  t.end()
})

t.test(
  'the oldest id leaves a full window; who waits for one that left is told nevertheless',
  (t) => {
    const [here, there] = tables()
    const listener = recorder()
    here.addPending(TAG, id('waited'))
    find(there, 'waited', { listener })
    for (let i = 0; i < RESENDS_MAX; i++) here.addStored(TAG, id(`k${i}`), null)
    t.equal(find(there, 'k0', { isKept: true }), 'stored')
    here.addStored(TAG, id('one more'), null)
    t.equal(find(there, 'k0'), 'fresh')
    t.equal(find(there, 'k1'), 'stored')
    here.settle(TAG, id('waited'), true, false)
    t.same(listener.seen, ['durable'])
    t.end()
  }
)

t.test('windows of routes are apart', (t) => {
  const [here] = tables({ a: [], b: [] }, (tag) => [tag])
  here.addStored(Buffer.from('a'), id('k'), null)
  for (let i = 0; i < RESENDS_MAX; i++) here.addStored(Buffer.from('b'), id(`k${i}`), null)
  t.equal(find(here, 'k', { tag: Buffer.from('a') }), 'stored')
  t.end()
})
