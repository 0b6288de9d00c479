// A whole server whose queue is compressed and encrypted: nothing readable on the disk, rotation, missing and wrong keys,
// formats that it does not know, a lost META.

import { createHash } from 'node:crypto'
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import type { CursorStatus, QueuesStatus } from '../../src/admin/status.ts'
import { logIdOf } from '../../src/core/position.ts'
import { decodeMeta } from '../../src/storage/meta.ts'
import { parseSegmentName, segmentSalt } from '../../src/storage/segment-names.ts'
import { command } from '../support/command-line.ts'
import { eventually } from '../support/eventually.ts'
import { FakeOpenSearch } from '../support/fake-opensearch.ts'
import { freePort } from '../support/free-port.ts'
import { RouterProcess, startRouter } from '../support/router-process.ts'
import { xxh64 } from '../support/xxh64.ts'

const LIMIT_MS = 30_000
const EXIT_IO = 74
const SECRET = 'correct horse battery staple'
const KEY_ONE = Buffer.alloc(32, 1).toString('base64')
const KEY_TWO = Buffer.alloc(32, 2).toString('hex')

t.setTimeout(180_000)

async function setUp(t: Test, route = '') {
  const search = await new FakeOpenSearch().start()
  t.teardown(() => search.stop())
  const http = await freePort()
  const adminPort = await freePort()
  const folder = t.testdir()
  const config = (encryption: string) => `
version: 1
data_dir: ./data
drain_timeout: 50ms
admin: {listen: "127.0.0.1:${adminPort}"}
queue: {${encryption}}
inputs:
  web: {type: http, listen: "tcp://127.0.0.1:${http}"}
routes:
  app: {match: "app.**", compression: zstd, ${route} to: [search]}
outputs:
  search: {type: opensearch, endpoints: ["${search.url}"], index: logs, retry: {base: 20ms, cap: 100ms}}
`
  const post = async (tag: string, numbers: readonly number[]) => {
    const answer = await fetch(`http://127.0.0.1:${http}/${tag}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(numbers.map((n) => ({ log: `${SECRET} ${SECRET} ${n}`, n })))
    })
    t.equal(answer.status, 200)
  }
  const start = (encryption: string, ...args: string[]) =>
    startRouter(t, { folder, config: config(encryption), adminPort, args })
  /** Exit code of a start that is refused. */
  const refusal = (encryption: string) =>
    new RouterProcess({ folder, config: config(encryption), adminPort }).exit
  return { search, post, start, refusal, data: join(folder, 'data') }
}

function filesBelow(directory: string): string[] {
  return readdirSync(directory, { recursive: true, encoding: 'utf8' })
    .map((name) => join(directory, name))
    .filter((file) => statSync(file).isFile())
    .toSorted()
}

/** Names and contents; the lock names its last holder, which is no part of the queue. */
function treeHash(directory: string): string {
  const tree = createHash('sha256')
  for (const file of filesBelow(directory)) {
    if (!file.endsWith('/LOCK')) tree.update(file).update('\0').update(readFileSync(file))
  }
  return tree.digest('hex')
}

const readable = (directory: string) =>
  filesBelow(directory).filter((file) => readFileSync(file).includes('battery'))

async function cursorOf(router: RouterProcess): Promise<CursorStatus> {
  const { cursors } = (await (
    await fetch(`${router.adminUrl}/api/v1/queues`)
  ).json()) as QueuesStatus
  return cursors[0]!
}

const counted = (router: RouterProcess, wanted: Partial<CursorStatus>) =>
  eventually(JSON.stringify(wanted), LIMIT_MS, async () => {
    const status = await cursorOf(router)
    return Object.entries(wanted).every(
      ([key, value]) => status[key as keyof CursorStatus] === value
    )
      ? status
      : null
  })

const down = { kind: 'status' as const, status: 503 }
const numbersIn = (search: FakeOpenSearch) =>
  search.documents
    .map(({ source }) => Number((JSON.parse(source) as { n: number }).n))
    .sort((a, b) => a - b)

t.test(
  'Q51 an encrypted queue: nothing readable on the disk, both generations drain',
  async (t) => {
    const { data, post, search, start } = await setUp(t)
    search.plan(...Array.from({ length: 5000 }, () => down))
    let router = await start(`encryption: {key: "${KEY_ONE}", id: 1}`)
    await post('app.a', [1, 2, 3, 4, 5, 6])
    await post('other', [100])
    await router.kill()
    t.same(readable(data), [], 'queue, unmatched')

    router = await start(
      `encryption: {key: "${KEY_TWO}", id: 2, old: [{id: 1, key: "${KEY_ONE}"}]}`
    )
    await post('app.a', [7, 8])
    search.reset()
    search.itemFaults({
      status: 400,
      type: 'mapper_parsing_exception',
      reason: 'no',
      contains: ' 8"'
    })
    t.match(await counted(router, { appended: 8, pending: 0 }), {
      delivered: 7,
      deadLettered: 1,
      lost: {}
    })
    t.same(readable(data), [], 'dead letters')
    search.itemFaults()
    const words = ['dlq', 'replay', 'out.search', '--json', '--admin', router.adminUrl]
    t.match(JSON.parse((await command(words)).out), { matched: 1, stored: 1, failed: 0 })
    t.same(numbersIn(search), [1, 2, 3, 4, 5, 6, 7, 8])
    t.equal(await router.stop(), 0)
  }
)

t.test('Q51 replays of an encrypted queue leave nothing readable on the disk', async (t) => {
  const { data, post, search, start } = await setUp(t, 'keep: 1h,')
  const encryption = `encryption: {key: "${KEY_ONE}", id: 1}`
  const refused = { status: 400, type: 'mapper_parsing_exception', reason: 'no' }
  search.itemFaults({ ...refused, contains: ' 8"' })
  let router = await start(encryption)
  await post('app.a', [1, 2, 3, 4, 5, 6, 7, 8])
  await counted(router, { delivered: 7, deadLettered: 1 })
  search.itemFaults()
  const run = async (...words: string[]) => {
    const { error, out } = await command([...words, '--json', '--admin', router.adminUrl])
    if (out === '') throw new Error(error)
    return JSON.parse(out) as { id: number }
  }
  const spool = () => filesBelow(data).filter((file) => file.includes('/spool/'))
  const hang = () => search.plan(...Array.from({ length: 100 }, () => ({ kind: 'hang' as const })))
  const letters = ['dlq', 'replay', 'out.search']
  const records = ['queue', 'replay', 'app', 'search', '--from', 'oldest']
  /** A replay whose request is on its way. */
  const underWay = async (words: readonly string[]) => {
    search.reset()
    hang()
    const { id } = await run(...words, '--detach')
    await eventually('a request is there', LIMIT_MS, () => search.requests.length > 0)
    return id
  }

  const first = await underWay(letters)
  t.ok(
    spool().some((file) => statSync(file).size > SECRET.length),
    'a file to read from'
  )
  t.same(readable(data), [], 'while dead letters are replayed')
  t.match(await run('jobs', 'stop', String(first)), { state: 'stopped', stored: 0 })
  t.same(spool(), [])

  await underWay(letters)
  await router.kill()
  t.ok(spool().length > 0, 'a kill leaves the file')
  t.same(readable(data), [], 'and nothing readable in it')
  search.reset()
  router = await start(encryption)
  t.same(spool(), [], 'which the next start removes')

  const second = await underWay(records)
  t.same(readable(data), [], 'while records are replayed')
  t.match(await run('jobs', 'stop', String(second)), { state: 'stopped', stored: 0 })
  search.reset()
  t.match(await run(...letters), { matched: 1, stored: 1, failed: 0 })
  t.match(await run(...records), { matched: 8, stored: 8, duplicates: 1, failed: 0 })
  t.same(numbersIn(search), [1, 2, 3, 4, 5, 6, 7, 8])
  t.same([spool(), readable(data)], [[], []], 'when all is done')
  t.equal(await router.stop(), 0)
  t.same(readable(data), [])
})

t.test(
  'Q51 a missing or wrong key: refused, the tree unchanged; --skip-locked loses nothing',
  async (t) => {
    const { data, post, refusal, search, start } = await setUp(t)
    search.plan(...Array.from({ length: 5000 }, () => down))
    let router = await start(`encryption: {key: "${KEY_ONE}", id: 1}`)
    await post('app.a', [1, 2, 3, 4])
    await router.stop()
    const before = treeHash(data)
    t.equal(await refusal(''), EXIT_IO, 'no key')
    t.equal(await refusal(`encryption: {key: "${KEY_TWO}", id: 2}`), EXIT_IO, 'another key')
    t.equal(await refusal(`encryption: {key: "${KEY_TWO}", id: 1}`), EXIT_IO, 'a wrong key')
    t.equal(treeHash(data), before)

    search.reset()
    router = await start(`encryption: {key: "${KEY_TWO}", id: 2}`, '--skip-locked')
    await post('app.a', [5, 6])
    t.match(await counted(router, { delivered: 2 }), {
      appended: 6,
      pending: 4,
      lost: {},
      dropped: {}
    })
    t.same(numbersIn(search), [5, 6])
    t.equal(await router.stop(), 0)

    router = await start(
      `encryption: {key: "${KEY_TWO}", id: 2, old: [{id: 1, key: "${KEY_ONE}"}]}`
    )
    t.match(await counted(router, { delivered: 6 }), { pending: 0, lost: {} })
    t.same(numbersIn(search), [1, 2, 3, 4, 5, 6])
    t.equal(await router.stop(), 0)
  }
)

/** Changes a field of the newest segment's header and puts the right hash over it. */
function changeHeader(data: string, change: (bytes: Buffer) => void): void {
  const path = 'routes/app/shard-00'
  const name = readdirSync(join(data, path))
    .filter((file) => file.endsWith('.seg'))
    .toSorted()
    .at(-1)!
  const meta = decodeMeta(readFileSync(join(data, 'META')), xxh64)!
  const { epoch, firstOffset } = parseSegmentName(name)!
  const salt = segmentSalt(meta.secret, logIdOf(meta.uuid, path), epoch, firstOffset)
  const bytes = readFileSync(join(data, path, name))
  change(bytes)
  bytes.writeBigUInt64LE(xxh64([bytes.subarray(0, 56)], salt), 56)
  writeFileSync(join(data, path, name), bytes)
}

t.test('Q13 a later major or an unknown feature is refused, a later minor is read', async (t) => {
  const { data, post, refusal, search, start } = await setUp(t)
  search.plan(...Array.from({ length: 5000 }, () => down))
  let router = await start('')
  await post('app.a', [1, 2])
  await router.stop()
  for (const [name, change] of [
    ['major 2', (bytes: Buffer) => void bytes.writeUInt8(2, 4)],
    ['a feature', (bytes: Buffer) => void bytes.writeUInt16LE(4, 6)]
  ] as const) {
    const file = filesBelow(data)
      .filter((each) => each.endsWith('.seg'))
      .at(-1)!
    const original = readFileSync(file)
    changeHeader(data, change)
    const before = treeHash(data)
    t.equal(await refusal(''), EXIT_IO, name)
    t.equal(treeHash(data), before, name)
    writeFileSync(file, original)
  }
  changeHeader(data, (bytes) => void bytes.writeUInt8(9, 5))
  search.reset()
  router = await start('')
  t.match(await counted(router, { appended: 2, pending: 0 }), { delivered: 2 })
  t.equal(await router.stop(), 0)
})

t.test(
  'Q12 META destroyed: repaired from its copy; both destroyed: refused, nothing touched',
  async (t) => {
    const { data, post, refusal, search, start } = await setUp(t)
    search.plan(...Array.from({ length: 5000 }, () => down))
    let router = await start('')
    await post('app.a', [1, 2])
    await router.stop()
    const meta = readFileSync(join(data, 'META'))
    for (const name of ['META', 'META.bak']) writeFileSync(join(data, name), Buffer.alloc(56, 0x5a))
    const before = treeHash(data)
    t.equal(await refusal(''), EXIT_IO)
    t.equal(treeHash(data), before)
    writeFileSync(join(data, 'META.bak'), meta)
    search.reset()
    router = await start('')
    t.match(await counted(router, { appended: 2, pending: 0 }), { delivered: 2 })
    t.ok(readFileSync(join(data, 'META')).equals(meta))
    t.equal(await router.stop(), 0)
  }
)
