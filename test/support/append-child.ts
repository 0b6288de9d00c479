// Appends to a shard on the real disk and tells its parent, line by line, which ids were acked, until it is killed.
// Usage: append-child.ts <shard directory> <first id>

import fs from 'node:fs'
import { systemClock } from '../../src/core/clock.ts'
import { nodeStorage } from '../../src/storage/storage.ts'
import { ShardHarness } from './shard-harness.ts'

const directory = process.argv[2] ?? ''
let nextId = Number(process.argv[3])
const shard = new ShardHarness({
  storage: nodeStorage,
  clock: systemClock,
  directory,
  segmentBytes: 64 * 1024
})
shard.onAck = (ids) => fs.writeSync(1, `${ids.join(',')}\n`)
fs.writeSync(1, 'ready\n')

for (;;) {
  for (let group = 0; group < 4; group++) {
    const ids = Array.from({ length: 1 + (nextId % 5) }, () => nextId++)
    shard.append(ids, { paddingBytes: nextId % 97 === 0 ? 70_000 : nextId % 300 })
  }
  shard.writer.commit()
  await new Promise((resolve) => setImmediate(resolve))
}
