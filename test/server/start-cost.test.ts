import { readdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { readConfig } from '../../src/cli/config-source.ts'
import { systemClock } from '../../src/core/clock.ts'
import { Store } from '../../src/server/store/store.ts'
import { nodeStorage, type Storage } from '../../src/storage/storage.ts'
import { buildProgram } from '../support/built-program.ts'
import { freePort } from '../support/free-port.ts'
import { startRouter } from '../support/router-process.ts'
import { sparseStore } from '../support/sparse-store.ts'

/** 8192 makes it the whole of Q16: 1 TiB of which 70 MB are on the disk. */
const SEGMENTS = Number(process.env['MILLRACE_TEST_SEGMENTS'] ?? 1200)
const SEGMENT_BYTES = 128 * 1024 * 1024
/** Headers that are looked at, whatever the backlog, for keys and formats; and what recovery reads. */
const OPENED_MAX = 512 + 10
const MIB = 1024 * 1024

t.setTimeout(180_000)

const fill = (folder: string, segments: number) =>
  sparseStore({
    dataDir: join(folder, 'data'),
    route: 'all',
    output: 'search',
    segments,
    segmentBytes: SEGMENT_BYTES
  })

const configOf = (port: number, adminPort: number) => `
version: 1
data_dir: ./data
drain_timeout: 10ms
threads: {ingest: 1, pool: 1}
admin: {listen: "127.0.0.1:${adminPort}"}
inputs:
  load: {type: forward, listen: "tcp://127.0.0.1:${port}"}
routes:
  all: {match: "**", max_bytes: 2TiB, to: [search]}
outputs:
  search: {type: opensearch, endpoints: ["http://127.0.0.1:1"], index: logs}
`

/** Counts what is opened, and how many segments are open at once. */
function counting(): { storage: Storage; opened: () => number; openMost: () => number } {
  const open = new Set<number>()
  let opened = 0
  let openMost = 0
  const storage: Storage = {
    ...nodeStorage,
    open(path, mode) {
      const file = nodeStorage.open(path, mode)
      if (path.endsWith('.seg')) {
        opened++
        open.add(file)
        openMost = Math.max(openMost, open.size)
      }
      return file
    },
    close(file) {
      open.delete(file)
      nodeStorage.close(file)
    }
  }
  return { storage, opened: () => opened, openMost: () => openMost }
}

t.test('Q16 a start opens few segments of a big backlog, one at a time', async (t) => {
  const folder = t.testdir()
  const records = fill(folder, SEGMENTS)
  writeFileSync(join(folder, 'millrace.yaml'), configOf(1, 2))
  const io = {
    environment: {},
    workingDirectory: folder,
    out: () => {},
    error: () => {},
    write: async () => true
  }
  const { config } = readConfig(['millrace.yaml'], { config: [] }, io)
  if (config === null) throw new Error('the configuration is valid')
  const { opened, openMost, storage } = counting()
  const log = { info: () => {}, warn: () => {}, error: () => {}, write: async () => true }
  const before = process.memoryUsage()
  const store = new Store({
    config,
    storage,
    clock: systemClock,
    log,
    version: '0',
    isLockedSkipped: false,
    onRoom: () => {}
  })
  t.teardown(() => store.close())
  const after = process.memoryUsage()
  const [shard] = store.shardsOf('routes/all')
  t.equal(shard?.shardLog.endOffset, records, 'the exact backlog is known')
  t.equal(shard?.shardLog.segments.all.length, SEGMENTS)
  t.ok(opened() <= OPENED_MAX, `${opened()} segments were opened`)
  t.ok(openMost() <= 2, `${openMost()} were open at once`)
  const grown = after.heapUsed + after.external - before.heapUsed - before.external
  t.comment(`${Math.round(grown / MIB)} MiB of memory for ${SEGMENTS} segments`)
  t.ok(grown < 50 * MIB)
})

t.test('Q16 a router with a big backlog is small: memory and descriptors', async (t) => {
  // Memory and times are those of the program as it is installed.
  const program = buildProgram(t)
  const start = async (name: string, segments: number) => {
    const folder = join(t.testdirName, name)
    fill(folder, segments)
    const adminPort = await freePort()
    const config = configOf(await freePort(), adminPort)
    const startedMs = performance.now()
    const router = await startRouter(t, { folder, config, adminPort, program })
    const readyMs = performance.now() - startedMs
    const { pid } = router.child
    const status = readFileSync(`/proc/${pid}/status`, 'utf8')
    const names = readdirSync(`/proc/${pid}/fd`).map((fd) => {
      try {
        return readlinkSync(`/proc/${pid}/fd/${fd}`)
      } catch {
        return ''
      }
    })
    const kib = Number(/VmRSS:\s+(\d+)/.exec(status)?.[1])
    // Those of a pool task live as long as the task: it has a thread of its own, and closes them.
    const cursors = names.filter((file) => file.endsWith('.cur')).length
    t.equal(await router.metric('millrace_queue_segments'), segments)
    const seconds = await router.metric('millrace_queue_startup_recovery_seconds')
    t.equal(await router.stop(), 0)
    return { kib, cursors, seconds, readyMs }
  }
  const small = await start('small', 64)
  const big = await start('big', SEGMENTS)
  t.equal(big.cursors, small.cursors)
  t.comment(
    `ready after ${Math.round(big.readyMs)} ms (${Math.round(small.readyMs)} ms with 64 segments), recovery ` +
      `${big.seconds.toFixed(2)} s, ${Math.round((big.kib - small.kib) / 1024)} MiB more`
  )
  t.ok(big.kib - small.kib < 50 * 1024, 'resident memory does not follow the backlog')
})
