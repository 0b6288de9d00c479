import t from 'tap'
import { ControlBlock, Doorbell } from '../../src/ingest/control-block.ts'
import { RoomWaiters, SharedRoom } from '../../src/ingest/pressure.ts'
import { CONTROL_BLOCK_BYTES, type ShardState, WORD } from '../../src/threads/shared.ts'

t.test('everybody who waits is called once per wake, in order', (t) => {
  const turns: (() => void)[] = []
  const waiters = new RoomWaiters((wake) => turns.push(wake))
  const seen: string[] = []
  waiters.wake()
  t.equal(turns.length, 0, 'nobody waits, nothing is scheduled')
  waiters.add(() => seen.push('a'))
  waiters.add(() => {
    seen.push('b')
    waiters.add(() => seen.push('b again'))
  })
  waiters.wake()
  waiters.wake()
  t.equal(turns.length, 1, 'one turn for many events')
  t.same(seen, [], 'not within the event')
  turns.shift()?.()
  t.same(seen, ['a', 'b'])
  t.equal(waiters.count, 1)
  waiters.wake()
  turns.shift()?.()
  t.same(seen, ['a', 'b', 'b again'])
  t.end()
})

function rooms(options: { bytesMax?: number; overflow?: 'block' | 'drop_oldest' | 'drop_newest' }) {
  const { bytesMax = 1000, overflow = 'block' } = options
  const blocks = [0, 1].map(() => {
    const shared = new SharedArrayBuffer(CONTROL_BLOCK_BYTES)
    return {
      control: new ControlBlock(shared, new Doorbell(new SharedArrayBuffer(4))),
      words: new BigInt64Array(shared)
    }
  })
  const [mine, other] = blocks
  if (mine === undefined || other === undefined) throw new Error('two blocks')
  const writer = { state: 'ok' as ShardState, unsyncedBytes: 0, isHeld: false }
  const shared = { bytesMax, overflow, others: [other.control] }
  const room = new SharedRoom({ ...shared, writer, control: mine.control })
  return { room, mine, other, writer }
}

t.test('one shard may fill the whole limit, and all of them share it', (t) => {
  const { mine, other, room, writer } = rooms({})
  mine.words[WORD.appendedBytes] = 999n
  room.exchange()
  t.equal(room.verdict, 'take')
  room.took(1)
  writer.unsyncedBytes = 1
  t.equal(room.verdict, 'full', 'what was taken since the last look counts')
  room.exchange()
  t.equal(room.verdict, 'full', 'what is on its way counts')
  writer.unsyncedBytes = 0
  t.equal(room.verdict, 'take', 'nothing is refused without a look')
  other.words[WORD.recoveredBytes] = 500n
  other.words[WORD.unsyncedBytes] = 100n
  t.equal(room.verdict, 'take', 'a message costs no look at the others')
  room.exchange()
  t.equal(room.verdict, 'full', 'a commit does')
  other.words[WORD.removedBytes] = 500n
  other.words[WORD.unsyncedBytes] = 0n
  t.equal(room.verdict, 'take', 'nothing is refused without a look')
  t.end()
})

t.test('delivered segments that are kept are room', (t) => {
  const { mine, other, room } = rooms({})
  mine.words[WORD.appendedBytes] = 900n
  other.words[WORD.recoveredBytes] = 900n
  room.exchange()
  t.equal(room.verdict, 'full')
  other.words[WORD.keptBytes] = 900n
  t.equal(room.verdict, 'take')
  t.end()
})

t.test('a full disk is met as the route says', (t) => {
  for (const [overflow, verdict] of [
    ['block', 'full'],
    ['drop_oldest', 'full'],
    ['drop_newest', 'drop']
  ] as const) {
    const { mine, room, writer } = rooms({ overflow })
    writer.state = 'full'
    t.equal(room.verdict, verdict, overflow)
    writer.state = 'ok'
    mine.words[WORD.isFull] = 1n
    t.equal(room.verdict, 'take', 'a message costs no look')
    room.exchange()
    t.equal(room.verdict, verdict, `${overflow}, declared by main`)
    mine.words[WORD.isFull] = 0n
    t.equal(room.verdict, 'take', 'nothing is refused without a look')
    writer.state = 'failed'
    t.equal(room.verdict, 'full', 'no policy helps a disk that fails')
  }
  t.end()
})

t.test('time without room is counted from the first message that found none', (t) => {
  const { mine, room } = rooms({})
  room.lookAgain(100)
  mine.words[WORD.appendedBytes] = 1000n
  room.exchange()
  room.blocked(1000)
  room.blocked(1500)
  t.equal(mine.words[WORD.isBlocked], 1n)
  room.lookAgain(3000)
  t.equal(mine.words[WORD.blockedMs], 2000n)
  t.equal(mine.words[WORD.isBlocked], 1n, 'still full')
  mine.words[WORD.removedBytes] = 600n
  room.lookAgain(4000)
  t.same([mine.words[WORD.blockedMs], mine.words[WORD.isBlocked]], [3000n, 0n])
  t.notOk(room.isBlocked)
  room.lookAgain(9000)
  t.equal(mine.words[WORD.blockedMs], 3000n)
  t.end()
})
