import t from 'tap'
import { RoomWaiters } from '../../src/ingest/pressure.ts'

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
