// Q20: what `interval` may lose in a power cut is what its window says, and a kill loses nothing.

import t from 'tap'
import { FakeClock, settled } from '../support/fake-clock.ts'
import { ShardHarness } from '../support/shard-harness.ts'
import { SimulatedStorage } from '../support/simulated-storage.ts'

const INTERVAL_MS = 200
const STEP_MS = 10

/** One record every 10 ms; the power goes after `stepCount` of them. */
async function run(stepCount: number, seed: number, isKill: boolean) {
  const storage = new SimulatedStorage({ seed })
  const clock = new FakeClock()
  const options = { durability: 'interval', segmentBytes: 4096 } as const
  const shard = new ShardHarness({ storage, clock, syncIntervalMs: INTERVAL_MS, ...options })
  for (let id = 0; id < stepCount; id++) {
    shard.append([id], { paddingBytes: 50 })
    shard.writer.commit()
    await settled()
    clock.advance(STEP_MS)
    await settled()
  }
  if (isKill) storage.kill()
  else storage.crash()
  const next = new ShardHarness({ storage, clock, ...options })
  return { acked: shard.acked, kept: new Set(next.ids), next }
}

t.test(
  'Q20 a power cut under interval loses no record older than the interval and a step',
  async (t) => {
    let lostCount = 0
    for (let stepCount = 1; stepCount <= 90; stepCount += 3) {
      for (const seed of [1, 2]) {
        const { acked, kept, next } = await run(stepCount, seed, false)
        t.equal(acked.length, stepCount, 'all were acked at the write')
        const lost = acked.filter((id) => !kept.has(id))
        lostCount += lost.length
        const oldest = lost[0] ?? stepCount
        const ageMs = (stepCount - oldest) * STEP_MS
        t.ok(ageMs <= INTERVAL_MS + STEP_MS, `${lost.length} lost, the oldest ${ageMs} ms old`)
        t.ok(next.recovered.start.nextOffset >= kept.size, 'offsets go on behind what is there')
      }
    }
    t.ok(lostCount > 0, 'the power cuts took something')
  }
)

t.test('Q20 a kill under interval loses nothing', async (t) => {
  for (const stepCount of [1, 7, 30, 61]) {
    const { acked, kept } = await run(stepCount, 1, true)
    t.same(
      acked.filter((id) => !kept.has(id)),
      []
    )
  }
})
