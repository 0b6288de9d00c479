import t from 'tap'
import { ControlBlock, Doorbell } from '../../src/ingest/control-block.ts'
import { CONTROL_BLOCK_BYTES, SHARD_STATES, unpackEnd, WORD } from '../../src/threads/shared.ts'

function build() {
  const shared = new SharedArrayBuffer(CONTROL_BLOCK_BYTES)
  const bell = new SharedArrayBuffer(4)
  const words = new BigInt64Array(shared)
  return { words, rings: new Int32Array(bell), block: new ControlBlock(shared, new Doorbell(bell)) }
}

t.test('a published end carries its offset and watermark and rings', (t) => {
  const { words, rings, block } = build()
  block.publish({ segmentOrdinal: 3, byte: 2 ** 31, offset: 77 }, 1_700_000_000_123)
  t.same(unpackEnd(words[WORD.visibleEnd] ?? 0n), { segmentOrdinal: 3, byte: 2 ** 31 })
  t.equal(words[WORD.visibleOffset], 77n)
  t.equal(words[WORD.watermarkMs], 1_700_000_000_123n)
  t.equal(rings[0], 1)
  block.setWatermark(1_700_000_001_123)
  t.equal(words[WORD.watermarkMs], 1_700_000_001_123n)
  t.equal(rings[0], 1, 'a watermark alone does not ring')
  t.end()
})

t.test('what the shard holds is recovered and appended less removed', (t) => {
  const { words, block } = build()
  words[WORD.recoveredBytes] = 1000n
  words[WORD.removedBytes] = 300n
  block.setAppendedBytes(50)
  t.equal(block.pendingBytes, 750)
  t.equal(block.isFull, false)
  words[WORD.isFull] = 1n
  t.equal(block.isFull, true)
  t.end()
})

t.test('state and refused records are counted in their words', (t) => {
  const { words, block } = build()
  block.setState('failed')
  t.equal(words[WORD.state], BigInt(SHARD_STATES.indexOf('failed')))
  block.addDroppedNewest(3)
  block.addDroppedNewest(4)
  t.equal(words[WORD.droppedNewest], 7n)
  t.end()
})
