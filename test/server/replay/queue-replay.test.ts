import t, { type Test } from 'tap'
import type { CursorStatus, JobStatus } from '../../../src/admin/status.ts'
import { command } from '../../support/command-line.ts'
import { eventually } from '../../support/eventually.ts'
import { FakeOpenSearch } from '../../support/fake-opensearch.ts'
import { freePort } from '../../support/free-port.ts'
import { type RouterProcess, startRouter } from '../../support/router-process.ts'

const LIMIT_MS = 60_000
const COUNT = 500

async function setUp(t: Test) {
  const search = await new FakeOpenSearch().start()
  const other = await new FakeOpenSearch().start()
  t.teardown(() => Promise.all([search.stop(), other.stop()]))
  const http = await freePort()
  const adminPort = await freePort()
  const folder = t.testdir()
  const start = (to: string) =>
    startRouter(t, {
      folder,
      adminPort,
      config: `
version: 1
data_dir: ./data
admin: {listen: "127.0.0.1:${adminPort}"}
inputs:
  web: {type: http, listen: "tcp://127.0.0.1:${http}"}
routes:
  app: {match: "app.**", keep: 1h, to: ${to}}
outputs:
  search: {type: opensearch, endpoints: ["${search.url}"], index: "logs", flush_interval: 100ms}
  other: {type: opensearch, endpoints: ["${other.url}"], index: "logs", flush_interval: 100ms}
`
    })
  const post = async (first: number, count: number) => {
    const records = Array.from({ length: count }, (_, at) => ({ log: `line ${first + at}` }))
    const answer = await fetch(`http://127.0.0.1:${http}/app.web`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(records)
    })
    if (answer.status !== 200) throw new Error(`${answer.status} ${await answer.text()}`)
  }
  return { search, other, start, post }
}

async function cursorsOf(router: RouterProcess): Promise<CursorStatus[]> {
  const answer = await fetch(`${router.adminUrl}/api/v1/queues`)
  return ((await answer.json()) as { cursors: CursorStatus[] }).cursors
}

const delivered = (router: RouterProcess, count: number) =>
  eventually(`${count} are delivered`, LIMIT_MS, async () => {
    const [first] = await cursorsOf(router)
    return first?.delivered === count ? first : null
  })

async function replay(router: RouterProcess, ...words: string[]): Promise<JobStatus> {
  const all = ['queue', 'replay', ...words, '--json', '--admin', router.adminUrl]
  const { error, out } = await command(all)
  if (out === '') throw new Error(error)
  return JSON.parse(out)
}

t.test(
  'Q49 a replay of delivered records changes nothing where they are, and restores what was deleted',
  async (t) => {
    const { other, post, search, start } = await setUp(t)
    let router = await start('[search]')
    await post(0, COUNT)
    const before = await delivered(router, COUNT)
    const ids = search.documents.map(({ id }) => id).sort()
    t.equal(ids.length, COUNT)

    const oldest = ['app', 'search', '--from', 'oldest']
    t.match(await replay(router, ...oldest, '--dry-run'), { matched: COUNT, stored: 0 })
    t.match(await replay(router, ...oldest), {
      ...{ state: 'done', matched: COUNT, stored: COUNT, duplicates: COUNT, failed: 0 }
    })
    t.equal(search.documents.length, COUNT, 'nothing changed')
    t.match(await cursorsOf(router), [before], 'the cursor and its counts are what they were')
    t.equal(await router.metric('millrace_queue_replayed_records_total'), COUNT)

    search.reset()
    t.match(await replay(router, ...oldest), { stored: COUNT, duplicates: 0, failed: 0 })
    t.same(search.documents.map(({ id }) => id).sort(), ids, 'everything is there again')
    t.match(await replay(router, 'app', 'search', '--from', 'now'), { matched: 0, stored: 0 })
    t.equal(await router.stop(), 0)

    router = await start('[search, other]')
    await post(COUNT, 10)
    await delivered(router, COUNT + 10)
    await eventually(
      'the new output has the new records',
      LIMIT_MS,
      () => other.documents.length === 10
    )
    t.match(await replay(router, 'app', 'other', '--from', '-1h', '--rate', '100000/s'), {
      ...{ state: 'done', matched: COUNT + 10, stored: COUNT + 10, duplicates: 10, failed: 0 }
    })
    t.equal(other.documents.length, COUNT + 10, 'a new destination has what came before it')
    t.equal(await router.stop(), 0)
  }
)

t.test('a replay can be stopped, and says what it would not do', async (t) => {
  const { post, search, start } = await setUp(t)
  const router = await start('[search]')
  await post(0, COUNT)
  await delivered(router, COUNT)
  search.plan(...Array.from({ length: 100 }, () => ({ kind: 'hang' as const })))
  const words = ['queue', 'replay', 'app', 'search', '--from', 'oldest', '--admin', router.adminUrl]
  const job = JSON.parse((await command([...words, '--detach', '--json'])).out) as JobStatus
  t.match(job, { state: 'running', source: 'app/search' })
  const twice = await command(words)
  t.equal(twice.exitCode, 64)
  t.match(twice.error, /job 1 is at work on app\/search/)
  const jobs = ['jobs', 'stop', String(job.id), '--json', '--admin', router.adminUrl]
  t.match(JSON.parse((await command(jobs)).out), { state: 'stopped', stored: 0 })
  t.match(await cursorsOf(router), [{ delivered: COUNT, pending: 0 }])
  const none = await command([
    'queue',
    'replay',
    'app',
    'none',
    '--from',
    'oldest',
    ...words.slice(6)
  ])
  t.match(none, { exitCode: 64, error: /route "app" has no destination "none"/ })
  const badTime = await command(['queue', 'replay', 'app', 'search', '--from', 'someday'])
  t.match(badTime, { exitCode: 64, error: /how long ago/ })
  search.reset()
  t.equal(await router.stop(), 0)
})
