import {
  chmodSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  writeFileSync
} from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { compileTemplate } from '../../../src/core/template.ts'
import {
  batchesOf,
  batchOf,
  never,
  renderArea,
  renderContext,
  TEST_CONSTANTS
} from '../../../test/support/output-batches.ts'
import { renderInPool } from '../../../test/support/pool-render.ts'
import { FileOutput, OPEN_FILES_MAX } from './client.ts'
import { relativePath, splitPath } from './path.ts'
import createRender from './render.ts'

const STORED = { kind: 'all', verdict: { kind: 'stored' } }

async function started(test: {
  teardown(handler: () => Promise<void>): void
}): Promise<FileOutput> {
  const output = new FileOutput({ fileMode: 0o640 })
  await output.start()
  test.teardown(() => output.stop())
  return output
}

t.test('one line per record, time and tag in front, a file per tag and day', async (t) => {
  const output = await started(t)
  const folder = t.testdir()
  const path = `${folder}/logs/\${tag}.\${time:%Y-%m-%d}.ndjson`
  const half = createRender({ path }, renderContext)
  const { batches } = renderInPool(half, [
    { tag: 'web', seconds: 1_763_683_199, nanoseconds: 1, record: { log: 'one' } },
    { tag: 'db', seconds: 1_763_683_199, record: { log: 'two', tag: 'mine', time: 'then' } },
    { tag: 'web', seconds: 1_763_683_200, record: { log: 'three' } }
  ])
  for (const batch of batches) t.strictSame(await output.flush(batch, never), STORED)
  t.strictSame(readdirSync(join(folder, 'logs')).sort(), [
    'db.2025-11-20.ndjson',
    'web.2025-11-20.ndjson',
    'web.2025-11-21.ndjson'
  ])
  const read = (name: string) => readFileSync(join(folder, 'logs', name), 'utf8')
  t.equal(
    read('web.2025-11-20.ndjson'),
    '{"time":"2025-11-20T23:59:59.000000001Z","tag":"web","log":"one"}\n'
  )
  const both = JSON.parse(read('db.2025-11-20.ndjson'))
  t.match(both, { time: '2025-11-20T23:59:59.000000000Z', tag: 'db', log: 'two' })
  t.ok(Object.values(both).includes('then'), 'a field of the record named like ours is kept')
  t.equal(statSync(join(folder, 'logs', 'db.2025-11-20.ndjson')).mode & 0o777, 0o640)
})

t.test('what comes from records stays below the literal directory', (t) => {
  const split = (path: string) => splitPath(compileTemplate(path, TEST_CONSTANTS))
  t.equal(split('${data_dir}/logs/${tag}.ndjson').directory, '/data/logs/')
  t.equal(split('/var/log/app-${tag}/x').directory, '/var/log/')
  t.equal(split('${tag}').directory, '')
  const { rest } = split('/logs/${record.a}/${tag}.log')
  t.strictSame(
    rest.parts.map((part) => (part.kind === 'text' ? part.text : part.kind)),
    ['record', '\u0000', 'tag', '.log'],
    'slashes of the operator are marked'
  )
  t.equal(relativePath('a/b\u0000c.log'), 'a_b/c.log')
  t.equal(relativePath('../../etc/passwd'), '_.._etc_passwd')
  t.equal(relativePath('..\u0000..\u0000x'), '_/_/x')
  t.equal(relativePath('.ssh\u0000.'), 'ssh/_')
  t.equal(relativePath(''), '_')
  t.equal(relativePath('ä b\n:"'), '__b___')
  const long = relativePath('x'.repeat(300))
  t.equal(long.length, 217)
  t.not(
    long,
    relativePath(`${'x'.repeat(299)}y`),
    'names that differ behind the cut stay different'
  )
  t.end()
})

t.test('names that come out equal share a file and a body', (t) => {
  const area = renderArea([
    { target: 'a:b', text: '1\n' },
    { target: 'c', text: '2\n' },
    { target: 'a;b', text: '3\n' }
  ])
  const finished = createRender({ path: '/logs/${tag}' }, renderContext).finish(area)
  t.strictSame(
    batchesOf(area, finished).map(({ target, body, rowCount }) => [target, String(body), rowCount]),
    [
      ['/logs/a_b', '1\n3\n', 2],
      ['/logs/c', '2\n', 1]
    ]
  )
  t.end()
})

t.test('bodies are appended, and a file that was moved away is opened anew', async (t) => {
  const output = await started(t)
  const target = join(t.testdir(), 'a.ndjson')
  await output.flush(batchOf(['1\n'], { target }), never)
  await output.flush(batchOf(['2\n'], { target }), never)
  t.equal(readFileSync(target, 'utf8'), '1\n2\n')
  renameSync(target, `${target}.1`)
  await output.flush(batchOf(['3\n'], { target }), never)
  t.equal(readFileSync(target, 'utf8'), '3\n')
  t.equal(readFileSync(`${target}.1`, 'utf8'), '1\n2\n')
})

t.test('a line that a crash left unfinished does not swallow the next', async (t) => {
  const target = join(t.testdir(), 'a.ndjson')
  writeFileSync(target, '{"whole":1}\n{"torn":')
  const output = await started(t)
  t.strictSame(await output.flush(batchOf(['{"next":1}\n'], { target }), never), STORED)
  t.equal(readFileSync(target, 'utf8'), '{"whole":1}\n{"torn":\n{"next":1}\n')
})

t.test('at most 64 files are open', async (t) => {
  const output = await started(t)
  const folder = t.testdir()
  for (let n = 0; n < OPEN_FILES_MAX + 20; n++) {
    await output.flush(batchOf([`${n}\n`], { target: join(folder, `${n}`) }), never)
    t.ok(output.openFileCount <= OPEN_FILES_MAX)
  }
  await output.flush(batchOf(['again\n'], { target: join(folder, '0') }), never)
  t.equal(readFileSync(join(folder, '0'), 'utf8'), '0\nagain\n')
  await output.stop()
  t.equal(output.openFileCount, 0)
})

t.test('two routes may share a file: whole bodies, one after another', async (t) => {
  const output = await started(t)
  const target = join(t.testdir(), 'a.ndjson')
  const bodies = Array.from({ length: 40 }, (_, n) => `${String(n).repeat(5000)}\n`)
  await Promise.all(bodies.map((body) => output.flush(batchOf([body], { target }), never)))
  const lines = readFileSync(target, 'utf8').trimEnd().split('\n')
  t.strictSame(
    lines,
    bodies.map((body) => body.trimEnd())
  )
})

t.test('a file that cannot be written is tried again', async (t) => {
  const folder = t.testdir({ file: 'not a directory' })
  const output = await started(t)
  const below = batchOf(['1\n'], { target: join(folder, 'file', 'x') })
  t.match(await output.flush(below, never), {
    kind: 'all',
    verdict: { kind: 'retry', reason: /^(enotdir|eexist)$/ }
  })
  mkdirSync(join(folder, 'directory'))
  const directory = batchOf(['1\n'], { target: join(folder, 'directory') })
  t.match(await output.flush(directory, never), { verdict: { kind: 'retry', reason: 'eisdir' } })
  const long = batchOf(['1\n'], { target: join(folder, 'x'.repeat(5000)) })
  t.match(await output.flush(long, never), { verdict: { kind: 'refuse', reason: 'path_too_long' } })
})

t.test('a directory without permission is tried again', async (t) => {
  const folder = t.testdir({ locked: {} })
  chmodSync(join(folder, 'locked'), 0o500)
  // Root may write anywhere; nobody may not.
  const isRoot = process.geteuid?.() === 0
  if (isRoot) process.seteuid?.(65_534)
  t.teardown(() => isRoot && process.seteuid?.(0))
  const output = await started(t)
  const batch = batchOf(['1\n'], { target: join(folder, 'locked', 'x') })
  t.match(await output.flush(batch, never), { verdict: { kind: 'retry', reason: 'eacces' } })
  if (isRoot) process.seteuid?.(0)
  chmodSync(join(folder, 'locked'), 0o700)
  t.strictSame(await output.flush(batch, never), STORED)
})
