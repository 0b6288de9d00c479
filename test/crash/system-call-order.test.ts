// L4: a whole server runs under strace, over a kill, and the order of its system calls is judged: ack after sync, sync of
// the directory too, deletion after the cursor, no write to what an earlier process left. Then the judge is judged: each
// of these orders is broken in the recorded calls, and it has to notice.

import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { eventually } from '../support/eventually.ts'
import { ForwardSender, frame } from '../support/forward-sender.ts'
import { freePort } from '../support/free-port.ts'
import { checkOrder } from '../support/order-check.ts'
import { findProgram, requireAll } from '../support/require-program.ts'
import { RouterProcess } from '../support/router-process.ts'
import { shortDir } from '../support/short-dir.ts'
import { parseSystemCalls, STRACE_OPTIONS, type SystemCall } from '../support/system-calls.ts'

const CHUNKS_PER_LIFE = 160
const EVENTS = 5
const LINE_BYTES = 10_000
const LIMIT_MS = 60_000
/** Every chunk id in what is written. */
const ID = /order-\d-\d{4}-end/g
const TRACED =
  'openat,write,writev,pwrite64,pwritev,pwritev2,sendto,sendmsg,fdatasync,fsync,unlink,unlinkat'

t.setTimeout(240_000)

const strace = findProgram('MILLRACE_TEST_STRACE', 'strace')
const isTracing = strace !== null && spawnSync(strace, ['-f', 'true']).status === 0

function configText(folder: string, adminPort: number): string {
  return `version: 1
data_dir: ${folder}/data
admin: {listen: "127.0.0.1:${adminPort}"}
inputs:
  load: {type: forward, listen: ["unix://${folder}/f.sock"]}
routes:
  all: {match: "**", to: [one, two], max_bytes: 2MiB}
outputs:
  one: {type: 'null'}
  two: {type: 'null'}
`
}

/** A sender of so many chunks, of 10 and 50 kB. */
function load(folder: string, life: number) {
  let made = 0
  let acked = 0
  const sender = new ForwardSender({
    address: { path: join(folder, 'f.sock') },
    window: 4,
    pauseMs: 1,
    next() {
      if (made === CHUNKS_PER_LIFE) return null
      const id = `order-${life}-${String(made++).padStart(4, '0')}-end`
      const events = Array.from({ length: EVENTS }, (_, k) => ({ k, log: 'x'.repeat(LINE_BYTES) }))
      const mode = made % 2 === 0 ? 'packed' : 'message'
      return { id, seqs: [], bytes: frame(mode, 'order.test', events, { chunk: id }) }
    },
    onAck: () => {
      acked++
    }
  })
  return { sender, ackedCount: () => acked }
}

function tracedBy({ child: { pid } }: RouterProcess): number {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'latin1').trim().split(' ')
  return Number(children[0])
}

const orderOf = (calls: readonly SystemCall[], before: readonly SystemCall[] = []) =>
  checkOrder(calls, ID, before)

/** The recorded calls with one of the rules broken, and what the judge has to say about it. */
const BROKEN: readonly (readonly [
  string,
  RegExp,
  (calls: readonly SystemCall[]) => readonly SystemCall[]
])[] = [
  [
    'acks before the datasync',
    /before its datasync/,
    (calls) => calls.filter(({ name, path }) => name !== 'fdatasync' || !path.endsWith('.seg'))
  ],
  [
    'acks before the sync of the directory',
    /before the sync of its directory/,
    (calls) => calls.filter(({ name }) => name !== 'fsync')
  ],
  [
    'deletion before the cursor is durable',
    /deleted/,
    (calls) => calls.filter(({ name, path }) => name !== 'fdatasync' || !path.endsWith('.cur'))
  ],
  [
    'a sync that began before the write',
    /before its datasync/,
    (calls) => calls.map((call) => (call.name === 'fdatasync' ? { ...call, startLine: 0 } : call))
  ],
  [
    'trust in a sync after a failed one',
    /before its datasync/,
    (calls) => {
      const first = calls.find(({ name, path }) => name === 'fdatasync' && path.endsWith('.seg'))
      return calls.flatMap((call) => (call === first ? [{ ...call, result: -1 }, call] : [call]))
    }
  ],
  [
    'a write to an old segment',
    /earlier process/,
    (calls) => calls.filter(({ name }) => name !== 'openat')
  ],
  [
    'acks of what was never written',
    /never written/,
    (calls) =>
      calls.filter(({ name, path }) => !name.startsWith('pwrite') || !path.endsWith('.seg'))
  ]
]

requireAll(t, [[isTracing, 'strace that may trace']], () => {
  t.test('L4 no system call of two lives comes before what it depends on', async (t) => {
    const folder = shortDir(t)
    const adminPort = await freePort()
    const traces: SystemCall[][] = []
    for (const life of [1, 2]) {
      const file = join(folder, `trace-${life}`)
      const router = new RouterProcess({
        folder,
        config: configText(folder, adminPort),
        adminPort,
        within: [String(strace), ...STRACE_OPTIONS, '-o', file, '-e', `trace=${TRACED}`]
      })
      t.teardown(async () => {
        if (!router.hasExited) process.kill(tracedBy(router), 'SIGKILL')
        await router.exit
      })
      await router.ready()
      const { sender, ackedCount } = load(folder, life)
      sender.start()
      await eventually('all is acked', LIMIT_MS, () => ackedCount() === CHUNKS_PER_LIFE)
      sender.stop()
      // The tracer ends with the process that it traces, and with its exit code.
      process.kill(tracedBy(router), life === 1 ? 'SIGKILL' : 'SIGTERM')
      t.equal(await router.exit, life === 1 ? 'SIGKILL' : 0, 'the life ends as it was asked to')
      traces.push(parseSystemCalls(readFileSync(file, 'latin1')))
    }
    for (const [index, calls] of traces.entries()) {
      const { ackCount, syncCount, unlinkCount, violations } = orderOf(
        calls,
        traces[index - 1] ?? []
      )
      t.same(violations, [], `life ${index + 1}`)
      t.ok(ackCount >= CHUNKS_PER_LIFE, `${ackCount} acks were judged`)
      t.ok(unlinkCount > 0, `${unlinkCount} deletions were judged`)
      t.ok(syncCount > 0, `${syncCount} syncs were seen`)
    }
    const [calls = []] = traces
    for (const [what, expected, broken] of BROKEN) {
      const { violations } = orderOf(broken(calls))
      t.match(violations[0] ?? 'nothing', expected, `the judge notices ${what}`)
    }
  })
})
