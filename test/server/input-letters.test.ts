// Letters of inputs, `in.<input>`: bytes that are no record. They are shown, given back byte by byte, and purged.

import { join } from 'node:path'
import t from 'tap'
import type { DeadLetterLogStatus, DeadLetterView } from '../../src/admin/status.ts'
import { refusedBytes } from '../../src/server/letters/scan.ts'
import { command } from '../support/command-line.ts'
import { eventually } from '../support/eventually.ts'
import { dlq, json, LIMIT_MS, setUp } from '../support/letter-router.ts'

const NDJSON = 'application/x-ndjson'
const MSGPACK = 'application/msgpack'
/** Longer than one frame may hold, so that its letter has parts. */
const LONG_BYTES = 5 * 2 ** 20

/** A MessagePack bin with bytes of every value: no record. */
const BINARY = Buffer.from([0xc5, 1, 0, ...Array.from({ length: 256 }, (_, byte) => byte)])
/** `[1, {"log": "A"}]` */
const ENTRY = Buffer.from('920181a36c6f67a141', 'hex')
const LINES = '{"a":\nnothing\n'

t.test('letters of an input: shown, exported as the bytes that came in, purged', async (t) => {
  const { folder, search, start, url } = await setUp(t)
  let router = await start()
  const post = async (tag: string, type: string, body: Uint8Array) => {
    const headers = { 'content-type': type }
    const answer = await fetch(`${url}/${tag}`, {
      method: 'POST',
      headers,
      body: Buffer.from(body)
    })
    if (answer.status !== 200) throw new Error(await answer.text())
  }
  const lists = async (count: number) => {
    const logs = (await json(router, 'ls')) as DeadLetterLogStatus[]
    const log = logs.find((each) => each.log === 'in.web')
    return log?.records === count ? log : null
  }
  await post('app.web', NDJSON, Buffer.from(`{"log":"good"}\n${LINES}{"log":"too"}\n`))
  await post('app.bin', MSGPACK, Buffer.concat([ENTRY, BINARY]))
  await eventually('two letters', LIMIT_MS, () => lists(2))
  await eventually('records beside them', LIMIT_MS, () => search.documents.length === 3)
  await router.kill()

  router = await start()
  const counts = await eventually('they survive a kill', LIMIT_MS, () => lists(2))
  t.match(counts, { written: 2, removed: {}, lost: {} })
  const shown = (await json(router, 'show', 'in.web')) as DeadLetterView[]
  t.same(shown.map(({ tag }) => tag).toSorted(), ['app.bin', 'app.web'])
  const [lines] = (await json(
    router,
    'show',
    'in.web',
    '--where',
    'tag=app.web'
  )) as DeadLetterView[]
  t.match(lines, {
    reason: 'unreadable',
    record: LINES,
    error: /^14 bytes/,
    output: '',
    attempts: 0
  })

  const raw = async (where: string, ...place: string[]) => {
    const words = ['dlq', 'export', 'in.web', '--raw', '--where', where]
    return Buffer.from((await command([...words, ...place])).out, 'latin1')
  }
  const admin = ['--admin', router.adminUrl]
  const directory = ['--data-dir', join(folder, 'data')]
  for (const place of [admin, directory]) {
    t.equal((await raw('tag=app.web', ...place)).toString(), LINES, 'bytes as they came in')
    t.ok((await raw('tag=app.bin', ...place)).equals(BINARY), 'of every value')
  }
  const exported = (await dlq(router, 'export', 'in.web', '--where', 'tag=app.bin')).out
  const entry = Buffer.from(JSON.parse(exported).entries[0].base64, 'base64')
  t.ok(BINARY.equals(refusedBytes(entry)?.bytes ?? Buffer.alloc(0)), 'in JSON too')

  const replay = await dlq(router, 'replay', 'in.web')
  t.match(replay, { exitCode: 64, error: /in\.web/ }, 'they are no records')
  t.match(await json(router, 'purge', 'in.web', '--where', 'tag=app.bin', '--yes'), { removed: 1 })
  const left = await eventually('one is left', LIMIT_MS, () => lists(1))
  t.match(left, { written: 2, removed: { operator: 1 } })
  t.equal((await raw('', ...admin)).toString(), LINES)
  t.match(await json(router, 'purge', 'in.web', '--yes'), { removed: 1 })
  t.same(await json(router, 'ls'), [])
  t.equal((await raw('', ...admin)).length, 0)
  t.equal(await router.stop(), 0)
})

t.test('a body that is longer than a frame comes back whole', async (t) => {
  const { search, start, url } = await setUp(t)
  const router = await start()
  const line = Buffer.from(`{"log": ${'x'.repeat(1000)}\n`)
  const lines = Buffer.concat(Array.from({ length: LONG_BYTES / line.length }, () => line))
  const answer = await fetch(`${url}/app.long`, {
    method: 'POST',
    headers: { 'content-type': NDJSON },
    body: Buffer.concat([Buffer.from('{"log":"good"}\n'), lines])
  })
  t.equal(answer.status, 200, await answer.text())
  await eventually('the record is there', LIMIT_MS, () => search.documents.length === 1)
  const shown = (await json(router, 'show', 'in.web')) as DeadLetterView[]
  t.ok(shown.length > 1, `${shown.length} parts`)
  t.match(shown[0]?.error, new RegExp(`^${lines.length} bytes, part ${shown.length} of`))
  const { out } = await dlq(router, 'export', 'in.web', '--raw')
  t.ok(Buffer.from(out, 'latin1').equals(lines), 'byte by byte')
  t.equal(await router.stop(), 0)
})
