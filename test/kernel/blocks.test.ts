// Runs on: any.

import fc from 'fast-check'
import t from 'tap'
import { BlockAllocator } from '../../src/kernel/blocks.ts'

const REGION_BYTES = 64 * 4096

t.test('blocks are powers of two and never overlap', (t) => {
  const step = fc.tuple(fc.boolean(), fc.integer({ min: 1, max: REGION_BYTES }), fc.nat())
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
      const allocator = new BlockAllocator(REGION_BYTES)
      const lent: [number, number][] = []
      for (const [isTaking, byteCount, pick] of steps) {
        if (!isTaking && lent.length > 0) {
          const [[start]] = lent.splice(pick % lent.length, 1) as [[number, number]]
          allocator.give(start)
          continue
        }
        const start = allocator.take(byteCount)
        const bytes = BlockAllocator.blockBytes(byteCount)
        if (start < 0) continue
        if (start % bytes !== 0 || start + bytes > REGION_BYTES) throw new Error('outside')
        if (lent.some(([other, size]) => start < other + size && other < start + bytes)) {
          throw new Error('overlap')
        }
        lent.push([start, bytes])
      }
      const sum = lent.reduce((total, [, bytes]) => total + bytes, 0)
      if (allocator.borrowedBytes !== sum) throw new Error('sum')
      for (const [start] of lent) allocator.give(start)
      if (allocator.take(REGION_BYTES) !== 0) throw new Error('the region crumbled')
    }),
    { numRuns: 300 }
  )
  t.end()
})

t.test('a region that is used up gives nothing, and all of it again later', (t) => {
  const allocator = new BlockAllocator(REGION_BYTES)
  const starts = Array.from({ length: 64 }, () => allocator.take(4096))
  t.equal(new Set(starts).size, 64)
  t.equal(allocator.take(1), -1)
  t.equal(allocator.take(REGION_BYTES + 1), -1)
  for (const start of starts) allocator.give(start)
  t.equal(allocator.borrowedBytes, 0)
  t.equal(allocator.take(REGION_BYTES), 0)
  t.end()
})

t.test('a block that is not lent cannot be given back', (t) => {
  const allocator = new BlockAllocator(REGION_BYTES)
  const start = allocator.take(8192)
  t.throws(() => allocator.give(start + 4096), { message: /no block is lent/ })
  allocator.give(start)
  t.throws(() => allocator.give(start), { message: /no block is lent/ })
  t.throws(() => new BlockAllocator(3 * 4096), { message: /bad block region/ })
  t.end()
})
