// L6: the power of a whole machine is cut under acked load: a virtual machine with its own kernel, page cache and ext4, on
// a disk that keeps of unflushed sectors what chance leaves. Senders and the destination are outside and go on. No acked
// record may be missing, none may be visible twice.
//
//   eval "$(test/power/prepare FOLDER)" && npm run test:power
//
// Without a usable KVM, MILLRACE_POWER_ACCELERATOR=tcg emulates the processor: a life then takes half a minute.
// MILLRACE_POWER_CUTS sets how often (5), MILLRACE_POWER_SEED repeats the moments. MILLRACE_POWER_DURABILITY=os shows that
// the disk does lose what was not flushed: acked records are then missing, and the test says how many.

import { join } from 'node:path'
import t from 'tap'
import { systemClock } from '../../src/core/clock.ts'
import { Ledger, missing } from '../crash/ledger.ts'
import { VisibleDocuments } from '../crash/visible-documents.ts'
import { buildProgram } from '../support/built-program.ts'
import { eventually } from '../support/eventually.ts'
import { ForwardSender, type FrameMode } from '../support/forward-sender.ts'
import { freePort } from '../support/free-port.ts'
import { seededRandom } from '../support/seeded-random.ts'
import { shortDir } from '../support/short-dir.ts'
import { Machine } from './machine.ts'
import { buildImages } from './machine-images.ts'
import type { CutReport } from './volatile-disk.ts'

const CUTS = Number(process.env['MILLRACE_POWER_CUTS'] ?? 5)
const SEED = Number(process.env['MILLRACE_POWER_SEED'] ?? Date.now() % 2 ** 31)
const DURABILITY = process.env['MILLRACE_POWER_DURABILITY'] ?? 'sync'
const KERNEL = process.env['MILLRACE_POWER_KERNEL'] ?? ''
/** Share of the lives that end while the machine or the program starts. */
const EARLY_SHARE = 0.15
const EARLY_MS_MAX = 20_000
/** A commit of the queue is a few writes and a flush. */
const WRITES_UNTIL_CUT_MAX = 60
/** An emulated processor beside other work takes minutes to start the program. */
const LIFE_LIMIT_MS = 300_000
const DRAIN_LIMIT_MS = 180_000
/** Where losses are expected, what has not come after so long without a new document is lost. */
const QUIET_MS = 60_000
/** This machine as the virtual one sees it. */
const HOST = '10.0.2.2'
const FORWARD_PORT = 24_224

t.setTimeout(300_000 + CUTS * LIFE_LIMIT_MS)

const configText = (searchPort: number) => `version: 1
data_dir: /data/millrace
admin: {listen: []}
inputs:
  load: {type: forward, listen: ["tcp://0.0.0.0:${FORWARD_PORT}"]}
routes:
  all: {match: "**", to: [search], durability: ${DURABILITY}, max_bytes: 64MiB}
outputs:
  search:
    type: opensearch
    endpoints: ["http://${HOST}:${searchPort}"]
    index: power
    compress: 'off'
    flush_interval: 100ms
    retry: {base: 20ms, cap: 200ms}
`

t.test(`Q17 Q19 no acked record is lost or doubled over ${CUTS} power cuts`, async (t) => {
  t.comment(`seed ${SEED}, durability ${DURABILITY}`)
  if (KERNEL === '') {
    t.fail('MILLRACE_POWER_KERNEL is not set; see test/power/prepare')
    return
  }
  const random = seededRandom(SEED)
  const folder = shortDir(t)
  const documents = new VisibleDocuments(random, {
    refused: 0.02,
    answerLost: 0.02,
    itemRefused: 0.002,
    delayMsMax: 30
  })
  const searchPort = await documents.listen()
  const forwardPort = await freePort()
  const [, main = ''] = buildProgram(t)
  const images = buildImages(folder, {
    kernelFolder: KERNEL,
    program: join(main, '../..'),
    config: configText(searchPort)
  })
  const ports = [{ here: forwardPort, there: FORWARD_PORT }]
  const machine = await Machine.create({ folder, images, ports })
  const ledger = new Ledger(`power-${SEED}`)
  const senders = (['packed', 'message', 'forward'] as const).map(
    (mode: FrameMode, index) =>
      new ForwardSender({
        address: { host: '127.0.0.1', port: forwardPort },
        window: 4 * (index + 1),
        pauseMs: 2,
        next: () => ledger.next(mode),
        onAck: (chunk) => ledger.onAck(chunk)
      })
  )
  t.teardown(() => {
    for (const each of senders) each.stop()
    machine.close()
    documents.close()
  })
  for (const each of senders) each.start()

  let earlyCuts = 0
  let cachedSectors = 0
  let keptSectors = 0
  for (let cut = 0; cut < CUTS; cut++) {
    machine.start()
    let report: CutReport
    if (random() < EARLY_SHARE) {
      earlyCuts++
      await systemClock.sleep(random() * EARLY_MS_MAX)
      report = await machine.cut(random)
    } else {
      const before = ledger.ackedChunks
      await eventually('an ack in this life', LIFE_LIMIT_MS, () => {
        if (!machine.isOn) throw new Error('the machine went off by itself')
        return ledger.ackedChunks > before
      }).catch((cause) => {
        throw new Error(`${cause}\n${machine.console.slice(-4000)}`)
      })
      report = await machine.cutAfterWrites(1 + Math.floor(random() * WRITES_UNTIL_CUT_MAX), random)
    }
    cachedSectors += report.cachedSectors
    keptSectors += report.keptSectors
  }
  for (const each of senders) each.stop()
  t.comment(
    `${ledger.sent} sent, ${ledger.acked.length} acked, ${earlyCuts} cuts during start, ` +
      `${cachedSectors} sectors were not flushed at a cut and ${keptSectors} of them kept, ` +
      `${machine.disk.flushCount} flushes, ${documents.conflicts} answered 409`
  )

  machine.start()
  let lost: readonly number[] = ledger.acked
  let changedMs = performance.now()
  await eventually('the backlog is visible without new input', DRAIN_LIMIT_MS, () => {
    // A program that gives up starting, as it may in a slow emulator, is started again by whoever runs it.
    if (!machine.isOn) machine.start()
    const still = missing(lost, documents)
    if (still.length < lost.length) changedMs = performance.now()
    lost = still
    const isQuiet = DURABILITY !== 'sync' && performance.now() - changedMs > QUIET_MS
    return lost.length === 0 || isQuiet
  }).catch(() => undefined)
  if (DURABILITY === 'sync') t.same(lost.slice(0, 20), [], 'no acked record is lost')
  else t.ok(lost.length > 0, `${lost.length} acked records are lost: the disk forgets`)
  t.same(documents.doubled().slice(0, 20), [], 'no record is visible twice')
  if (lost.length > 0) t.comment(machine.console.slice(-4000))
})
