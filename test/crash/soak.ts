// Q53: a long run of a real process at a steady rate: rolls and deletions all the time; SIGKILLs in the first half; outages
// of one of two destinations in both. At the end everything that was acked is visible at both, once, and the identity of
// the queue holds; over the second half, which is one life, memory and descriptors stay where they are.
//
//   MILLRACE_SOAK_MINUTES=15 npm run test:soak
//
// MILLRACE_SOAK_PAUSE_MS slows the senders down or speeds them up (100); MILLRACE_SOAK_SEED repeats the moments.

import { readdirSync, readFileSync } from 'node:fs'
import t, { type Test } from 'tap'
import type { Random } from '../../src/core/clock.ts'
import { systemClock } from '../../src/core/clock.ts'
import { buildProgram } from '../support/built-program.ts'
import { eventually } from '../support/eventually.ts'
import { ForwardSender, type FrameMode } from '../support/forward-sender.ts'
import { freePort } from '../support/free-port.ts'
import { gapOf, metricOf } from '../support/queue-metrics.ts'
import { RouterProcess, type RouterSetup } from '../support/router-process.ts'
import { seededRandom } from '../support/seeded-random.ts'
import { shortDir } from '../support/short-dir.ts'
import { CountedDocuments } from './counted-documents.ts'
import { Ledger } from './ledger.ts'

const MINUTES = Number(process.env['MILLRACE_SOAK_MINUTES'] ?? 2)
const PAUSE_MS = Number(process.env['MILLRACE_SOAK_PAUSE_MS'] ?? 100)
const SEED = Number(process.env['MILLRACE_SOAK_SEED'] ?? Date.now() % 2 ** 31)
const RUN_MS = MINUTES * 60_000
/** SIGKILLs in the first half, one per minute at most. */
const KILLS = Math.max(2, Math.min(100, Math.floor(MINUTES / 2)))
/** Each of them a twentieth of the run. */
const OUTAGES_AT = [0.1, 0.3, 0.6, 0.8] as const
const OUTAGE_SHARE = 0.05
const SAMPLE_MS = 2000
const LIMIT_MS = 120_000
/** Of the last process: until then its heap and its buffers find their size. */
const WARM_UP_MS = 120_000
/** Growth over the second half that is not noise of the heap and of an outage, MiB; longer runs: queue.md 17.2, L9. */
const GROWTH_MIB_MAX = 24
const GROWTH_MIB_PER_HOUR = 1
const HOUR_MS = 3_600_000

t.setTimeout(RUN_MS + 4 * LIMIT_MS)

interface Sample {
  readonly atMs: number
  readonly rssMib: number
  readonly descriptors: number
}

function sampleOf(pid: number, atMs: number): Sample {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8')
  const rssMib = Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) / 1024
  return { atMs, rssMib, descriptors: readdirSync(`/proc/${pid}/fd`).length }
}

const median = (values: readonly number[]): number =>
  values.toSorted((one, other) => one - other)[values.length >> 1] ?? 0

/** Least squares. */
function slopePerHour(samples: readonly Sample[]): number {
  const mean = (of: (sample: Sample) => number) =>
    samples.reduce((sum, sample) => sum + of(sample), 0) / samples.length
  const [atMean, rssMean] = [mean(({ atMs }) => atMs), mean(({ rssMib }) => rssMib)]
  let over = 0
  let under = 0
  for (const { atMs, rssMib } of samples) {
    over += (atMs - atMean) * (rssMib - rssMean)
    under += (atMs - atMean) ** 2
  }
  return (over / under) * HOUR_MS
}

/** Small bodies: an outage fills slots that were never used before, and their memory would look like growth. */
const configText = (folder: string, forward: number, admin: number, sinks: readonly number[]) =>
  `version: 1
data_dir: ${folder}/data
admin: {listen: "127.0.0.1:${admin}"}
queue: {segment_bytes: 1MiB}
inputs:
  load: {type: forward, listen: "tcp://127.0.0.1:${forward}"}
routes:
  all: {match: "**", to: [troubled, steady]}
outputs:
${['troubled', 'steady']
  .map(
    (name, at) => `  ${name}:
    type: opensearch
    endpoints: ["http://127.0.0.1:${sinks[at]}"]
    index: soak
    flush_interval: 200ms
    bulk_bytes: 512KiB
    retry: {base: 50ms, cap: 1s}`
  )
  .join('\n')}
`

/** When what happens, milliseconds since the start, in order. */
function plan(random: Random): { atMs: number; does: 'kill' | 'refuse' | 'forget' | 'mend' }[] {
  const kills = Array.from({ length: KILLS }, (_, at) => ({
    atMs: (RUN_MS / 2) * ((at + random()) / KILLS),
    does: 'kill' as const
  }))
  const outages = OUTAGES_AT.flatMap((share, at) => [
    { atMs: share * RUN_MS, does: at % 2 === 0 ? ('refuse' as const) : ('forget' as const) },
    { atMs: (share + OUTAGE_SHARE) * RUN_MS, does: 'mend' as const }
  ])
  return [...kills, ...outages].sort((one, other) => one.atMs - other.atMs)
}

function startSenders(t: Test, ledger: Ledger, port: number): ForwardSender[] {
  const senders = (['packed', 'forward', 'message'] as const).map(
    (mode: FrameMode) =>
      new ForwardSender({
        address: { host: '127.0.0.1', port },
        window: 4,
        pauseMs: PAUSE_MS,
        next: () => ledger.next(mode),
        onAck: (chunk) => ledger.onAck(chunk)
      })
  )
  for (const each of senders) each.start()
  t.teardown(() => {
    for (const each of senders) each.stop()
  })
  return senders
}

class Soak {
  readonly samples: Sample[] = []
  readonly endedByThemselves: string[] = []
  readonly #setup: RouterSetup
  router: RouterProcess

  constructor(t: Test, setup: RouterSetup) {
    this.#setup = setup
    this.router = new RouterProcess(setup)
    t.teardown(async () => {
      await this.router.kill()
    })
  }

  async run(troubled: CountedDocuments, random: Random): Promise<void> {
    const events = plan(random)
    const startMs = performance.now()
    for (;;) {
      const atMs = performance.now() - startMs
      if (atMs >= RUN_MS) return
      for (let next = events[0]; next !== undefined && next.atMs <= atMs; next = events[0]) {
        events.shift()
        if (next.does !== 'kill') troubled.setDown(next.does === 'mend' ? null : next.does)
        else {
          if ((await this.router.kill()) !== 'SIGKILL') {
            this.endedByThemselves.push(this.router.log)
          }
          this.router = new RouterProcess(this.#setup)
        }
      }
      if (this.router.hasExited) throw new Error(`it ended by itself:\n${this.router.log}`)
      const { pid } = this.router.child
      if (pid !== undefined && atMs > RUN_MS / 2) this.samples.push(sampleOf(pid, atMs))
      await systemClock.sleep(Math.max(1, Math.min(SAMPLE_MS, (events[0]?.atMs ?? RUN_MS) - atMs)))
    }
  }
}

t.test(`Q53 ${MINUTES} minutes of load, ${KILLS} SIGKILLs and outages`, async (t) => {
  t.comment(`seed ${SEED}`)
  const random = seededRandom(SEED)
  const folder = shortDir(t)
  const sinks = [1, 2].map(
    () =>
      new CountedDocuments(random, {
        refused: 0.005,
        answerLost: 0.005,
        itemRefused: 0.0005,
        delayMsMax: 30
      })
  )
  const [troubled] = sinks
  if (troubled === undefined) throw new Error('two were made')
  const sinkPorts = await Promise.all(sinks.map((sink) => sink.listen()))
  t.teardown(() => {
    for (const sink of sinks) sink.close()
  })
  const [forward, admin] = [await freePort(), await freePort()]
  const config = configText(folder, forward, admin, sinkPorts)
  const soak = new Soak(t, { folder, config, adminPort: admin, program: buildProgram(t) })
  const ledger = new Ledger(`soak-${SEED}`)
  const senders = startSenders(t, ledger, forward)
  await soak.run(troubled, random)
  t.same(soak.endedByThemselves, [], 'every life ended by its SIGKILL')

  ledger.isOpen = false
  const { router } = soak
  await eventually('the rest is acked', LIMIT_MS, () =>
    senders.every(({ unackedChunks }) => unackedChunks === 0)
  )
  await eventually('the rest is visible', LIMIT_MS, () =>
    sinks.every(({ count }) => count >= ledger.sent)
  ).catch(() => undefined)
  const resent = senders.reduce((sum, each) => sum + each.resentChunks, 0)
  t.comment(
    `${ledger.sent} sent, ${ledger.acked.length} acked, ${resent} chunks resent, ` +
      `${Math.round(ledger.sent / (RUN_MS / 1000))} a second`
  )
  for (const [at, name] of ['troubled', 'steady'].entries()) {
    const sink = sinks[at]
    const lost = ledger.acked.filter((seq) => sink?.isVisible(seq) === false)
    t.same(lost.slice(0, 20), [], `${name}: no acked record is lost`)
    t.equal(sink?.doubled, 0, `${name}: none is visible twice`)
    await eventually('nothing is pending', LIMIT_MS, async () => {
      return (await metricOf(router, 'pending_records', name)) === 0
    })
    t.equal(await gapOf(router, name), 0, `${name}: the identity holds`)
    t.equal(await metricOf(router, 'lost_records_total', name), 0)
  }
  checkSlope(t, soak.samples)
  t.equal(await router.stop(), 0, 'it stops cleanly')
})

function checkSlope(t: Test, all: readonly Sample[]): void {
  const samples = all.filter(({ atMs }) => atMs > RUN_MS / 2 + WARM_UP_MS)
  const hours = (RUN_MS / 2 - WARM_UP_MS) / HOUR_MS
  if (hours * HOUR_MS < WARM_UP_MS) {
    t.comment('too short to say anything about memory')
    return
  }
  const part = samples.length >> 2
  const [first, last] = [samples.slice(0, part), samples.slice(-part)]
  const rss = (of: readonly Sample[]) => median(of.map(({ rssMib }) => rssMib))
  const descriptors = (of: readonly Sample[]) => median(of.map((sample) => sample.descriptors))
  const grown = rss(last) - rss(first)
  t.comment(
    `memory ${rss(first).toFixed(1)} to ${rss(last).toFixed(1)} MiB (slope ` +
      `${slopePerHour(samples).toFixed(1)} MiB/h over ${(hours * 60).toFixed(1)} min), most ` +
      `${Math.max(...samples.map(({ rssMib }) => rssMib)).toFixed(1)} MiB; descriptors ` +
      `${descriptors(first)} to ${descriptors(last)}`
  )
  const limit = Math.max(GROWTH_MIB_MAX, hours * GROWTH_MIB_PER_HOUR)
  t.ok(grown <= limit, `${grown.toFixed(1)} MiB grown, of at most ${limit.toFixed(1)}`)
  t.ok(Math.abs(descriptors(last) - descriptors(first)) <= 5, 'descriptors are flat')
}
