import { createHash } from 'node:crypto'
import {
  appendFileSync,
  chmodSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync
} from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { ExportDecoder, type ExportItem } from '../../src/storage/inspect/export-stream.ts'
import { command } from '../support/command-line.ts'
import { damageFrame, STORED_RECORDS, writeStoredQueue } from '../support/stored-queue.ts'

const SHARD = 'routes/web/shard-00'
const LAST = '00000000000000000008-1795161600.seg'

async function stored(t: Test, change?: typeof damageFrame): Promise<string> {
  const dataDir = join(t.testdir(), 'data')
  await writeStoredQueue(dataDir, change)
  return dataDir
}

/** Every name with rights, size, times and contents; reading leaves no trace but access times. */
function imageOf(dataDir: string): string[] {
  return readdirSync(dataDir, { recursive: true, withFileTypes: true })
    .map((entry) => join(entry.parentPath, entry.name))
    .toSorted()
    .concat(dataDir)
    .map((path) => {
      const { ctimeNs, mode, mtimeNs, size } = lstatSync(path, { bigint: true })
      const isFile = lstatSync(path).isFile()
      const hash = isFile ? createHash('sha256').update(readFileSync(path)).digest('hex') : ''
      return [path, mode, size, mtimeNs, ctimeNs, hash].join(' ')
    })
}

const READS = [
  'queue ls',
  'queue ls --json',
  'queue show web',
  'queue show web --json',
  'queue verify',
  'queue verify --deep --json',
  'queue dump web',
  'queue reconcile',
  'queue reconcile --json',
  'queue export web --out -',
  'queue export web --retained --out -',
  'queue cursor get web search'
]

const run = (line: string, dataDir: string) =>
  command([...line.split(' '), '--data-dir', dataDir], { workingDirectory: '/' })

/** Ways in which a directory can be broken. */
const BREAKS: Record<string, (dataDir: string) => void> = {
  'nothing is wrong': () => undefined,
  'META is gone': (dataDir) => rmSync(join(dataDir, 'META')),
  'META.bak is gone': (dataDir) => rmSync(join(dataDir, 'META.bak')),
  'both are gone': (dataDir) => {
    rmSync(join(dataDir, 'META'))
    rmSync(join(dataDir, 'META.bak'))
  },
  'the cursors are gone': (dataDir) => {
    rmSync(join(dataDir, SHARD, 'search.cur'))
    rmSync(join(dataDir, SHARD, 'archive.cur'))
  },
  'a cursor is nonsense': (dataDir) => writeFileSync(join(dataDir, SHARD, 'search.cur'), 'x'),
  'the end is torn': (dataDir) => appendFileSync(join(dataDir, SHARD, LAST), Buffer.alloc(99, 7)),
  'a file is foreign': (dataDir) => writeFileSync(join(dataDir, SHARD, 'core.1234'), 'mine'),
  'a directory is foreign': (dataDir) => mkdirSync(join(dataDir, 'routes/lost+found')),
  'a segment is gone': (dataDir) =>
    rmSync(join(dataDir, SHARD, '00000000000000000004-1795161600.seg'))
}

t.test('Q02 Q10 Q12 no command changes anything, whatever is broken', async (t) => {
  for (const [what, change] of Object.entries(BREAKS)) {
    const dataDir = join(t.testdir(), what.replaceAll(' ', '-'))
    await writeStoredQueue(dataDir, damageFrame)
    change(dataDir)
    const before = imageOf(dataDir)
    for (const line of READS) {
      const { error, exitCode } = await run(line, dataDir)
      t.ok([0, 1, 64, 74].includes(exitCode), `${what}: ${line}: ${exitCode} ${error}`)
    }
    t.same(imageOf(dataDir), before, what)
  }
})

const isRoot = process.geteuid?.() === 0

t.test(
  'a directory that may only be read is enough',
  { skip: !isRoot && 'not root' },
  async (t) => {
    const dataDir = await stored(t)
    const wanted = await Promise.all(READS.map((line) => run(line, dataDir)))
    const paths = readdirSync(dataDir, { recursive: true, withFileTypes: true })
    for (const entry of paths) {
      chmodSync(join(entry.parentPath, entry.name), entry.isDirectory() ? 0o555 : 0o444)
    }
    chmodSync(dataDir, 0o555)
    // Nobody owns nothing here, so that rights count.
    process.seteuid?.(65_534)
    try {
      for (const [index, line] of READS.entries()) {
        const { exitCode, out } = await run(line, dataDir)
        t.equal(exitCode, wanted[index]?.exitCode, line)
        if (!line.includes('export') && !line.includes('show'))
          t.equal(out, wanted[index]?.out, line)
      }
    } finally {
      process.seteuid?.(0)
    }
  }
)

t.test(
  'Q12 without META names and sizes are shown, and what cannot be known is refused',
  async (t) => {
    const dataDir = await stored(t)
    BREAKS['both are gone']?.(dataDir)
    const show = await run('queue show web', dataDir)
    t.equal(show.exitCode, 0)
    t.match(show.out, /00000000000000000004-1795161600\.seg/)
    t.match(show.out, /search .* cannot be read/)
    t.match(show.error, /META is missing/)
    const verify = await run('queue verify', dataDir)
    t.equal(verify.exitCode, 1)
    t.match(verify.out, /DAMAGE {2}meta.*META is missing\nDAMAGE {2}meta.*META\.bak is missing/)
    for (const line of ['queue dump web', 'queue reconcile', 'queue export web --out -']) {
      const { error, exitCode } = await run(line, dataDir)
      t.equal(exitCode, 74, line)
      t.match(error, /MR_STORE_META.*Restore META/, line)
    }
  }
)

t.test('one lost copy of META is damage that costs no record', async (t) => {
  const dataDir = await stored(t)
  BREAKS['META is gone']?.(dataDir)
  const { exitCode, out } = await run('queue verify --deep', dataDir)
  t.equal(exitCode, 1)
  t.match(out, /DAMAGE {2}meta {2}: META is missing\n.*0 records cannot be read/)
  t.equal((await run('queue dump web', dataDir)).out.trim().split('\n').length, STORED_RECORDS)
})

t.test('dump takes offsets, times, a limit and a shard', async (t) => {
  const dataDir = await stored(t)
  const offsets = async (words: string) => {
    const { out } = await run(`queue dump web ${words}`.trim(), dataDir)
    return out
      .split('\n')
      .slice(0, -1)
      .map((line) => JSON.parse(line).offset)
  }
  t.equal((await offsets('')).length, STORED_RECORDS)
  t.same(await offsets('--from 3 --to 7'), [3, 4, 5, 6])
  t.same(await offsets('--from 10'), [10, 11])
  t.same(await offsets('--to 2'), [0, 1])
  t.same(await offsets('--from 5 --limit 2'), [5, 6])
  t.same(await offsets('--from 2026-11-20T08:00:04Z --to 2026-11-20T08:00:08Z'), [4, 5, 6, 7])
  t.same(await offsets('--from 2027-01-01'), [])
  t.same(await offsets('--from newest'), [])
  t.same(await offsets('--shard 0 --limit 1'), [0])
  t.equal((await run('queue dump web --shard 1', dataDir)).exitCode, 64)
  t.equal((await run('queue dump none', dataDir)).exitCode, 64)
  t.match((await run('queue dump none', dataDir)).error, /no queue "none"; it has: web/)
  t.equal((await run('queue dump web --from nonsense', dataDir)).exitCode, 64)
})

function decode(text: string): ExportItem[] {
  const decoder = new ExportDecoder()
  const items = [...decoder.push(Buffer.from(text))]
  decoder.finish()
  return items
}

/** Offsets of runs. */
function runsOf(items: readonly ExportItem[]): number[][] {
  return items.flatMap((item) =>
    item.kind === 'run' ? [[item.firstOffset, item.firstOffset + item.recordCount]] : []
  )
}

t.test(
  'export writes what an output, any output or nobody has finished, and its holes',
  async (t) => {
    const dataDir = await stored(t)
    const exported = async (words: string, from = dataDir) =>
      decode((await run(`queue export web --out - ${words}`.trim(), from)).out)
    t.same(runsOf(await exported('--destination search')), [
      [9, 10],
      [10, 12]
    ])
    t.same(runsOf(await exported('--destination archive')), [
      [4, 6],
      [8, 10],
      [10, 12]
    ])
    t.same(runsOf(await exported('')), runsOf(await exported('--destination archive')))
    const retained = await exported('--retained')
    t.match(retained[0], { kind: 'header', log: 'routes/web', records: 'retained' })
    t.match(retained.at(-1), { kind: 'end', recordCount: STORED_RECORDS, lostCount: 0 })
    t.same(runsOf(await exported('--retained --from 1 --to 4')), [
      [1, 2],
      [2, 4]
    ])
    const broken = join(dataDir, '../broken')
    await writeStoredQueue(broken, damageFrame)
    const items = await exported('', broken)
    t.match(
      items.find(({ kind }) => kind === 'hole'),
      { firstOffset: 4, recordCount: 2, reason: 'corrupt' }
    )
    t.match(items.at(-1), { recordCount: 4, lostCount: 2 })
  }
)

t.test('export makes a new file of its own, or none', async (t) => {
  const dataDir = await stored(t)
  const file = join(dataDir, '../web.export')
  const done = await run(`queue export web --out ${file}`, dataDir)
  t.same(done, { exitCode: 0, out: '', error: '6 records exported\n' })
  t.equal(lstatSync(file).mode & 0o777, 0o600)
  t.equal(decode(readFileSync(file, 'utf8')).length, 5)
  const again = await run(`queue export web --out ${file}`, dataDir)
  t.equal(again.exitCode, 74, 'no file is overwritten')
  t.match(again.error, /cannot be made: EEXIST/)
  const failed = await run(`queue export web --out ${file}.2 --destination none`, dataDir)
  t.equal(failed.exitCode, 64)
  t.match(failed.error, /no destination "none": archive, search/)
  t.throws(() => lstatSync(`${file}.2`), { code: 'ENOENT' }, 'nothing is left of a failure')
  const both = await run(`queue export web --out - --retained --destination search`, dataDir)
  t.equal(both.exitCode, 64)
})

t.test('reconcile fails when the counts of a cursor are not those of its ranges', async (t) => {
  const dataDir = await stored(t)
  t.equal((await run('queue reconcile', dataDir)).exitCode, 0)
  writeFileSync(join(dataDir, SHARD, 'search.cur'), 'x')
  const { error, exitCode, out } = await run('queue reconcile', dataDir)
  t.equal(exitCode, 1)
  t.match(out, /search .* NO\n$/)
  t.match(error, /routes\/web shard 00 search: the cursor cannot be read/)
})

t.test('a missing segment is pending until it is passed, and known to be unreadable', async (t) => {
  const dataDir = await stored(t)
  rmSync(join(dataDir, SHARD, '00000000000000000000-1795161600.seg'))
  writeFileSync(join(dataDir, SHARD, 'archive.cur'), 'x')
  const { out } = await run('queue reconcile --json', dataDir)
  t.match(JSON.parse(out), [
    { appended: 8 },
    { appended: 12, pending: 3, unreadable: 0, fault: null }
  ])
})

const configOf = (durability: string) => `version: 1
inputs: {in: {type: forward, listen: "tcp://127.0.0.1:1"}}
routes: {web: {match: "**", durability: ${durability}, to: [search]}}
outputs: {search: {type: "null"}}
`

t.test(
  'Q20 what a power cut took is judged by the policy of the route, a guess is named',
  async (t) => {
    const dataDir = await stored(t)
    const file = join(dataDir, SHARD, LAST)
    // The log ends at 8, and `search` has finished 9.
    writeFileSync(file, readFileSync(file).subarray(0, 64))
    const verdictOf = async (more: string) => {
      const { error, exitCode, out } = await run(`queue verify --json${more}`, dataDir)
      t.equal(exitCode, 1)
      const lines = out.trimEnd().split('\n')
      const [finding, verdict] = lines.map((line) => JSON.parse(line))
      return { error, kind: finding.kind, policy: verdict.durability['routes/web'] }
    }
    const guessed = await verdictOf('')
    t.match(guessed, { kind: 'records', policy: { durability: 'sync', isAssumed: true } })
    t.match(guessed.error, /^note: routes\/web: judged as under durability: sync, which is assumed/)
    for (const [durability, kind] of [
      ['sync', 'records'],
      ['interval', 'unsynced'],
      ['os', 'unsynced']
    ] as const) {
      const config = join(t.testdirName, `${durability}.yaml`)
      writeFileSync(config, configOf(durability))
      const told = await verdictOf(` -c ${config}`)
      t.same(told, { error: '', kind, policy: { durability, isAssumed: false } })
      const show = await run(`queue show web --json -c ${config}`, dataDir)
      t.match(JSON.parse(show.out), [{ durability: { durability, isAssumed: false } }])
    }
  }
)

t.test(
  'the cursor of a removed destination is shown as archived and waits for nothing',
  async (t) => {
    const dataDir = await stored(t)
    const archived = 'search.cur.removed-20261120T081500Z'
    renameSync(join(dataDir, SHARD, 'search.cur'), join(dataDir, SHARD, archived))
    const show = await run('queue show web', dataDir)
    t.match(
      show.out,
      /\n {2}ARCHIVED +BEGAN .*\n {2}search +0 +9 +0 +2026-11-20T08:15:00 +delivered 7/
    )
    t.notMatch(show.out, /not a file of the queue/)
    const [shard] = JSON.parse((await run('queue show web --json', dataDir)).out)
    t.match(shard.archived, [{ output: 'search', file: archived, low: 9 }])
    t.match(shard.cursors, [{ output: 'archive' }])
    const accounts = JSON.parse((await run('queue reconcile --json', dataDir)).out)
    t.match(accounts, [
      { destination: 'archive', removedMs: null, appended: 12, pending: 6, fault: null },
      {
        destination: 'search',
        removedMs: Date.UTC(2026, 10, 20, 8, 15),
        ...{ appended: 9, delivered: 7, duplicateSuppressed: 1, deadLettered: 1, pending: 0 },
        fault: null
      }
    ])
    const text = (await run('queue reconcile', dataDir)).out
    t.match(text, /search, archived 2026-11-20T08:15:00 +9 +7 /)
    writeFileSync(join(dataDir, SHARD, archived), 'x')
    const { exitCode, error } = await run('queue reconcile', dataDir)
    t.equal(exitCode, 1)
    t.match(error, /shard 00 search: the cursor cannot be read/)
  }
)
