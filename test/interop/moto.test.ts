// moto as CloudWatch Logs: an implementation of the service that is not ours, with the official SDK on both sides.

import { spawn } from 'node:child_process'
import {
  CloudWatchLogsClient,
  DescribeLogStreamsCommand,
  GetLogEventsCommand
} from '@aws-sdk/client-cloudwatch-logs'
import t, { type Test } from 'tap'
import { compare, EventSource, nothingWrong } from '../support/event-source.ts'
import { eventually } from '../support/eventually.ts'
import { ForwardSender } from '../support/forward-sender.ts'
import { freePort } from '../support/free-port.ts'
import { findProgram, requireAll } from '../support/require-program.ts'
import { startRouter } from '../support/router-process.ts'
import { shortDir } from '../support/short-dir.ts'

const moto = findProgram('MILLRACE_TEST_MOTO', 'moto_server')
const LIMIT_MS = 90_000
const EVENTS = 4000
const TAGS = 4
const CHUNK_EVENTS = 50

t.setTimeout(300_000)

async function startMoto(t: Test, port: number): Promise<CloudWatchLogsClient> {
  const server = spawn(moto!, ['-H', '127.0.0.1', '-p', String(port)], { stdio: 'ignore' })
  t.teardown(() => server.kill('SIGKILL'))
  const endpoint = `http://127.0.0.1:${port}`
  await eventually('moto answers', LIMIT_MS, async () => {
    return (await fetch(`${endpoint}/moto-api/`).catch(() => null))?.status === 200
  })
  const credentials = { accessKeyId: 'test', secretAccessKey: 'test' }
  return new CloudWatchLogsClient({ endpoint, region: 'us-east-1', credentials })
}

async function streams(client: CloudWatchLogsClient, logGroupName: string): Promise<string[]> {
  const answer = await client.send(new DescribeLogStreamsCommand({ logGroupName }))
  return (answer.logStreams ?? []).map(({ logStreamName }) => logStreamName ?? '')
}

async function messages(client: CloudWatchLogsClient, logGroupName: string, logStreamName: string) {
  const found: { message: string; timestamp: number }[] = []
  let nextToken: string | undefined
  for (;;) {
    const answer = await client.send(
      new GetLogEventsCommand({
        logGroupName,
        logStreamName,
        startFromHead: true,
        ...(nextToken === undefined ? {} : { nextToken })
      })
    )
    const events = answer.events ?? []
    for (const { message = '', timestamp = 0 } of events) found.push({ message, timestamp })
    if (events.length === 0 || answer.nextForwardToken === nextToken) return found
    nextToken = answer.nextForwardToken
  }
}

async function delivers(t: Test): Promise<void> {
  const folder = shortDir(t)
  const motoPort = await freePort()
  const client = await startMoto(t, motoPort)
  const [forwardPort, adminPort] = [await freePort(), await freePort()]
  const router = await startRouter(t, {
    folder,
    adminPort,
    config: `version: 1
data_dir: ${folder}/data
admin: {listen: "127.0.0.1:${adminPort}"}
inputs: {containers: {type: forward, listen: "tcp://127.0.0.1:${forwardPort}"}}
routes: {all: {match: "**", to: [archive]}}
outputs:
  archive:
    type: cloudwatch_logs
    region: us-east-1
    endpoint: "http://127.0.0.1:${motoPort}"
    aws_key_id: test
    aws_sec_key: test
    log_group_name: "/docker/\${tag_parts[1]}"
    log_stream_name: "\${record.container_id}"
    auto_create_group: true
    flush_interval: 200ms
`
  })
  const startMs = Date.now() - 60_000
  const source = new EventSource({
    name: 'cw',
    chunkEvents: CHUNK_EVENTS,
    tag: (seq) => `docker.app${(seq / CHUNK_EVENTS) % TAGS}`,
    event: (seq) => ({ seq, container_id: `c${seq % 2}`, log: `line "${seq}"` }),
    timeMs: (seq) => startMs + seq
  })
  source.limit = EVENTS
  const sender = new ForwardSender({
    address: { host: '127.0.0.1', port: forwardPort },
    window: 2,
    pauseMs: 0,
    next: () => source.next('packed'),
    onAck: (chunk) => source.onAck(chunk)
  })
  sender.start()
  t.teardown(() => sender.stop())
  await eventually('everything is acked', LIMIT_MS, () => source.ackedEvents === EVENTS)
  await eventually('everything is sent', LIMIT_MS, async () => {
    return (await router.metric('millrace_queue_delivered_records_total')) >= EVENTS
  })

  const seqs: number[] = []
  for (let app = 0; app < TAGS; app++) {
    const group = `/docker/app${app}`
    t.same((await streams(client, group)).sort(), ['c0', 'c1'], `${group} has its streams`)
    for (const stream of ['c0', 'c1']) {
      const events = await messages(client, group, stream)
      const times = events.map(({ timestamp }) => timestamp)
      t.same(
        times,
        times.toSorted((a, b) => a - b),
        `${group} ${stream} is in the order of time`
      )
      for (const { message } of events) {
        const record = JSON.parse(message) as { seq: number; container_id: string; log: string }
        seqs.push(record.seq)
        if (record.container_id === stream && record.log === `line "${record.seq}"`) continue
        t.fail(`wrong record in ${group} ${stream}: ${message}`)
      }
    }
  }
  t.same(compare(seqs, EVENTS), nothingWrong, 'none is missing and none is twice')
  t.equal(await router.stop(), 0)
}

requireAll(t, [[moto, 'moto_server']], () => {
  t.test('groups and streams are created and each event arrives once, in order', delivers)
})
