// Memory of what reads a whole log of dead letters: it does not follow the log. MILLRACE_TEST_LETTER_MIB=1024 makes it 1 GiB.

import { spawn } from 'node:child_process'
import { mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { json, setUp } from '../support/letter-router.ts'
import { lettersFrom, openLetterLog } from '../support/stored-letters.ts'

const MIB = 2 ** 20
const LOG_MIB = Number(process.env['MILLRACE_TEST_LETTER_MIB'] ?? 160)
const LETTER_BYTES = 16 * 1024
const LETTERS = (LOG_MIB * MIB) / LETTER_BYTES
/**
 * Measured: 9 MiB of a server and 6 of a command for 160 MiB, 21 and 1 for 1 GiB. What follows the log grows by 160; a
 * buffer for every frame or letter by what the collector leaves lying outside of its heap, 64 MiB and more.
 */
const GROWTH_BYTES_MAX = 64 * MIB
const MAIN = join(import.meta.dirname, '../../src/main.ts')
const REPORT = `process.on('exit', () => process.stderr.write('most ' + process.resourceUsage().maxRSS))`

t.setTimeout(60_000 + LOG_MIB * 600)

async function fill(dataDir: string): Promise<void> {
  mkdirSync(dataDir, { recursive: true })
  const letterLog = openLetterLog(dataDir, { dlqBytesMax: 2 * LOG_MIB * MIB })
  for (let first = 0; first < LETTERS; first += 500) {
    await letterLog.write(lettersFrom(first, Math.min(500, LETTERS - first), LETTER_BYTES - 200))
  }
  await letterLog.close()
}

/** A process of its own whose output is read and thrown away. */
async function readDirectory(dataDir: string, ...words: string[]) {
  const flags = ['--import', `data:text/javascript,${encodeURIComponent(REPORT)}`]
  const child = spawn(process.execPath, [...flags, MAIN, 'dlq', ...words, '--data-dir', dataDir], {
    env: { ...process.env, NODE_OPTIONS: '' },
    stdio: ['ignore', 'pipe', 'pipe']
  })
  let byteCount = 0
  let error = ''
  child.stdout.on('data', (data: Buffer) => {
    byteCount += data.length
  })
  child.stderr.on('data', (data: Buffer) => {
    error += data.toString()
  })
  const exitCode = await new Promise((resolve) => child.once('close', resolve))
  if (exitCode !== 0) throw new Error(`${words.join(' ')}: ${exitCode} ${error}`)
  return { byteCount, mostBytes: Number(/most (\d+)/.exec(error)?.[1]) * 1024 }
}

const mib = (byteCount: number): string => `${(byteCount / MIB).toFixed(1)} MiB`

t.test(`a log of ${LOG_MIB} MiB is read with memory that does not follow it`, async (t) => {
  const { folder, start } = await setUp(t, 'queue: {dlq_bytes: 4GiB}')
  const dataDir = join(folder, 'data')
  await fill(dataDir)

  await t.test('from a directory', async (t) => {
    const few = await readDirectory(dataDir, 'export', 'out.search', '--limit', '1')
    const cases = [
      ['ls', 0],
      ['show out.search --limit 100', 0],
      ['show out.search --where reason=none', 0],
      ['export out.search', LETTERS * LETTER_BYTES],
      ['export out.search --raw', 0.9 * LETTERS * LETTER_BYTES]
    ] as const
    for (const [line, bytesMin] of cases) {
      const { byteCount, mostBytes } = await readDirectory(dataDir, ...line.split(' '))
      const growth = mostBytes - few.mostBytes
      t.ok(growth < GROWTH_BYTES_MAX, `${line}: ${mib(growth)} more than for one letter`)
      t.ok(byteCount >= bytesMin, `${line}: ${mib(byteCount)}`)
    }
  })

  await t.test('of a server', async (t) => {
    // As it is shipped: a bigger young generation grows by its own size first.
    const program = ['--max-semi-space-size=2', MAIN]
    const router = await start('', 'app.**', { program })
    /** The most that it ever had, from its start on. */
    const most = () =>
      Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${router.child.pid}/status`, 'utf8'))?.[1]) *
      1024
    await json(router, 'show', 'out.search', '--limit', '1')
    const before = most()
    const grown = (what: string) => {
      const growth = most() - before
      t.ok(growth < GROWTH_BYTES_MAX, `${what}: ${mib(growth)} more than before`)
    }
    t.match(await json(router, 'ls'), [{ log: 'out.search', records: LETTERS }])
    t.equal((await json(router, 'show', 'out.search', '--limit', '100')).length, 100)
    t.same(await json(router, 'show', 'out.search', '--where', 'reason=none'), [])
    grown('ls and show')
    t.match(await json(router, 'replay', 'out.search', '--dry-run'), {
      matched: LETTERS,
      stored: 0
    })
    grown('replay --dry-run')
    const exported = await fetch(`${router.adminUrl}/api/v1/dlq/out.search/export`)
    let byteCount = 0
    for await (const piece of exported.body ?? []) byteCount += piece.length
    t.ok(byteCount > LETTERS * LETTER_BYTES, mib(byteCount))
    grown('export')
    t.equal(await router.stop(), 0)
  })
})
