// SIGKILL at random moments while a writer appends to files and rotates them: every line is in the queue, in the order of its
// file, and as often as it was written. Nothing is delivered, so the queue itself is read at the end.
// MILLRACE_TAIL_KILLS sets how often, MILLRACE_TAIL_SEED repeats the moments of a run.

import fs from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { systemClock } from '../../src/core/clock.ts'
import { command } from '../support/command-line.ts'
import { eventually } from '../support/eventually.ts'
import { freePort } from '../support/free-port.ts'
import { RouterProcess, startRouter } from '../support/router-process.ts'
import { seededRandom } from '../support/seeded-random.ts'

const KILLS = Number(process.env['MILLRACE_TAIL_KILLS'] ?? (process.env['CI'] === 'true' ? 12 : 2))
const SEED = Number(process.env['MILLRACE_TAIL_SEED'] ?? Date.now() % 2 ** 31)
const FILES = 3
const ROTATED_MAX = 30
const LIFE_LIMIT_MS = 30_000
const UNDER_LOAD_MS_MAX = 1200
/** Share of the lives that end while they start. */
const EARLY_SHARE = 0.2
const EARLY_MS_MAX = 1000

t.setTimeout(120_000 + KILLS * 10_000)

const random = seededRandom(SEED)

const configText = (folder: string, adminPort: number, searchPort: number) => `version: 1
data_dir: ${folder}/data
admin: {listen: "127.0.0.1:${adminPort}"}
threads: {ingest: 2}
inputs:
  files: {type: tail, paths: "${folder}/logs/*.log*", tag: "f", refresh_interval: 200ms, rotate_wait: 1s}
routes:
  all: {match: "**", to: [search]}
outputs:
  search: {type: opensearch, endpoints: ["http://127.0.0.1:${searchPort}"], index: never}
`

/** Writes numbered lines to files in turn, some of them in two writes, and rotates by renaming. */
class Writer {
  readonly written: string[] = []
  readonly #folder: string
  readonly #handles: number[] = []
  #isRunning = true
  readonly done: Promise<void>

  constructor(folder: string) {
    this.#folder = folder
    for (let file = 0; file < FILES; file++) this.#handles.push(this.#open(file))
    this.done = this.#run()
  }

  async stop(): Promise<void> {
    this.#isRunning = false
    await this.done
    for (const handle of this.#handles.splice(0)) fs.closeSync(handle)
  }

  #open(file: number): number {
    return fs.openSync(this.#nameOf(file, 0), 'a')
  }

  #nameOf(file: number, age: number): string {
    return join(this.#folder, age === 0 ? `f${file}.log` : `f${file}.log.${age}`)
  }

  async #run(): Promise<void> {
    const ages = Array.from({ length: FILES }, () => 0)
    while (this.#isRunning) {
      for (let file = 0; file < FILES; file++) {
        const handle = this.#handles[file] ?? -1
        const count = 1 + Math.floor(random() * 20)
        for (let i = 0; i < count; i++) {
          const line = `${file}.${ages[file]} ${this.written.length} ${'x'.repeat(Math.floor(random() * 200))}`
          const cut = Math.floor(random() * line.length)
          fs.writeSync(handle, line.slice(0, cut))
          fs.writeSync(handle, `${line.slice(cut)}\n`)
          this.written.push(line)
        }
        const age = ages[file] ?? 0
        if (random() < 0.005 && age < ROTATED_MAX) {
          fs.closeSync(handle)
          for (let n = age; n >= 0; n--) {
            fs.renameSync(this.#nameOf(file, n), this.#nameOf(file, n + 1))
          }
          ages[file] = age + 1
          this.#handles[file] = this.#open(file)
        }
      }
      await systemClock.sleep(2)
    }
  }
}

t.test(`every line is stored once and in order over ${KILLS} SIGKILLs`, async (t) => {
  t.comment(`seed ${SEED}`)
  const folder = t.testdir({ logs: {} })
  const adminPort = await freePort()
  const config = configText(folder, adminPort, await freePort())
  const setup = { folder, config, adminPort }
  const writer = new Writer(join(folder, 'logs'))
  t.teardown(() => writer.stop())
  for (let kill = 0; kill < KILLS; kill++) {
    const router = new RouterProcess(setup)
    if (random() < EARLY_SHARE) {
      await systemClock.sleep(random() * EARLY_MS_MAX)
    } else {
      await eventually('lines are stored in this life', LIFE_LIMIT_MS, async () => {
        if (router.hasExited) throw new Error(`life ${kill} ended by itself:\n${router.log}`)
        return (await storedCount(router)) > 0
      })
      await systemClock.sleep(random() * UNDER_LOAD_MS_MAX)
    }
    t.equal(await router.kill(), 'SIGKILL')
  }
  const last = await startRouter(t, setup)
  await writer.stop()
  await eventually('every file is stored to its end', LIFE_LIMIT_MS, () => {
    const { files } = JSON.parse(
      fs.readFileSync(join(folder, 'data/inputs/files/positions'), 'utf8')
    )
    const names = fs.readdirSync(join(folder, 'logs'))
    const sizes = names.map((name) => fs.statSync(join(folder, 'logs', name)).size)
    const positions = files.map(({ position }: { position: number }) => position)
    return sumOf(positions) === sumOf(sizes)
  })
  const recognised = await last.metric('millrace_input_file_recognised_chunks_total')
  t.comment(`${recognised} chunks recognised by the last life`)
  t.equal(await last.stop(), 0)
  const stored = await storedLines(folder)
  const counts = new Map<string, number>()
  for (const line of stored) counts.set(line, (counts.get(line) ?? 0) + 1)
  const doubled = stored.length - counts.size
  t.comment(`${writer.written.length} lines written, ${stored.length} stored, ${doubled} doubled`)
  const missing = writer.written.filter((line) => !counts.has(line))
  t.same(missing.slice(0, 5), [], 'nothing is missing')
  t.equal(counts.size, writer.written.length, 'nothing is stored that was not written')
  const twice = [...counts].flatMap(([line, count]) => (count > 1 ? [line.slice(0, 20)] : []))
  t.same([doubled, ...twice.slice(0, 3), ...twice.slice(-3)], [0], 'nothing is stored twice')
  const storedFiles = byFile(stored)
  for (const [file, lines] of byFile(writer.written)) {
    const wrong = lines.findIndex((line, i) => storedFiles.get(file)?.[i] !== line)
    t.equal(wrong, -1, `lines of file ${file} are in order`)
  }
})

const storedCount = async (router: RouterProcess): Promise<number> =>
  router.metric('millrace_input_received_records_total').catch(() => 0)

const sumOf = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0)

/** Lines by file; a file that is renamed stays the same. */
function byFile(lines: readonly string[]): Map<string, string[]> {
  const files = new Map<string, string[]>()
  for (const line of lines) {
    const file = line.slice(0, line.indexOf(' '))
    const known = files.get(file)
    if (known === undefined) files.set(file, [line])
    else known.push(line)
  }
  return files
}

async function storedLines(folder: string): Promise<string[]> {
  const { out } = await command(['queue', 'dump', 'all', '--data-dir', join(folder, 'data')], {
    workingDirectory: folder
  })
  return out
    .trim()
    .split('\n')
    .map((text) => JSON.parse(text).record.log)
}
