// One key of many that cannot be stored: what the others lose by it, and what becomes of its rows.

import t from 'tap'
import type { Batch, FlushOutcome, Verdict } from '../../src/plugin/output.ts'
import { settled } from '../support/fake-clock.ts'
import { frame, lane, lines, range } from '../support/lane-harness.ts'

const KEYS = 1000
const BAD = 7
const FLUSH_MS = 500
const RUN_MS = 60_000
const AFTER_MS = 10_000
const FRAME_RECORDS = 1000
/** More than what can be sent in the time. */
const FRAMES = 700

const DENIED: Verdict = { kind: 'park', reason: 'forbidden' }
const THROTTLED: Verdict = { kind: 'retry', reason: 'throttled' }

/** Four requests at once, each of half a second, over rows of 1,000 keys in turn, of which one gets `bad`. */
async function run(bad: Verdict | null) {
  const state = { bad }
  const parked: number[] = []
  const stored: number[] = []
  let parkedAtMs: number | null = null
  const offsetsOf = (batch: Batch) => lines([batch.body.toString()])
  const made = lane({
    frames: [],
    taken: Array.from({ length: FRAMES }, (_, at) => frame(at * FRAME_RECORDS, FRAME_RECORDS)),
    sizes: { requestsMax: 4, bodyBytesMax: 65_536, flushTimeoutMs: 60_000 },
    keyOf: (row) => `k${Number(row.toString()) % KEYS}`,
    async flush(batch): Promise<FlushOutcome> {
      await made.clock.sleep(FLUSH_MS)
      const offsets = offsetsOf(batch)
      const { bad: verdict } = state
      const isBad = (offset: number) => verdict !== null && offset % KEYS === BAD
      stored.push(...offsets.filter((offset) => !isBad(offset)))
      if (verdict === null || !offsets.some(isBad)) {
        return { kind: 'all', verdict: { kind: 'stored' } }
      }
      return {
        kind: 'rows',
        verdicts: offsets.map((offset) => (isBad(offset) ? verdict : { kind: 'stored' }))
      }
    },
    async park(key, rows) {
      if (key !== `k${BAD}`) throw new Error(`${key} is parked`)
      parkedAtMs ??= made.clock.monotonicMs()
      parked.push(...rows.flat())
      return true
    }
  })
  const pass = async (ms: number) => {
    for (let passedMs = 0; passedMs < ms; passedMs += FLUSH_MS) {
      await settled()
      made.clock.advance(FLUSH_MS)
    }
    await settled()
  }
  await pass(RUN_MS)
  const others = stored.filter((offset) => offset % KEYS !== BAD).length
  return { made, state, pass, parked, stored, others, parkedAtMs }
}

const isAscending = (offsets: readonly number[]) =>
  offsets.every((offset, at) => at === 0 || offset > (offsets[at - 1] ?? 0))

t.test('Q35 one key of 1,000 fails for ever: the others lose less than 5 %', async (t) => {
  const without = await run(null)
  await without.made.stop()
  t.ok(without.others > 100_000, `${without.others} records of the others without it`)
  for (const [name, verdict] of Object.entries({ DENIED, THROTTLED })) {
    const { made, others, parked, parkedAtMs, pass, state, stored } = await run(verdict)
    t.comment(`${name}: ${others} of ${without.others}, parked after ${parkedAtMs} ms`)
    t.ok(others >= 0.95 * without.others, `${name}: ${others} of ${without.others}`)
    t.not(parkedAtMs, null, `${name}: it is parked`)
    t.ok((parkedAtMs ?? Infinity) <= 35_000, `${name}: after ${parkedAtMs} ms`)
    t.same(
      made.logged.filter((event) => event === 'key.parked'),
      ['key.parked'],
      `${name}: it alone`
    )
    t.ok(parked.length > 0 && isAscending(parked), `${name}: in order`)
    t.ok(made.keys.isParked(`k${BAD}`))

    // Mended: what was parked is delivered, then the key opens.
    state.bad = null
    made.keys.finish(`k${BAD}`, true)
    await pass(3000)
    const before = parked.length
    t.ok(made.keys.repaired(`k${BAD}`))
    await pass(AFTER_MS)
    t.equal(parked.length, before, `${name}: nothing more is parked`)
    const later = stored.filter((offset) => offset % KEYS === BAD)
    t.ok(later.length > 0, `${name}: its rows flow again`)
    t.ok(isAscending(later), `${name}: in order`)
    t.ok((later[0] ?? 0) > (parked.at(-1) ?? 0), `${name}: behind what was parked`)
    t.same(
      [...parked, ...later],
      range(0, parked.length + later.length).map((at) => at * KEYS + BAD),
      `${name}: none is left out`
    )
    t.same(made.trouble, [])
    await made.stop()
  }
})

t.test('at the bound of the park a key waits in the queue, and others go on', async (t) => {
  const made = lane({
    frames: [],
    taken: range(0, 5).map((at) => frame(at * 20, 20)),
    sizes: { requestsMax: 2 },
    keyOf: (row) => (Number(row.toString()) % 10 === 3 ? 'bad' : 'good'),
    flush: (batch) => ({
      kind: 'rows',
      verdicts: lines([batch.body.toString()]).map((offset) =>
        offset % 10 === 3 ? DENIED : { kind: 'stored' }
      )
    }),
    park: async () => false
  })
  for (let second = 0; second < 60; second++) {
    await settled()
    made.clock.advance(1000)
  }
  await settled()
  t.equal(made.fates.size, 90, 'all others are delivered')
  t.same(
    [...made.fates.values()].filter((fate) => fate !== 'delivered'),
    []
  )
  t.equal(made.slots.inUse, 0)
  t.equal(made.letters.length, 0)
  await made.stop()
})

t.test('tries go with rows that leave their slot', async (t) => {
  const attempts: number[] = []
  let firstAttempts = 0
  const made = lane({
    frames: [[0, 1]],
    sizes: { requestsMax: 1 },
    keyOf: () => 'bad',
    flush(batch) {
      attempts.push(batch.attempt)
      if (batch.attempt === 1) firstAttempts++
      return batch.attempt > 10
        ? { kind: 'rows', verdicts: [{ kind: 'refuse', reason: 'enough' }] }
        : { kind: 'rows', verdicts: [DENIED] }
    }
  })
  for (let second = 0; second < 500; second++) {
    await settled()
    made.clock.advance(1000)
  }
  await settled()
  t.same(attempts, range(1, 12), 'the row left its slot after every try')
  t.equal(firstAttempts, 1)
  t.match(made.letters, [{ reason: 'enough', tries: { attempts: 11 } }])
  await made.stop()
})

t.test(
  'Q36 after an outage records are rendered once, not held behind their own key',
  async (t) => {
    const FRAME_COUNT = 100
    const recordCount = FRAME_COUNT * FRAME_RECORDS
    const state = { isDown: true }
    let renderedRows = 0
    const made = lane({
      frames: [],
      taken: range(0, FRAME_COUNT).map((at) => frame(at * FRAME_RECORDS, FRAME_RECORDS)),
      sizes: { requestsMax: 4, bodyBytesMax: 65_536, flushTimeoutMs: 60_000 },
      async flush(): Promise<FlushOutcome> {
        await made.clock.sleep(10)
        const verdict: Verdict = state.isDown
          ? { kind: 'retry', reason: 'refused' }
          : { kind: 'stored' }
        return { kind: 'all', verdict }
      },
      result: (result) => {
        renderedRows += result.rowCount
        return result
      }
    })
    const pass = async (times: number, ms: number) => {
      for (let time = 0; time < times; time++) {
        await settled()
        made.clock.advance(ms)
      }
      await settled()
    }
    await pass(60, 1000)
    t.ok(made.keys.isAnyClosed, 'its rows left their slots')
    const inOutage = renderedRows
    t.ok(inOutage > 0 && inOutage < recordCount / 2, `${inOutage} rows were rendered in vain`)
    state.isDown = false
    for (let turn = 0; turn < 2000 && made.fates.size < recordCount; turn++) await pass(1, 100)
    t.equal(made.fates.size, recordCount, 'all are delivered')
    const again = renderedRows - inOutage - recordCount
    t.ok(again <= inOutage, `${again} rows were rendered more than once`)
    t.same(made.trouble, [])
    await made.stop()
  }
)
