// L3 for the writer alone: a real process on a real disk is killed at any moment; what it acked is there.
// MILLRACE_STORAGE_KILLS=n kills n times.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import path from 'node:path'
import t from 'tap'
import { systemClock } from '../../src/core/clock.ts'
import { nodeStorage } from '../../src/storage/storage.ts'
import { seededRandom } from '../support/seeded-random.ts'
import { ShardHarness } from '../support/shard-harness.ts'

// Longer runs are asked for by the environment.
t.setTimeout(3_600_000)

const killCount = Number(process.env['MILLRACE_STORAGE_KILLS'] ?? 12)
const CHILD = path.join(import.meta.dirname, '../support/append-child.ts')
const ID_STEP = 10_000_000

/** Lets the child append and kills it after a number of acks. Returns what it acked. */
async function ackedUntilKilled(
  directory: string,
  firstId: number,
  ackLines: number
): Promise<number[]> {
  const child = spawn(process.execPath, [CHILD, directory, String(firstId)], {
    stdio: ['ignore', 'pipe', 'inherit']
  })
  let text = ''
  child.stdout.on('data', (bytes: Buffer) => {
    text += bytes.toString('latin1')
    if (text.split('\n').length > ackLines) child.kill('SIGKILL')
  })
  await once(child, 'close')
  // The last line may have been cut by the kill.
  const lines = text.split('\n').slice(0, -1)
  return lines.filter((line) => line !== 'ready').flatMap((line) => line.split(',').map(Number))
}

t.test(
  'Q17 killed at any moment: nothing acked is lost, no offset is used twice',
  { timeout: 3_600_000 },
  async (t) => {
    const directory = path.join(t.testdir(), 'routes/web/shard-00')
    const random = seededRandom(17)
    const acked = new Set<number>()
    const places = new Map<string, number>()
    for (let kill = 0; kill < killCount; kill++) {
      const ids = await ackedUntilKilled(
        directory,
        1 + (kill + 1) * ID_STEP,
        2 + Math.floor(random() * 300)
      )
      for (const id of ids) acked.add(id)
      const shard = new ShardHarness({ storage: nodeStorage, clock: systemClock, directory })
      const { records, holes } = shard.readAll(0)
      const seen = new Set(records.map(({ id }) => id))
      t.same(
        [...acked].filter((id) => !seen.has(id)),
        [],
        `kill ${kill}: ${acked.size} acked are there`
      )
      t.equal(seen.size, records.length, 'nothing twice')
      t.same(holes, [])
      let reused = 0
      for (const { id, offset, epoch } of records) {
        const place = `${epoch}/${offset}`
        if ((places.get(place) ?? id) !== id) reused++
        places.set(place, id)
      }
      t.equal(reused, 0)
      shard.segments.close()
    }
    t.ok(acked.size > killCount * 10, `${acked.size} acked records`)
  }
)
