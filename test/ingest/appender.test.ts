import { decode } from '@msgpack/msgpack'
import t from 'tap'
import type { Clock } from '../../src/core/clock.ts'
import { UNSYNCED_BYTES_MAX } from '../../src/core/limits.ts'
import { QueueAppender } from '../../src/ingest/appender.ts'
import { RoomWaiters } from '../../src/ingest/pressure.ts'
import { Router } from '../../src/ingest/router.ts'
import type { AppendSource, Run } from '../../src/plugin/input.ts'
import { WORD } from '../../src/threads/shared.ts'
import { type FakeTarget, fakeTarget } from '../support/fake-shard.ts'

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

interface Built {
  readonly appender: QueueAppender
  readonly turns: (() => void)[]
  readonly source: AppendSource
  readonly letters: FakeTarget
  /** Records that senders who keep them were refused. */
  readonly refused: number[]
}

/** Every tag goes to all targets. */
function build(targets: readonly FakeTarget[]): Built {
  const turns: (() => void)[] = []
  const refused: number[] = []
  const letters = fakeTarget('dlq/in.in', { bytesMax: 1e9 })
  const clock: Clock = {
    nowMs: () => 1_700_000_000_250,
    monotonicMs: () => 0,
    after: () => () => {},
    sleep: () => Promise.resolve()
  }
  const appender = new QueueAppender({
    clock,
    router: new Router({
      rules: targets.map((target) => ({
        targetOf: () => target,
        matches: () => true,
        from: null,
        isContinue: true
      })),
      unmatched: fakeTarget('dlq/unmatched'),
      onUnmatched: () => {}
    }),
    splitter: { split: () => null, release() {} },
    deadLetters: () => letters,
    room: new RoomWaiters(),
    onRefused: (recordCount) => refused.push(recordCount),
    schedule: (commit) => turns.push(commit)
  })
  return { appender, turns, letters, refused, source: { inputId: 'in', peer: '10.0.0.1' } }
}

function run(text: string, rest: Partial<Run> = {}): Run {
  return {
    tag: Buffer.from('t'),
    form: 1,
    entries: Buffer.from(text),
    recordCount: 1,
    ingestId: null,
    hasIngestIds: false,
    minTimeSeconds: 1,
    maxTimeSeconds: 2,
    ...rest
  }
}

const microtasks = () => new Promise<void>((resolve) => setImmediate(resolve))

t.test('a message goes to its shard and its listener is told at the commit', (t) => {
  const target = fakeTarget('routes/a')
  const { appender, turns, source } = build([target])
  const listener = recorder()
  t.equal(appender.append(source, [run('x', { ingestId: Buffer.from('id') })], listener), 'taken')
  t.equal(turns.length, 1)
  turns[0]?.()
  t.equal(target.writer.commitCount, 1)
  t.same(listener.seen, [])
  target.writer.finish()
  t.same(listener.seen, ['durable'])
  t.match(target.writer.groups[0], { form: 1, recordCount: 1, continues: false })
  t.equal(target.writer.groups[0]?.ingestId?.toString(), 'id')
  t.equal(Buffer.from(target.writer.groups[0]?.source ?? '').toString(), 'in\0' + '10.0.0.1')
  t.end()
})

t.test('one commit pass per turn, over the shards that took something', (t) => {
  const [a, b] = [fakeTarget('routes/a'), fakeTarget('routes/b')]
  const { appender, turns, source } = build([a, b])
  for (let i = 0; i < 3; i++) appender.append(source, [run('x')], recorder())
  t.equal(turns.length, 1)
  turns.shift()?.()
  t.same([a.writer.commitCount, b.writer.commitCount], [1, 1])
  appender.append(source, [run('y')], recorder())
  t.equal(turns.length, 1)
  t.end()
})

t.test('the parts of one message go on but for the last, which carries the listener', (t) => {
  const target = fakeTarget('routes/a')
  const { appender, source } = build([target])
  const listener = recorder()
  appender.append(source, [run('1'), run('2'), run('3')], listener)
  t.same(
    target.writer.groups.map((group) => group.continues),
    [true, true, false]
  )
  target.writer.finish()
  t.same(listener.seen, ['durable'])
  t.end()
})

t.test('several routes: the ack waits for the commits of all', (t) => {
  const targets = [fakeTarget('routes/a'), fakeTarget('routes/b')]
  const { appender, source } = build(targets)
  const listener = recorder()
  appender.append(source, [run('x')], listener)
  targets[1]?.writer.finish()
  t.same(listener.seen, [])
  targets[0]?.writer.finish()
  t.same(listener.seen, ['durable'])
  t.end()
})

t.test('a failed sync of one route rejects the message', (t) => {
  const targets = [fakeTarget('routes/a'), fakeTarget('routes/b')]
  const { appender, source } = build(targets)
  const listener = recorder()
  appender.append(source, [run('x')], listener)
  targets[0]?.writer.fail()
  targets[1]?.writer.finish()
  t.same(listener.seen, ['closed'])
  t.end()
})

t.test('C11 a full route keeps the whole message out, of the other routes too', (t) => {
  const [a, b] = [fakeTarget('routes/a'), fakeTarget('routes/b', { bytesMax: 100 })]
  const { appender, source } = build([a, b])
  for (const fill of [
    () => {
      b.words[WORD.recoveredBytes] = 100n
    },
    () => {
      b.words[WORD.recoveredBytes] = 0n
      b.words[WORD.isFull] = 1n
    },
    () => {
      b.words[WORD.isFull] = 0n
      b.writer.state = 'full'
    }
  ]) {
    fill()
    b.room.exchange()
    t.equal(appender.append(source, [run('x')], recorder()), 'full')
    t.same([a.writer.texts, b.writer.texts], [[], []])
  }
  b.writer.state = 'ok'
  t.equal(appender.append(source, [run('x')], recorder()), 'taken')
  t.same([a.writer.texts, b.writer.texts], [['x'], ['x']])
  t.end()
})

t.test('a route that fails at the write gets the message later, the others only once', (t) => {
  const [a, b] = [fakeTarget('routes/a'), fakeTarget('routes/b')]
  const { appender, source } = build([a, b])
  const listener = recorder()
  b.writer.isRefusing = true
  t.equal(appender.append(source, [run('x')], listener), 'full')
  t.same([a.writer.texts, b.writer.texts], [['x'], []])
  a.writer.finish()
  t.same(listener.seen, [])
  t.equal(appender.append(source, [run('x')], listener), 'full')
  b.writer.isRefusing = false
  t.equal(appender.append(source, [run('x')], listener), 'taken')
  t.same([a.writer.texts, b.writer.texts], [['x'], ['x']])
  b.writer.finish()
  t.same(listener.seen, ['durable'])
  appender.append(source, [run('y')], listener)
  t.same(
    [a.writer.texts, b.writer.texts],
    [
      ['x', 'y'],
      ['x', 'y']
    ]
  )
  t.end()
})

t.test('Q27 drop_newest counts what is gone apart from what its sender keeps', async (t) => {
  for (const isDroppedAcked of [true, false]) {
    const target = fakeTarget('routes/a', { overflow: 'drop_newest', isDroppedAcked })
    const { appender, refused, source } = build([target])
    const listener = recorder()
    target.words[WORD.recoveredBytes] = 1000n
    target.room.exchange()
    t.equal(appender.append(source, [run('x', { recordCount: 7 })], listener), 'taken')
    t.equal(appender.append(source, [run('x', { recordCount: 7 })], null), 'taken')
    t.same(listener.seen, [], 'never within the call')
    await microtasks()
    t.same(listener.seen, [isDroppedAcked ? 'durable' : 'overflow'])
    t.equal(target.words[WORD.droppedNewest], isDroppedAcked ? 14n : 7n)
    t.same(refused, isDroppedAcked ? [] : [7], 'it waits for an ack, so it sends again')
    t.same(target.writer.texts, [])
  }
})

t.test('a route that drops unacknowledged spoils the ack of the routes that store', async (t) => {
  const stores = fakeTarget('routes/a')
  const drops = fakeTarget('routes/b', { overflow: 'drop_newest', bytesMax: 0 })
  const { appender, source } = build([stores, drops])
  const listener = recorder()
  appender.append(source, [run('x')], listener)
  await microtasks()
  stores.writer.finish()
  t.same(stores.writer.texts, ['x'])
  t.same(listener.seen, ['overflow'])
})

t.test('Q26 drop_oldest takes beyond its bytes until main says that it is full', (t) => {
  const target = fakeTarget('routes/a', { overflow: 'drop_oldest' })
  const { appender, source } = build([target])
  target.words[WORD.recoveredBytes] = 5000n
  t.equal(appender.append(source, [run('x')], null), 'taken')
  target.words[WORD.isFull] = 1n
  target.room.exchange()
  t.equal(appender.append(source, [run('x')], null), 'full')
  t.end()
})

t.test('too many unsynced bytes keep messages out until a sync ends', (t) => {
  const target = fakeTarget('routes/a', { bytesMax: 1e9 })
  const { appender, turns, source } = build([target])
  const large = run('x'.repeat(1024 * 1024))
  let taken = 0
  while (appender.append(source, [large], null) === 'taken') taken++
  t.equal(taken, UNSYNCED_BYTES_MAX / (1024 * 1024) + 1)
  for (const turn of turns.splice(0)) turn()
  t.equal(appender.append(source, [large], null), 'full')
  target.writer.finish()
  t.equal(appender.append(source, [large], null), 'taken')
  t.end()
})

t.test('nothing to store is answered like a commit', async (t) => {
  const { appender, turns, source } = build([fakeTarget('routes/a')])
  const listener = recorder()
  t.equal(appender.append(source, [], listener), 'taken')
  t.same(listener.seen, [])
  await microtasks()
  t.same(listener.seen, ['durable'])
  t.equal(turns.length, 0)
})

t.test('refused bytes become dead letters of the input, cut where a frame ends', (t) => {
  const { appender, source, letters } = build([fakeTarget('routes/a')])
  const listener = recorder()
  const bytes = Buffer.alloc(9 * 1024 * 1024, 'z')
  appender.refuse(source, { reason: 'undecodable', tag: Buffer.from('t'), bytes }, listener)
  const { groups } = letters.writer
  t.same(
    groups.map((group) => group.continues),
    [true, true, false]
  )
  const records = groups.map((group) => (decode(group.entries) as [unknown, object])[1])
  t.match(records[0], {
    reason: 'undecodable',
    input: 'in',
    peer: '10.0.0.1',
    byte_count: bytes.length,
    part: 1,
    part_count: 3
  })
  const parts = records.map((record) => Buffer.from((record as { bytes: Uint8Array }).bytes))
  t.ok(Buffer.concat(parts).equals(bytes))
  t.ok(groups.every((group) => group.entries.length <= 4 * 1024 * 1024))
  t.match(groups[0], { tag: Buffer.from('t'), recordCount: 1, minTimeSeconds: 1_700_000_000 })
  letters.writer.finish()
  t.same(listener.seen, ['durable'])
  t.end()
})
