// `dlq ls`, `show` and `export` on a directory: of another user, a copy, damaged. They change nothing and say what they
// cannot read.

import { createHash } from 'node:crypto'
import {
  appendFileSync,
  chmodSync,
  cpSync,
  lstatSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync
} from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { command } from '../support/command-line.ts'
import { lettersFrom, openLetterLog } from '../support/stored-letters.ts'

const MIB = 2 ** 20
const SHARD = 'dlq/out.search/shard-00'
const LETTERS = 300
const PADDING = 20_000
/** The first ones were replayed, and every tenth of the next hundred was purged. */
const REPLAYED = 10
const PURGED = 10
const LEFT = LETTERS - REPLAYED - PURGED

async function storeLetters(dataDir: string): Promise<void> {
  const letterLog = openLetterLog(dataDir, { segmentBytesMax: MIB, dlqBytesMax: 64 * MIB })
  for (let first = 0; first < LETTERS; first += 20) {
    await letterLog.write(lettersFrom(first, 20, PADDING))
  }
  for (let offset = 0; offset < REPLAYED; offset++) letterLog.remove(offset, 'delivered')
  for (let offset = 10; offset < 110; offset += 10) letterLog.remove(offset, 'dropped:operator')
  await letterLog.shardLog.settle()
  await letterLog.close()
}

const segmentsOf = (dataDir: string): string[] =>
  readdirSync(join(dataDir, SHARD))
    .filter((name) => name.endsWith('.seg'))
    .toSorted()
    .map((name) => join(dataDir, SHARD, name))

/** Every name with rights, size, times and contents. */
function imageOf(dataDir: string): string[] {
  return readdirSync(dataDir, { recursive: true, encoding: 'utf8' })
    .map((name) => join(dataDir, name))
    .toSorted()
    .concat(dataDir)
    .map((path) => {
      const { ctimeNs, mode, mtimeNs, size } = lstatSync(path, { bigint: true })
      const bytes = lstatSync(path).isFile() ? readFileSync(path) : ''
      const hash = createHash('sha256').update(bytes).digest('hex')
      return [path, mode, size, mtimeNs, ctimeNs, hash].join(' ')
    })
}

const READS = [
  'dlq ls',
  'dlq ls --json',
  'dlq show out.search',
  'dlq show out.search --json --limit 1000',
  'dlq show out.search --where reason=mapping',
  'dlq export out.search',
  'dlq export out.search --raw'
]

const run = (line: string, dataDir: string) =>
  command([...line.split(' '), '--data-dir', dataDir], { workingDirectory: '/' })

/** Numbers of exported letters, and of those that warnings speak of. */
async function exported(dataDir: string) {
  const { error, exitCode, out } = await run('dlq export out.search', dataDir)
  const lines = out.split('\n').slice(0, -1)
  const numbers = lines.map((line) => Number.parseInt(JSON.parse(line).records[0].log, 10))
  const counts = [...error.matchAll(/: (\d+) letters between/g)].map(([, count]) => Number(count))
  return { error, exitCode, numbers, missing: counts.reduce((sum, count) => sum + count, 0) }
}

function flip(file: string): void {
  const bytes = readFileSync(file)
  const at = bytes.length >> 1
  bytes[at] = (bytes[at] ?? 0) ^ 1
  writeFileSync(file, bytes)
}

/** What a directory may look like, and what is said of it; null: nothing. */
const BREAKS: Record<string, readonly [(dataDir: string) => void, RegExp | null]> = {
  'nothing is wrong': [() => undefined, null],
  'a copy of META is gone': [(dataDir) => rmSync(join(dataDir, 'META')), /META is missing/],
  'a bit is flipped': [(dataDir) => flip(segmentsOf(dataDir)[2]!), /cannot be read \(corrupt\)/],
  'a header is zeroed': [
    (dataDir) => writeFileSync(segmentsOf(dataDir)[1]!, Buffer.alloc(65_536), { flag: 'r+' }),
    /cannot be read \(corrupt\)/
  ],
  'a segment is gone': [(dataDir) => rmSync(segmentsOf(dataDir)[2]!), /cannot be read \(corrupt\)/],
  'the oldest segment is gone': [
    (dataDir) => rmSync(segmentsOf(dataDir)[0]!),
    /cannot be read \(corrupt\)/
  ],
  'the end is torn': [
    (dataDir) => appendFileSync(segmentsOf(dataDir).at(-1)!, Buffer.alloc(99, 7)),
    null
  ],
  'a file is foreign': [(dataDir) => writeFileSync(join(dataDir, SHARD, 'core.1'), 'mine'), null]
}

t.test('no command changes anything, and what cannot be read is counted', async (t) => {
  const whole = join(t.testdir(), 'whole')
  await storeLetters(whole)
  t.ok(segmentsOf(whole).length >= 5, `${segmentsOf(whole).length} segments`)
  const original = imageOf(whole)
  for (const [what, [change, said]] of Object.entries(BREAKS)) {
    const dataDir = join(whole, '..', what.replaceAll(' ', '-'))
    cpSync(whole, dataDir, { recursive: true })
    change(dataDir)
    const before = imageOf(dataDir)
    for (const line of READS) {
      const { error, exitCode } = await run(line, dataDir)
      t.equal(exitCode, 0, `${what}: ${line}: ${error}`)
    }
    const { error, missing, numbers } = await exported(dataDir)
    if (said === null) t.equal(error, '', what)
    else t.match(error, said, what)
    const isDamaged = said?.source.includes('corrupt') === true
    t.equal(missing > 0, isDamaged, `${what}: ${missing} letters are missing`)
    t.equal(numbers.length + missing, LEFT, `${what}: none without a word`)
    t.equal(new Set(numbers).size, numbers.length, `${what}: each once`)
    const [listed] = JSON.parse((await run('dlq ls --json', dataDir)).out)
    t.match(listed, { records: LEFT, written: LETTERS, removed: { replayed: REPLAYED } }, what)
    t.same(imageOf(dataDir), before, `${what}: nothing changed`)
  }
  t.same(imageOf(whole), original)
})

t.test('without a cursor every stored letter is there, and that is said', async (t) => {
  const dataDir = join(t.testdir(), 'data')
  await storeLetters(dataDir)
  writeFileSync(join(dataDir, SHARD, 'replayed.cur'), 'nonsense')
  const { error, numbers } = await exported(dataDir)
  t.match(error, /shard-00: what left the log cannot be read: every stored letter/)
  const ls = await run('dlq ls --json', dataDir)
  t.match(ls.error, /what left the log cannot be read/)
  t.match(JSON.parse(ls.out), [{ records: numbers.length, removed: {} }])
  t.ok(numbers.length > LEFT - 1, `${numbers.length} letters`)
})

t.test('without META and its copy the commands refuse, with 74', async (t) => {
  const dataDir = join(t.testdir(), 'data')
  await storeLetters(dataDir)
  for (const name of ['META', 'META.bak']) rmSync(join(dataDir, name))
  const before = imageOf(dataDir)
  for (const line of READS) {
    const { error, exitCode } = await run(line, dataDir)
    t.equal(exitCode, 74, line)
    t.match(error, /MR_STORE_META.*Restore META/)
  }
  t.same(imageOf(dataDir), before)
})

const isRoot = process.geteuid?.() === 0

t.test('rights to read are enough', { skip: !isRoot && 'not root' }, async (t) => {
  const dataDir = join(t.testdir(), 'data')
  await storeLetters(dataDir)
  const wanted = await Promise.all(READS.map((line) => run(line, dataDir)))
  for (const name of readdirSync(dataDir, { recursive: true, encoding: 'utf8' })) {
    const path = join(dataDir, name)
    chmodSync(path, lstatSync(path).isDirectory() ? 0o555 : 0o444)
  }
  chmodSync(dataDir, 0o555)
  const before = imageOf(dataDir)
  // Somebody who owns nothing here, so that rights count.
  process.seteuid?.(65_534)
  try {
    for (const [index, line] of READS.entries()) {
      t.same(await run(line, dataDir), wanted[index], line)
    }
  } finally {
    process.seteuid?.(0)
  }
  t.same(imageOf(dataDir), before)
})
