// SIGKILL at random moments under acked load: real process, real disk, senders that resend what was not acked, and a
// destination that misbehaves. The ack log lives here, in a process that is not killed. The program is built first: most
// of a life from the sources would be the start. MILLRACE_CRASH_KILLS sets how often (200 in CI, 40 elsewhere);
// MILLRACE_CRASH_SEED repeats the moments of a run.

import { join } from 'node:path'
import t from 'tap'
import { systemClock } from '../../src/core/clock.ts'
import { buildProgram } from '../support/built-program.ts'
import { eventually } from '../support/eventually.ts'
import { ForwardSender, type FrameMode } from '../support/forward-sender.ts'
import { freePort } from '../support/free-port.ts'
import { RouterProcess, startRouter } from '../support/router-process.ts'
import { seededRandom } from '../support/seeded-random.ts'
import { shortDir } from '../support/short-dir.ts'
import { Ledger, missing } from './ledger.ts'
import { VisibleDocuments } from './visible-documents.ts'

const KILLS_BY_DEFAULT = process.env['CI'] === 'true' ? 200 : 40
const KILLS = Number(process.env['MILLRACE_CRASH_KILLS'] ?? KILLS_BY_DEFAULT)
const SEED = Number(process.env['MILLRACE_CRASH_SEED'] ?? Date.now() % 2 ** 31)
/** Share of the lives that end in start-up or recovery, before a connection is taken. */
const EARLY_SHARE = 0.15
const EARLY_MS_MAX = 350
const UNDER_LOAD_MS_MAX = 120
const LIFE_LIMIT_MS = 30_000
const DRAIN_LIMIT_MS = 60_000

t.setTimeout(60_000 + KILLS * 10_000)

const random = seededRandom(SEED)

function configText(folder: string, ports: { forward: number; admin: number; search: number }) {
  return `version: 1
data_dir: ${folder}/data
admin: {listen: "127.0.0.1:${ports.admin}"}
inputs:
  load: {type: forward, listen: ["tcp://127.0.0.1:${ports.forward}", "unix://${folder}/fluent.sock"]}
routes:
  all: {match: "**", to: [search]}
outputs:
  search:
    type: opensearch
    endpoints: ["http://127.0.0.1:${ports.search}"]
    index: crash
    flush_interval: 100ms
    retry: {base: 20ms, cap: 200ms}
`
}

t.test(`Q90 no acked record is lost or doubled over ${KILLS} SIGKILLs`, async (t) => {
  t.comment(`seed ${SEED}`)
  const folder = shortDir(t)
  const documents = new VisibleDocuments(random, {
    refused: 0.02,
    answerLost: 0.02,
    itemRefused: 0.002,
    delayMsMax: 30
  })
  const ports = {
    forward: await freePort(),
    admin: await freePort(),
    search: await documents.listen()
  }
  t.teardown(() => documents.close())
  const config = configText(folder, ports)
  const setup = { folder, config, adminPort: ports.admin, program: buildProgram(t) }
  const ledger = new Ledger(`crash-${SEED}`)
  const tcp = { host: '127.0.0.1', port: ports.forward }
  const sender = (mode: FrameMode, address: typeof tcp | { path: string }, window: number) =>
    new ForwardSender({
      address,
      window,
      pauseMs: 3,
      next: () => ledger.next(mode),
      onAck: (chunk) => ledger.onAck(chunk)
    })
  const senders = [
    sender('packed', tcp, 4),
    sender('message', tcp, 8),
    sender('forward', { path: join(folder, 'fluent.sock') }, 2)
  ]
  for (const each of senders) each.start()
  t.teardown(() => {
    for (const each of senders) each.stop()
  })

  let earlyKills = 0
  const endedByThemselves: string[] = []
  for (let kill = 0; kill < KILLS; kill++) {
    const router = new RouterProcess(setup)
    if (random() < EARLY_SHARE) {
      earlyKills++
      await systemClock.sleep(random() * EARLY_MS_MAX)
    } else {
      const before = ledger.ackedChunks
      await eventually('an ack in this life', LIFE_LIMIT_MS, () => {
        if (router.hasExited) throw new Error(`life ${kill} ended by itself:\n${router.log}`)
        return ledger.ackedChunks > before
      }).catch((cause) => {
        router.child.kill('SIGKILL')
        throw new Error(`${cause}\n${router.log}`)
      })
      await systemClock.sleep(random() * UNDER_LOAD_MS_MAX)
    }
    if ((await router.kill()) !== 'SIGKILL') endedByThemselves.push(router.log)
  }
  for (const each of senders) each.stop()
  const resent = senders.reduce((sum, each) => sum + each.resentChunks, 0)
  t.comment(
    `${ledger.sent} sent, ${ledger.acked.length} acked, ${resent} chunks resent, ` +
      `${earlyKills} kills during start, ${documents.conflicts} answered 409`
  )
  t.same(endedByThemselves, [], 'every life ended by its SIGKILL')
  t.ok(ledger.ackedChunks >= KILLS - earlyKills, 'every life under load acked something')
  t.ok(resent > 0, 'chunks were sent again after kills')

  const last = await startRouter(t, setup)
  await eventually('the backlog is visible without new input', DRAIN_LIMIT_MS, () => {
    return missing(ledger.acked, documents).length === 0
  }).catch(() => undefined)
  t.same(missing(ledger.acked, documents).slice(0, 20), [], 'no acked record is lost')

  ledger.isOpen = false
  for (const each of senders) each.start()
  await eventually('the rest is acked', DRAIN_LIMIT_MS, () => {
    return senders.every((each) => each.unackedChunks === 0)
  })
  await eventually('the rest is visible', DRAIN_LIMIT_MS, () => documents.count >= ledger.sent)
  const all = Array.from({ length: ledger.sent }, (_, seq) => seq)
  t.same(missing(all, documents).slice(0, 20), [], 'no record that was sent until acked is lost')
  t.same(documents.doubled().slice(0, 20), [], 'no record is visible twice')
  t.equal(await last.stop(), 0, 'the last life stops cleanly')
})
