import t from 'tap'
import { logIdOf, OFFSET_MAX, positionId } from '../../src/core/position.ts'

t.test(
  'a position is 24 characters of log id, epoch and offset, big-endian, for ever the same',
  (t) => {
    const logId = Uint8Array.from([0, 1, 2, 3, 4, 5, 6, 7])
    const bytes = Buffer.from('00010203040506076920a1b2000000000007', 'hex')
    t.equal(positionId(logId, 0x6920a1b2, 7), bytes.toString('base64url'))
    t.equal(positionId(logId, 0, OFFSET_MAX).length, 24)
    t.not(positionId(logId, 1, 0), positionId(logId, 0, 1))
    t.end()
  }
)

t.test('two routes of one store and one route of two stores have ids of their own', (t) => {
  const store = new Uint8Array(16)
  const other = new Uint8Array(16).fill(1)
  const ids = [
    logIdOf(store, 'routes/a/shard-00'),
    logIdOf(store, 'routes/b/shard-00'),
    logIdOf(other, 'routes/a/shard-00')
  ].map((id) => Buffer.from(id).toString('hex'))
  t.equal(new Set(ids).size, 3)
  t.equal(ids[0]?.length, 16)
  t.end()
})
