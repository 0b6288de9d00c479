// L2: the power goes at every operation of a life of one shard. After each crash: no acked record is missing, no
// (epoch, offset) names two records, nothing is read that was never appended, and the counts add up.
// Each cut is taken apart into 32 states that it could have left. MILLRACE_L2_SEEDS=n runs n seeds (64 in CI: 50,000
// states; 1,300 for a million; 8 elsewhere); a failing seed is printed and repeats exactly.

import t from 'tap'
import { livesOf } from '../support/shard-lives.ts'

// Longer runs are asked for by the environment.
t.setTimeout(3_600_000)

const BRANCHES = 31
const seedCount = Number(
  process.env['MILLRACE_L2_SEEDS'] ?? (process.env['CI'] === 'true' ? 64 : 8)
)
/** Seeds that failed once. */
const REGRESSIONS: Readonly<Record<'sync' | 'interval' | 'os', readonly number[]>> = {
  sync: [],
  // A footer vouches for its own records only; offsets below the oldest file; an epoch that no durable name remembers.
  interval: [8, 22, 1054],
  // A hole below the oldest file when that one is empty.
  os: [1024]
}

for (const durability of ['sync', 'interval', 'os'] as const) {
  const name = `Q19 Q20 ${durability}: the power goes at any operation, nothing held is lost or doubled`
  t.test(name, { timeout: 3_600_000 }, async (t) => {
    const fresh = Array.from({ length: seedCount }, (_, index) => index + 1)
    let crashCount = 0
    let crashStates = 0
    for (const seed of [...REGRESSIONS[durability], ...fresh]) {
      const faultShare = seed % 2 === 0 ? 0.05 : 0
      const report = await livesOf({ seed, durability, faultShare, branchCount: BRANCHES })
      crashCount += report.crashCount
      crashStates += report.crashStates
      t.same(report.findings.slice(0, 5), [], `seed ${seed}`)
      if (report.findings.length > 0) return
    }
    t.ok(crashCount >= seedCount * 12, `${crashCount} crashes, ${crashStates} states survived`)
  })
}
