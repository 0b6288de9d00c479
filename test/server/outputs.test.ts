import { join } from 'node:path'
import t from 'tap'
import { eventually } from '../support/eventually.ts'
import { FakeCloudWatch } from '../support/fake-cloudwatch.ts'
import { FakeOpenSearch } from '../support/fake-opensearch.ts'
import { frame, sendFrames } from '../support/forward-sender.ts'
import { freePort } from '../support/free-port.ts'
import {
  arrivedSeqs,
  imbalance,
  missingSeqs,
  NumberedLoad,
  queuesOf,
  totalOf
} from '../support/numbered-load.ts'
import { readRecords } from '../support/output-files.ts'
import { startRouter } from '../support/router-process.ts'

const LIMIT_MS = 60_000
const DAY_MS = 86_400_000

t.setTimeout(180_000)

async function ports() {
  return { port: await freePort(), adminPort: await freePort() }
}

const head = (port: number, adminPort: number) => `
version: 1
data_dir: ./data
admin: {listen: "127.0.0.1:${adminPort}"}
inputs:
  load: {type: forward, listen: "tcp://127.0.0.1:${port}"}
`

t.test('compress: gzip sends every body compressed, refused items too', async (t) => {
  const search = await new FakeOpenSearch().start()
  t.teardown(() => search.stop())
  // One in seven items has to be sent again, cut out of its body.
  search.itemFaults({
    status: 429,
    type: 'es_rejected_execution_exception',
    reason: 'queue is full',
    every: 7,
    timesPerId: 1
  })
  const { port, adminPort } = await ports()
  const router = await startRouter(t, {
    folder: t.testdir(),
    adminPort,
    config: `${head(port, adminPort)}
routes:
  all: {match: "**", to: [search]}
outputs:
  search: {type: opensearch, endpoints: ["${search.url}"], index: logs, compress: gzip, flush_interval: 50ms, retry: {base: 20ms, cap: 200ms}}
`
  })
  const load = new NumberedLoad({ port, tag: 'app', recordsMax: 3000, padBytes: 200 }).start()
  t.teardown(() => load.stop())
  await eventually('all is delivered', LIMIT_MS, async () => {
    return totalOf(await queuesOf(router), 'all', 'search').delivered === 3000
  })
  t.equal(arrivedSeqs(search).length, 3000)
  t.same(missingSeqs(load.acked, arrivedSeqs(search)), [])
  t.ok(search.requests.length > 1)
  t.ok(
    search.requests.every(({ isGzip }) => isGzip),
    'every request is compressed'
  )
  t.equal(await router.stop(), 0)
})

t.test(
  'CloudWatch: groups and streams by template, made on demand; rejected events are dead letters',
  async (t) => {
    const cloud = await new FakeCloudWatch().start()
    t.teardown(() => cloud.stop())
    const { port, adminPort } = await ports()
    const router = await startRouter(t, {
      folder: t.testdir(),
      adminPort,
      env: {
        AWS_ACCESS_KEY_ID: 'AK',
        AWS_SECRET_ACCESS_KEY: 'SK',
        AWS_EC2_METADATA_DISABLED: 'true'
      },
      config: `${head(port, adminPort)}
routes:
  all: {match: "**", to: [cloud]}
outputs:
  cloud:
    type: cloudwatch_logs
    region: us-east-1
    endpoint: ${cloud.url}
    log_group_name: "/docker/\${tag_parts[1]}"
    log_stream_name: "\${record.container}"
    log_key: log
    auto_create_group: true
    flush_interval: 50ms
    retry: {base: 20ms, cap: 200ms}
`
    })
    const address = { host: '127.0.0.1', port }
    const nowMs = Date.now()
    const event = (log: string, container: string) => [{ log, container }]
    await sendFrames(address, [
      frame('message', 'docker.web', event('web one', 'a'), {}, nowMs),
      frame('message', 'docker.web', event('web two', 'b'), {}, nowMs),
      frame('message', 'docker.db', event('db one', 'a'), {}, nowMs),
      frame('message', 'docker.web', event('too old', 'a'), {}, nowMs - 20 * DAY_MS),
      frame('message', 'docker.web', event('too new', 'a'), {}, nowMs + DAY_MS),
      frame('message', 'docker.web', event('web three', 'a'), {}, nowMs + 1)
    ])
    const cursor = await eventually('every event has a fate', LIMIT_MS, async () => {
      const [found] = (await queuesOf(router)).cursors
      return found?.appended === 6 && found.pending === 0 ? found : null
    })
    t.match(cursor, { delivered: 4, deadLettered: 2, lost: {}, dropped: {} })
    t.equal(imbalance(cursor), 0)
    const messages = (group: string, stream: string) =>
      cloud.events(group, stream).map(({ message }) => message)
    t.same(messages('/docker/web', 'a'), ['web one', 'web three'])
    t.same(messages('/docker/web', 'b'), ['web two'])
    t.same(messages('/docker/db', 'a'), ['db one'])
    const letters = await (await fetch(`${router.adminUrl}/api/v1/dlq/out.cloud`)).json()
    t.same(
      (letters as { record: string }[])
        .map(({ record }) => (JSON.parse(record) as { log: string }).log)
        .toSorted(),
      ['too new', 'too old']
    )
    t.equal(await router.stop(), 0)
  }
)

t.test('files hold every acked line after SIGKILL', async (t) => {
  const { port, adminPort } = await ports()
  const folder = t.testdir()
  const setup = {
    folder,
    adminPort,
    config: `${head(port, adminPort)}
routes:
  all: {match: "**", to: [files]}
outputs:
  files: {type: file, path: "${folder}/logs/\${tag}.ndjson"}
`
  }
  const load = new NumberedLoad({ port, tag: 'app', connections: 2, pauseMs: 2 })
  t.teardown(() => load.stop())
  let router = await startRouter(t, setup)
  load.start()
  for (let kill = 0; kill < 3; kill++) {
    const acked = load.acked.length
    await eventually('more is acked', LIMIT_MS, () => load.acked.length > acked + 1000)
    await router.kill()
    router = await startRouter(t, setup)
  }
  load.close()
  await eventually('every chunk is acked', LIMIT_MS, () => load.unackedChunks === 0)
  const { delivered } = await eventually('all is delivered', LIMIT_MS, async () => {
    const total = totalOf(await queuesOf(router), 'all', 'files')
    return total.pending === 0 ? total : null
  })
  const seqs = readRecords(join(folder, 'logs')).map((record) => Number(record['seq']))
  t.same(missingSeqs(load.acked, seqs), [], `all of ${load.acked.length} acked lines are there`)
  t.ok(seqs.length >= delivered, `${seqs.length - delivered} lines came twice`)
  t.equal(new Set(seqs).size, delivered, 'every line is whole and known')
  t.equal(await router.stop(), 0)
})
