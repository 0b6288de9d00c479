// The first minute of a newcomer: the router without a configuration file, a line by forward, a line by HTTP, the files.

import { request } from 'node:http'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { eventually } from '../support/eventually.ts'
import { frame, sendFrames } from '../support/forward-sender.ts'
import { readRecords } from '../support/output-files.ts'
import { startRouter } from '../support/router-process.ts'
import { shortDir } from '../support/short-dir.ts'

/** The ports of the embedded default; no other test uses them. */
const FORWARD = 24224
const HTTP = 9880
const ADMIN = 9480
const LIMIT_MS = 30_000
const NOON_MS = Date.UTC(2026, 4, 17, 12)

t.setTimeout(180_000)

async function post(path: string, type: string, body: string): Promise<number> {
  const answer = await fetch(`http://127.0.0.1:${HTTP}${path}`, {
    method: 'POST',
    headers: { 'content-type': type },
    body
  })
  await answer.arrayBuffer()
  return answer.status
}

/** Fetch sets the host itself, so this is a plain request. */
function statusForHost(host: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const options = { host: '127.0.0.1', port: ADMIN, path: '/', headers: { host } }
    const asked = request(options, (answer) => {
      answer.resume()
      resolve(answer.statusCode ?? 0)
    })
    asked.on('error', reject)
    asked.end()
  })
}

async function checkPages(t: Test, url: string): Promise<void> {
  for (const path of ['/livez', '/readyz', '/metrics', '/']) {
    const answer = await fetch(url + path)
    t.equal(answer.status, 200, path)
    t.ok((await answer.text()).length > 0, `${path} says something`)
  }
  t.not(await statusForHost('attacker.example'), 200, 'a name that is not ours is refused')
}

t.test('without a file it takes forward and HTTP and writes files by tag and day', async (t) => {
  const folder = shortDir(t)
  const setup = { folder, config: null, adminPort: ADMIN }
  const router = await startRouter(t, setup)
  // Ready a moment before it says so.
  await eventually('the start is announced', LIMIT_MS, () => router.log.includes('curl'))
  for (const address of ['24224', '9880', '9480']) {
    t.match(router.log, address, `the start names ${address}`)
  }
  t.match(router.log, 'docker run', 'and a line to paste')
  t.match(router.log, 'curl', 'and another one')

  await sendFrames({ host: '127.0.0.1', port: FORWARD }, [
    frame('message', 'docker.web', [{ log: 'by forward', seq: 0 }], {}, NOON_MS)
  ])
  t.equal(await post('/app.one', 'application/json', '{"log":"object","seq":1}'), 200)
  t.equal(await post('/app.one', 'application/json', '[{"seq":2},{"seq":3}]'), 200)
  t.equal(await post('/app.two', 'application/x-ndjson', '{"seq":4}\n{"seq":5}\n'), 200)
  t.equal(await post('/app.two', 'application/json', '{"seq":'), 400, 'broken JSON is refused')
  t.equal(await post('/..%2F..%2Fescape', 'application/json', '{"seq":6}'), 200)

  const logs = join(folder, 'millrace-data', 'logs')
  const read = () => readRecords(logs).toSorted((a, b) => Number(a['seq']) - Number(b['seq']))
  await eventually('all records are in the files', LIMIT_MS, () => read().length >= 7).catch(
    () => undefined
  )
  const records = read()
  t.same(
    records.map((record) => record['seq']),
    [0, 1, 2, 3, 4, 5, 6]
  )
  t.match(records[0], { tag: 'docker.web', log: 'by forward', time: /^2026-05-17T12:00:00/ })
  t.same(Object.keys(records[0] ?? {}).slice(0, 2), ['time', 'tag'], 'time and tag stand in front')
  t.match(records[1], { tag: 'app.one', log: 'object' })
  t.match(records[4], { tag: 'app.two' })
  await checkPages(t, router.adminUrl)
  t.equal(await router.stop(), 0, 'SIGTERM ends it with 0')

  const again = await startRouter(t, setup)
  t.equal(await again.stop(), 0, 'a second start finds its queue and stops')
  t.equal(read().length, 7, 'and delivers nothing a second time')
})

t.test('a second router on the same data directory is refused', async (t) => {
  const folder = shortDir(t)
  const setup = { folder, config: null, adminPort: ADMIN }
  const first = await startRouter(t, setup)
  const { RouterProcess } = await import('../support/router-process.ts')
  const second = new RouterProcess(setup)
  const exit = await second.exit
  t.equal(exit, 75, 'temporary failure: the directory is locked')
  t.match(second.log, /millrace-data/, 'and the message names it')
  t.equal(await first.stop(), 0)
})
