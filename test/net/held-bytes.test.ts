import t from 'tap'
import { type BytesHolder, HeldBytes } from '../../src/net/held-bytes.ts'

class Holder implements BytesHolder {
  missingBytes: number
  isReading = true

  constructor(missingBytes: number) {
    this.missingBytes = missingBytes
  }

  stopReading(): void {
    this.isReading = false
  }

  readOn(): void {
    this.isReading = true
  }
}

t.test('below the bound everybody reads', (t) => {
  const held = new HeldBytes(100)
  const holders = [new Holder(10), new Holder(20)]
  for (const holder of holders) held.set(holder, 50)
  t.equal(held.byteCount, 100)
  t.ok(holders.every((holder) => holder.isReading))
  t.end()
})

t.test('above the bound the largest holder stops, the one that needs least goes on', (t) => {
  const held = new HeldBytes(100)
  const near = new Holder(1)
  const large = new Holder(500)
  const small = new Holder(500)
  held.set(near, 60)
  held.set(large, 30)
  held.set(small, 20)
  t.same([near.isReading, large.isReading, small.isReading], [true, false, true])
  held.set(small, 25)
  t.same([near.isReading, large.isReading, small.isReading], [true, false, false])
  held.set(near, 0)
  t.same([near.isReading, large.isReading, small.isReading], [true, true, true])
  t.equal(held.stoppedCount, 0)
  t.end()
})

t.test('the last holder is never stopped, however much it holds', (t) => {
  const held = new HeldBytes(100)
  const only = new Holder(500)
  held.set(only, 1000)
  t.ok(only.isReading)
  t.end()
})

t.test('a stopped holder goes on when it becomes the one that needs least', (t) => {
  const held = new HeldBytes(100)
  const first = new Holder(5)
  const second = new Holder(50)
  held.set(first, 60)
  held.set(second, 60)
  t.equal(second.isReading, false)
  held.remove(first)
  t.ok(second.isReading)
  t.equal(held.byteCount, 60)
  const third = new Holder(10)
  held.set(third, 80)
  t.equal(second.isReading, false)
  second.missingBytes = 1
  held.set(third, 81)
  t.ok(second.isReading)
  t.equal(third.isReading, false)
  t.end()
})
