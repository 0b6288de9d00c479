// L2: the power goes at every operation of a life of one shard. After each crash: no acked record is missing, no
// (epoch, offset) names two records, nothing is read that was never appended, and the counts add up.
// MILLRACE_L2_SEEDS=n runs n seeds instead of the few of every day; a failing seed is printed and repeats exactly.

import t from 'tap'
import type { Durability } from '../../src/storage/append.ts'
import { type LifeReport, livesOf } from '../support/shard-lives.ts'

const seedCount = Number(process.env['MILLRACE_L2_SEEDS'] ?? 40)
const ALWAYS_FIRST: readonly number[] = []

t.test(
  'Q19 Q20 the power goes at every operation: nothing acked is lost, nothing twice',
  async (t) => {
    for (const durability of ['sync', 'interval', 'os'] satisfies Durability[]) {
      let crashCount = 0
      const seeds = [...ALWAYS_FIRST, ...Array.from({ length: seedCount }, (_, index) => index + 1)]
      for (const seed of seeds) {
        const report: LifeReport = await livesOf({ seed, durability })
        crashCount += report.crashCount
        if (report.findings.length > 0) {
          t.fail(`seed ${seed}, ${durability}: ${report.findings.slice(0, 5).join('; ')}`)
          return
        }
      }
      t.ok(crashCount > seedCount * 5, `${durability}: ${crashCount} crashes survived`)
    }
  }
)
