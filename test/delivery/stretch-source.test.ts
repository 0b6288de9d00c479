import t from 'tap'
import type { LaneSource, Taken } from '../../src/delivery/lane-source.ts'
import { StretchSource } from '../../src/delivery/stretch-source.ts'
import { DIRECTORY, openCursor } from '../support/shard-harness.ts'
import { SimulatedStorage } from '../support/simulated-storage.ts'

const frame = (firstOffset: number, recordCount: number): Taken => ({
  kind: 'frame',
  frame: { segment: 0, startByte: 0, byteCount: 10, firstOffset, recordCount, appendTimeMs: 7 }
})
const hole = (firstOffset: number, endOffset: number): Taken => ({
  kind: 'hole',
  firstOffset,
  endOffset,
  reason: 'corrupt'
})

function setUp(...list: Taken[]) {
  const storage = new SimulatedStorage()
  storage.mkdir(DIRECTORY)
  const cursor = openCursor(storage)
  const source: LaneSource = {
    logId: new Uint8Array(16),
    watermarkMs: 0,
    segment: () => ({ path: '', salt: 0n, epoch: 1, firstOffset: 0 }),
    judge: () => [],
    next: () => list.shift() ?? null
  }
  return { cursor, stretch: new StretchSource(source, cursor, 0) }
}

t.test('nothing at or behind the bound is given out until the bound moves', (t) => {
  const { stretch } = setUp(frame(0, 10), frame(10, 10), frame(20, 10))
  stretch.endAt(10)
  t.same(stretch.next(), frame(0, 10))
  t.equal(stretch.isExhausted, true)
  t.equal(stretch.next(), null)
  stretch.endAt(20)
  t.equal(stretch.isExhausted, false)
  t.same(stretch.next(), frame(10, 10))
  t.equal(stretch.next(), null)
  t.equal(stretch.isExhausted, true)
  t.end()
})

t.test('a hole across the bound is cut there, and the rest comes when the bound moves', (t) => {
  const { stretch } = setUp(hole(0, 30))
  stretch.endAt(10)
  t.same(stretch.next(), hole(0, 10))
  t.equal(stretch.next(), null)
  stretch.endAt(30)
  t.same(stretch.next(), hole(10, 30))
  t.end()
})

t.test('frames that are finished to the last record are passed over, others come whole', (t) => {
  const { cursor, stretch } = setUp(frame(0, 10), frame(10, 10), frame(20, 10))
  cursor.finish(10, 20, 'delivered')
  cursor.finish(25, 30, 'delivered')
  t.same(stretch.next(), frame(0, 10))
  t.same(stretch.next(), frame(20, 10))
  t.end()
})

t.test('frames before the bound that nobody can open do not keep it from being reached', (t) => {
  const { stretch } = setUp(frame(0, 10), frame(30, 10))
  stretch.endAt(20)
  t.same(stretch.next(), frame(0, 10))
  t.equal(stretch.isExhausted, false)
  t.equal(stretch.next(), null)
  t.equal(stretch.isExhausted, true)
  stretch.endAt(40)
  t.same(stretch.next(), frame(30, 10), 'what was read ahead is not lost')
  const dry = setUp(frame(0, 10)).stretch
  dry.endAt(20)
  dry.next()
  t.equal(dry.next(), null)
  t.equal(dry.isExhausted, true)
  t.end()
})

t.test('a look at the time of the next frame takes nothing away', (t) => {
  const { stretch } = setUp(frame(0, 10))
  t.equal(stretch.nextMs, 7)
  t.equal(stretch.readOffset, 0)
  t.same(stretch.next(), frame(0, 10))
  t.equal(stretch.nextMs, null)
  t.end()
})
