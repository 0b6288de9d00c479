// A real OpenSearch: counted by query after the server was stopped and started, and after Millrace was killed.

import { existsSync } from 'node:fs'
import t, { type Test } from 'tap'
import type { JobStatus } from '../../src/admin/status.ts'
import { command } from '../support/command-line.ts'
import { compare, EventSource, nothingWrong } from '../support/event-source.ts'
import { eventually } from '../support/eventually.ts'
import { type Event, ForwardSender, frame, sendFrames } from '../support/forward-sender.ts'
import { freePort } from '../support/free-port.ts'
import { OpenSearchServer } from '../support/open-search-server.ts'
import { findProgram, requireAll } from '../support/require-program.ts'
import { type RouterProcess, type RouterSetup, startRouter } from '../support/router-process.ts'
import { shortDir } from '../support/short-dir.ts'

const jars = process.env['MILLRACE_TEST_OPENSEARCH_JARS'] ?? ''
const java = findProgram('MILLRACE_TEST_JAVA', 'java')
const EVENTS = 30_000
const RESTORED = 5000
const LIMIT_MS = 120_000

t.setTimeout(600_000)

interface Job extends RouterSetup {
  readonly forwardPort: number
}

/** Each test has an index prefix of its own, so that one server serves all. */
async function jobFor(t: Test, prefix: string, endpoint: string, rest = ''): Promise<Job> {
  const folder = shortDir(t)
  const forwardPort = await freePort()
  const adminPort = await freePort()
  const config = `version: 1
data_dir: ${folder}/data
admin: {listen: "127.0.0.1:${adminPort}"}
inputs:
  containers: {type: forward, listen: "tcp://127.0.0.1:${forwardPort}"}
routes:
  nginx:
    match: "docker.web.**"
    steps:
      - parse: {type: nginx, key: log}
    to: [search]
  rest: {match: "**", ${rest} to: [search]}
outputs:
  search:
    type: opensearch
    endpoints: ["${endpoint}"]
    index: "${prefix}-\${time:%Y.%m.%d}"
    include_tag_key: true
    flush_interval: 200ms
    retry: {base: 100ms, cap: 1s}
`
  return { folder, config, adminPort, forwardPort }
}

function sendOnce(job: Job, tag: string, events: readonly Event[], timeMs?: number): Promise<void> {
  const address = { host: '127.0.0.1', port: job.forwardPort }
  return sendFrames(address, [frame('packed', tag, events, {}, timeMs)])
}

async function outages(t: Test, search: OpenSearchServer): Promise<void> {
  const job = await jobFor(t, 'outage', search.url)
  const source = new EventSource({
    name: 'os',
    chunkEvents: 50,
    tag: (seq) => `docker.app${seq % 3}`,
    event: (seq) => ({ seq, log: `line ${seq}`, container_id: `c${seq % 7}` })
  })
  const senders = (['packed', 'forward'] as const).map((mode) => {
    return new ForwardSender({
      address: { host: '127.0.0.1', port: job.forwardPort },
      window: 4,
      pauseMs: 1,
      next: () => source.next(mode),
      onAck: (chunk) => source.onAck(chunk)
    })
  })
  t.teardown(() => senders.map((sender) => sender.stop()))
  const send = async (limit: number): Promise<void> => {
    source.limit = limit
    for (const sender of senders) sender.poke()
    await eventually(`${limit} are acked`, LIMIT_MS, () => source.ackedEvents >= limit)
  }
  const visible = () => search.count('outage-*')

  let router = await startRouter(t, job)
  for (const sender of senders) sender.start()
  await send(EVENTS / 3)
  await search.stop()
  await send(EVENTS / 2)
  t.pass('acks go on while the server is down')
  await search.start()
  const before = await visible()
  await eventually('delivery has begun again', LIMIT_MS, async () => (await visible()) > before)
  await router.kill()
  await search.stop('SIGKILL')
  router = await startRouter(t, job)
  await send(EVENTS)
  await router.kill()
  await search.start()
  router = await startRouter(t, job)
  await eventually('all are visible', LIMIT_MS, async () => (await visible()) >= EVENTS).catch(
    () => undefined
  )
  const documents = await search.documents('outage-*')
  const seqs = documents.map(({ _source }) => Number(_source['seq']))
  t.same(compare(seqs, EVENTS), nothingWrong, 'none is missing and none is twice')
  t.equal(await router.stop(), 0, 'the router stops cleanly')
}

async function shape(t: Test, search: OpenSearchServer): Promise<void> {
  const job = await jobFor(t, 'shape', search.url)
  const router = await startRouter(t, job)
  const line =
    '203.0.113.7 - bob [20/Nov/2026:10:00:00 +0000] "GET /a?b=1 HTTP/1.1" 404 1234 "-" "curl/8.5.0"'
  const record = { seq: 1, container_id: 'c1', source: 'stdout', log: line }
  await sendOnce(job, 'docker.web.1', [record], Date.UTC(2026, 10, 20, 10, 0, 0, 250))
  await eventually('it is there', LIMIT_MS, async () => (await search.count('shape-*')) === 1)
  const [document] = await search.documents('shape-*')
  t.equal(document?._index, 'shape-2026.11.20')
  t.match(document?._id, /^[A-Za-z0-9_-]{24}$/, 'the id is the position')
  const expected = { seq: 1, tag: 'docker.web.1', source: 'stdout', container_id: 'c1' }
  t.match(document?._source, { ...expected, method: 'GET', path: '/a?b=1', agent: 'curl/8.5.0' })
  t.match(document?._source['@timestamp'], /^2026-11-20T10:00:00/)
  t.equal(await router.stop(), 0)
}

async function refusedByMapping(t: Test, search: OpenSearchServer): Promise<void> {
  await search.json('PUT', '/_index_template/strict', {
    index_patterns: ['strict-*'],
    template: { mappings: { properties: { status: { type: 'integer' } } } }
  })
  const job = await jobFor(t, 'strict', search.url)
  const router = await startRouter(t, job)
  await sendOnce(job, 'docker.app', [
    { seq: 1, status: 200 },
    { seq: 2, status: 'many' },
    { seq: 3, status: 404 }
  ])
  await eventually('two are there', LIMIT_MS, async () => (await search.count('strict-*')) === 2)
  const documents = await search.documents('strict-*')
  t.same(documents.map(({ _source }) => _source['seq']).sort(), [1, 3])
  await eventually('one dead letter is counted', LIMIT_MS, async () => {
    return (await router.metric('millrace_queue_dead_lettered_records_total')) === 1
  })
  t.equal(await router.stop(), 0)
}

async function jobOf(router: RouterProcess, ...words: string[]): Promise<JobStatus> {
  const { error, out } = await command([...words, '--json', '--admin', router.adminUrl])
  if (out === '') throw new Error(error)
  return JSON.parse(out)
}

/** An index is deleted with what it held; the queue still has it, and its dead letter too. */
async function restore(t: Test, search: OpenSearchServer): Promise<void> {
  const template = '/_index_template/restore'
  await search.json('PUT', template, {
    index_patterns: ['restore-*'],
    template: { mappings: { properties: { status: { type: 'integer' } } } }
  })
  const job = await jobFor(t, 'restore', search.url, 'keep: 1h,')
  const router = await startRouter(t, job)
  const events = Array.from({ length: RESTORED }, (_, seq) => ({
    seq,
    status: seq === 7 ? 'many' : 200
  }))
  await sendOnce(job, 'docker.app', events)
  const stored = await eventually('all but one are there', LIMIT_MS, async () => {
    const documents = await search.documents('restore-*')
    return documents.length === RESTORED - 1 ? documents : null
  })
  await eventually('one is a dead letter', LIMIT_MS, async () => {
    return (await router.metric('millrace_queue_dead_lettered_records_total')) === 1
  })
  const replay = ['queue', 'replay', 'rest', 'search', '--from', 'oldest']
  t.match(await jobOf(router, ...replay), {
    ...{ matched: RESTORED, stored: RESTORED - 1, duplicates: RESTORED - 1, failed: 1 },
    failures: [{ reason: 'mapping', records: 1 }]
  })
  t.equal(await search.count('restore-*'), RESTORED - 1, 'nothing changed')
  t.equal(await router.metric('millrace_queue_dead_lettered_records_total'), 1)
  t.equal(await router.metric('millrace_queue_dlq_records'), 1, 'no second letter')

  // The mapping that refused goes with the index.
  await search.json('DELETE', template)
  for (const index of new Set(stored.map(({ _index }) => _index))) {
    await search.json('DELETE', `/${index}`)
  }
  t.equal(await search.count('restore-*'), 0)
  const letters = ['dlq', 'replay', 'out.search']
  t.match(await jobOf(router, ...letters), { stored: 1, duplicates: 0, failed: 0 })
  t.match(await jobOf(router, ...replay), {
    ...{ matched: RESTORED, stored: RESTORED, duplicates: 1, failed: 0 }
  })
  const restored = await search.documents('restore-*')
  const seqs = restored.map(({ _source }) => Number(_source['seq']))
  t.same(compare(seqs, RESTORED), nothingWrong, 'none is missing and none is twice')
  const ids = new Set(restored.map(({ _id }) => _id))
  t.ok(
    stored.every(({ _id }) => ids.has(_id)),
    'under the ids that they had'
  )

  t.match(await jobOf(router, ...replay), { stored: RESTORED, duplicates: RESTORED })
  t.match(await jobOf(router, ...letters), { matched: 0, stored: 0 })
  t.equal(await search.count('restore-*'), RESTORED, 'a second replay changes nothing')
  t.equal(await router.stop(), 0)
}

requireAll(
  t,
  [
    [java, 'java'],
    [existsSync(jars), 'the jars of OpenSearch in MILLRACE_TEST_OPENSEARCH_JARS']
  ],
  () => {
    t.test('a real OpenSearch', async (t) => {
      const search = new OpenSearchServer(jars, await freePort(), shortDir(t))
      t.teardown(() => search.stop('SIGKILL'))
      await search.start()
      await t.test('a document has the fields, time, index and id that were asked for', (t) => {
        return shape(t, search)
      })
      await t.test(
        'a record that the mapping refuses is a dead letter and holds up nothing',
        (t) => {
          return refusedByMapping(t, search)
        }
      )
      await t.test('Q49 a deleted index is restored by replays, each record once', (t) => {
        return restore(t, search)
      })
      await t.test('none is missing or twice after outages of the server and SIGKILLs', (t) => {
        return outages(t, search)
      })
    })
  }
)
