import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { command } from '../support/command-line.ts'
import { eventually } from '../support/eventually.ts'
import { FakeOpenSearch } from '../support/fake-opensearch.ts'
import { freePort } from '../support/free-port.ts'
import {
  arrivedSeqs,
  imbalance,
  missingSeqs,
  NumberedLoad,
  queuesOf
} from '../support/numbered-load.ts'
import { startRouter } from '../support/router-process.ts'

const LIMIT_MS = 60_000
const RECORDS = 4000
const CHUNK = 20

t.setTimeout(180_000)

/** Changes the bytes of the segment that holds the text, at the text. */
function damage(directory: string, text: string, change: (bytes: Buffer, at: number) => void) {
  for (const name of readdirSync(directory).toSorted().slice(0, -1)) {
    const path = join(directory, name)
    const bytes = readFileSync(path)
    const at = bytes.indexOf(text)
    if (at < 0) continue
    change(bytes, at)
    writeFileSync(path, bytes)
    return name
  }
  throw new Error(`no sealed segment holds ${text}`)
}

/** Runs of consecutive numbers. */
function runsOf(seqs: readonly number[]): number[][] {
  const runs: number[][] = []
  for (const seq of seqs) {
    const last = runs.at(-1)
    if (last?.at(-1) === seq - 1) last.push(seq)
    else runs.push([seq])
  }
  return runs
}

/** Records that the descriptions in the quarantine speak of. */
function quarantined(folder: string): number {
  const directory = join(folder, 'data/routes/all/quarantine')
  return readdirSync(directory)
    .filter((name) => name.endsWith('.json'))
    .map((name) => JSON.parse(readFileSync(join(directory, name), 'utf8')))
    .reduce((sum, { recordCount }) => sum + recordCount, 0)
}

t.test('Q05 Q06 damage in sealed segments costs the records that it hit, counted', async (t) => {
  const search = await new FakeOpenSearch().start()
  t.teardown(() => search.stop())
  search.plan(...Array.from({ length: 20_000 }, () => ({ kind: 'status' as const, status: 503 })))
  const port = await freePort()
  const adminPort = await freePort()
  const config = `
version: 1
data_dir: ./data
drain_timeout: 10ms
admin: {listen: "127.0.0.1:${adminPort}"}
inputs:
  load: {type: forward, listen: "tcp://127.0.0.1:${port}"}
routes:
  all: {match: "**", max_bytes: 16MiB, to: [search]}
outputs:
  search: {type: opensearch, endpoints: ["${search.url}"], index: logs, flush_interval: 50ms, retry: {base: 20ms, cap: 200ms}}
`
  const setup = { folder: t.testdir(), config, adminPort }
  const first = await startRouter(t, setup)
  const load = new NumberedLoad({
    port,
    tag: 'app.web',
    window: 1,
    chunkRecords: CHUNK,
    padBytes: 2000,
    recordsMax: RECORDS
  }).start()
  t.teardown(() => load.stop())
  await eventually('all is acked', LIMIT_MS, () => load.acked.length === RECORDS)
  t.equal(await first.stop(), 0)
  load.stop()

  const directory = join(setup.folder, 'data/routes/all/shard-00')
  const segments = readdirSync(directory).filter((name) => name.endsWith('.seg'))
  t.ok(segments.length >= 6, `${segments.length} segments`)
  const flip = (bytes: Buffer, at: number) => {
    bytes[at] = (bytes[at] ?? 0) ^ 0x10
  }
  const files = [
    damage(directory, 'line 505', flip),
    damage(directory, 'line 1510', flip),
    damage(directory, 'line 1511', flip),
    // Headers of frames too: chunks of 20 records have about 41 KB.
    damage(directory, 'line 2505', (bytes, at) => void bytes.fill(0, at, at + 60_000))
  ]
  t.not(files[0], files[1], 'in several files')

  const dataDir = ['--data-dir', join(setup.folder, 'data')]
  const verified = await command(['queue', 'verify', '--deep', '--json', ...dataDir])
  t.equal(verified.exitCode, 1)
  const reported = verified.out
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
  const verdict = reported.pop()
  const before = await command(['queue', 'reconcile', '--json', ...dataDir])
  t.equal(before.exitCode, 0, 'damage that nobody has passed is pending')
  t.match(JSON.parse(before.out)[0], { log: 'dlq/in.load', pending: 0 })

  search.reset()
  const second = await startRouter(t, setup)
  const { cursors } = await eventually('everything has a fate', LIMIT_MS, async () => {
    const status = await queuesOf(second)
    return status.cursors[0]?.pending === 0 ? status : null
  })
  const [cursor] = cursors
  const arrived = arrivedSeqs(search)
  const missing = missingSeqs(load.acked, arrived).toSorted((one, other) => one - other)
  const runs = runsOf(missing)
  const zeroed = runs[2]?.length ?? 0
  t.same(
    runs.map((run) => [run[0], run.length]),
    [
      [500, CHUNK],
      [1500, CHUNK],
      [2500, zeroed]
    ],
    'frames that were hit, nothing else'
  )
  t.ok(zeroed === 2 * CHUNK || zeroed === 3 * CHUNK, `${zeroed} records in zeroed frames`)
  t.match(cursor, {
    appended: RECORDS,
    delivered: RECORDS - missing.length,
    lost: { corrupt: missing.length },
    pending: 0
  })
  t.equal(imbalance(cursor!), 0)
  t.equal(arrived.length, RECORDS - missing.length, 'each once')
  t.equal(await second.metric('millrace_queue_lost_records_total'), missing.length)

  t.equal(verdict.lostRecords, missing.length, 'verify --deep said so before')
  const first500 = reported.find(({ firstOffset }) => firstOffset === 500)
  t.match(first500, { kind: 'records', recordCount: CHUNK, unfinished: { search: CHUNK } })
  const metric = (name: string) => second.metric(`millrace_queue_${name}`)
  // Two frames with a wrong payload; what was zeroed ends in a frame whose header is whole, or does not.
  const corrupt = await metric('corrupt_frames_total')
  t.ok(corrupt === 3 || corrupt === 4 || corrupt === 5, `${corrupt} damaged frames`)
  t.same(quarantined(setup.folder), missing.length, 'copies say how many records they held')
  t.ok((await metric('quarantined_bytes')) > 60_000)
  const live = await command(['queue', 'reconcile', '--admin', `127.0.0.1:${adminPort}`])
  t.match(live, { exitCode: 0, out: / corrupt \d+ +yes\n$/ })
  t.equal(await second.stop(), 0)
  const after = await command(['queue', 'reconcile', '--json', ...dataDir])
  t.equal(after.exitCode, 0)
  const account = JSON.parse(after.out).find(({ log }: { log: string }) => log === 'routes/all')
  t.match(account, {
    appended: RECORDS,
    lost: { corrupt: missing.length },
    pending: 0,
    fault: null
  })
})
