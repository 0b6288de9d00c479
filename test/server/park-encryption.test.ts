// The park of a key on an encrypted store: what is moved there is as unreadable as what it was moved from.

import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { eventually } from '../support/eventually.ts'
import { queuesOf } from '../support/numbered-load.ts'
import { startRouter } from '../support/router-process.ts'
import { searchPlace } from '../support/search-place.ts'

const LIMIT_MS = 60_000
const KEY = Buffer.alloc(32, 1).toString('base64')
const SECRET = 'correct horse battery staple'
const DENIED = {
  status: 403,
  type: 'security_exception',
  reason: 'no permissions for [indices:data/write]',
  contains: '"k":"zebra"'
}

t.setTimeout(180_000)

const filesWith = (directory: string, word: string) =>
  readdirSync(directory, { recursive: true, encoding: 'utf8' })
    .map((name) => join(directory, name))
    .filter((file) => statSync(file).isFile() && readFileSync(file).includes(word))

t.test('Q51 parked records of an encrypted queue: nothing readable on the disk', async (t) => {
  const { search, folder, port: http, adminPort } = await searchPlace(t)
  const config = `
version: 1
data_dir: ./data
admin: {listen: "127.0.0.1:${adminPort}"}
queue: {encryption: {key: "${KEY}", id: 1}}
inputs:
  web: {type: http, listen: "tcp://127.0.0.1:${http}"}
routes:
  app: {match: "**", to: [{output: search, park_after: 1s}]}
outputs:
  search: {type: opensearch, endpoints: ["${search.url}"], index: "logs-\${record.k}", flush_interval: 20ms, retry: {base: 50ms, cap: 200ms}}
`
  const start = () => startRouter(t, { folder, config, adminPort })
  let router = await start()
  search.itemFaults(DENIED)
  const records = Array.from({ length: 60 }, (_, seq) => ({
    k: seq % 2 === 0 ? 'zebra' : 'one',
    seq,
    log: SECRET
  }))
  const answer = await fetch(`http://127.0.0.1:${http}/app`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(records)
  })
  t.equal(answer.status, 200)
  await eventually('the refused index is parked', LIMIT_MS, async () => {
    const { cursors, parked } = await queuesOf(router)
    return cursors[0]?.pending === 0 && parked[0]?.records === 30
  })
  const data = join(folder, 'data')
  const park = join(data, 'park/app/search/shard-00')
  const parkedBytes = readdirSync(park)
    .filter((name) => name.endsWith('.seg'))
    .reduce((sum, name) => sum + statSync(join(park, name)).size, 0)
  t.ok(parkedBytes > 30 * SECRET.length, 'the records are there')
  t.same(filesWith(data, 'battery'), [], 'no text of a record')
  t.same(filesWith(data, 'zebra'), [], 'no key, which is a value of records')

  await router.kill()
  router = await start()
  search.itemFaults()
  await eventually('the park is empty', LIMIT_MS, async () => {
    return (await queuesOf(router)).parked[0]?.records === 0
  })
  const delivered = search.documents
    .filter(({ index }) => index === 'logs-zebra')
    .map(({ source }) => (JSON.parse(source) as { seq: number }).seq)
  t.same(
    delivered,
    records.filter(({ k }) => k === 'zebra').map(({ seq }) => seq)
  )
  t.same(filesWith(data, 'battery'), [])
  t.equal(await router.stop(), 0)
})
