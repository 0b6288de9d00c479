import { encode } from '@msgpack/msgpack'
import t from 'tap'
import { FakeClock, settled } from '../../../test/support/fake-clock.ts'
import { type Ack, AckLine, ackBytes } from './ack-line.ts'

const TAG = Buffer.from('t')
const id = (text: string): Buffer => Buffer.from(encode(text))
/** How the recorder writes an id down. */
const keyOf = (text: string | Uint8Array): string =>
  Buffer.from(typeof text === 'string' ? id(text) : text).toString('hex')

function build(dedupe: 'unconfirmed' | 'window' | 'off' = 'unconfirmed') {
  const clock = new FakeClock()
  const writes: string[] = []
  const news: string[] = []
  /** Ids that came again meanwhile. */
  const answered: string[] = []
  let resetCount = 0
  const line = new AckLine({
    clock,
    dedupe,
    resends: {
      isEmpty: true,
      find: () => 'fresh',
      addStored: (_tag, id, logs) => news.push(['stored', keyOf(id), ...(logs ?? [])].join(' ')),
      addPending: (_tag, id) => news.push(`pending ${keyOf(id)}`),
      settle: (_tag, id, isStored) => {
        news.push(`${isStored ? 'settled' : 'failed'} ${keyOf(id)}`)
        return answered.includes(keyOf(id))
      }
    },
    write: (bytes, ackCount) => writes.push(`${ackCount} ${bytes.toString('hex')}`),
    reset: () => {
      resetCount++
    },
    onDrained: () => {}
  })
  const add = (...ids: string[]): Ack => line.add(TAG, ackBytes(ids.map(id)))
  return { add, answered, clock, line, news, writes, resets: () => resetCount }
}

const wire = (...ids: string[]): string =>
  `${ids.length} ${Buffer.concat(ids.map((each) => encode({ ack: each }))).toString('hex')}`

t.test('acks leave in message order, those ready together in one write', async (t) => {
  const { add, line, writes } = build()
  const [a, b, c] = [add('a'), add('b1', 'b2'), add('c')]
  b.onDurable()
  await settled()
  t.same(writes, [], 'the first is not ready')
  a.onDurable()
  await settled()
  t.same(writes, [wire('a', 'b1', 'b2')])
  t.equal(line.isEmpty, false)
  c.onDurable()
  await settled()
  t.same(writes, [wire('a', 'b1', 'b2'), wire('c')])
  t.equal(line.isEmpty, true)
})

t.test('messages that become durable in one commit share one write', async (t) => {
  const { add, writes } = build()
  const acks = [add('a'), add('b'), add('c')]
  for (const ack of acks) ack.onDurable()
  await settled()
  t.same(writes, [wire('a', 'b', 'c')])
})

t.test('an id that looks like an ack stays whole in its key', async (t) => {
  const { add, line, news } = build()
  const tricky = Buffer.concat([encode({ ack: 'x' })]).toString('latin1')
  add(tricky, 'b')
  line.close(0)
  t.same(news, [`pending ${keyOf(tricky)}`, `pending ${keyOf('b')}`])
})

t.test(
  'C26 what a broken connection leaves: unready is pending, unsent and recent is stored',
  async (t) => {
    const { add, line, news } = build()
    const sent = add('sent')
    sent.onDurable()
    await settled()
    const first = add('first')
    const ready = add('ready')
    ready.onDurable()
    line.close(0)
    t.same(news, [
      `stored ${keyOf('sent')}`,
      `pending ${keyOf('first')}`,
      `stored ${keyOf('ready')}`
    ])
    news.length = 0
    first.onDurable()
    t.same(news, [`settled ${keyOf('first')}`])
  }
)

t.test('an ack is confirmed by a byte of the sender or by five seconds of life', async (t) => {
  for (const confirm of ['byte', 'time', 'unwritten'] as const) {
    const { add, clock, line, news } = build()
    add('a').onDurable()
    await settled()
    if (confirm === 'byte') line.onRead()
    else clock.advance(5001)
    line.close(confirm === 'unwritten' ? 7 : 0)
    t.same(news, confirm === 'unwritten' ? [`stored ${keyOf('a')}`] : [], confirm)
  }
})

t.test('a window knows what it takes from the first, off knows nothing', async (t) => {
  for (const [dedupe, expected] of [
    ['window', [`pending ${keyOf('a')}`, `settled ${keyOf('a')}`, `pending ${keyOf('b')}`]],
    ['off', []]
  ] as const) {
    const { add, line, news } = build(dedupe)
    add('a').onDurable()
    await settled()
    line.onRead()
    add('b')
    line.close(0)
    t.same(news, expected, dedupe)
  }
})

t.test(
  'a message that was given up resets the connection, later ones are not acked for it',
  async (t) => {
    const { add, line, news, resets, writes } = build()
    const lost = add('lost')
    const next = add('next')
    lost.onRejected('sync', ['routes/a'])
    t.same(news, [`stored ${keyOf('lost')} routes/a`], 'one route has it')
    t.equal(resets(), 1)
    next.onDurable()
    await settled()
    t.same(writes, [wire('next')])
    const late = add('late')
    line.close(0)
    news.length = 0
    late.onRejected('sync')
    t.same(news, [`failed ${keyOf('late')}`])
  }
)

t.test('a sender that ended its half may send again before its acks are ready', async (t) => {
  const { add, answered, line, news } = build()
  const [twice, once] = [add('twice'), add('once')]
  line.onEnd()
  t.same(news, [`pending ${keyOf('twice')}`, `pending ${keyOf('once')}`])
  add('late')
  t.equal(news.at(-1), `pending ${keyOf('late')}`)
  answered.push(keyOf('twice'))
  twice.onDurable()
  once.onDurable()
  await settled()
  news.length = 0
  line.close(0)
  t.same(news, [`stored ${keyOf('once')}`], 'what was answered elsewhere is not remembered')
})
