// A chunk whose ack was lost twice: stored and killed, delivered and acked in the next life and killed again before the
// sender had the ack. The sender sends it a third time; it must not become a second document.

import { connect } from 'node:net'
import t from 'tap'
import { eventually } from '../support/eventually.ts'
import { frame } from '../support/forward-sender.ts'
import { freePort } from '../support/free-port.ts'
import { type RouterProcess, startRouter } from '../support/router-process.ts'
import { shortDir } from '../support/short-dir.ts'
import { VisibleDocuments } from './visible-documents.ts'

const LIMIT_MS = 30_000

t.setTimeout(120_000)

t.test('a chunk whose ack is lost in two lives is stored once', async (t) => {
  const folder = shortDir(t)
  const documents = new VisibleDocuments(() => 0.5, {
    refused: 0,
    answerLost: 0,
    itemRefused: 0,
    delayMsMax: 0
  })
  const [port, adminPort, searchPort] = [
    await freePort(),
    await freePort(),
    await documents.listen()
  ]
  t.teardown(() => documents.close())
  const config = `version: 1
data_dir: ${folder}/data
admin: {listen: "127.0.0.1:${adminPort}"}
inputs: {load: {type: forward, listen: "tcp://127.0.0.1:${port}"}}
routes: {all: {match: "**", to: [search]}}
outputs:
  search: {type: opensearch, endpoints: ["http://127.0.0.1:${searchPort}"], index: crash, flush_interval: 100ms}
`
  const resent = frame('packed', 'app', [{ seq: 1 }], { chunk: 'the-same-chunk' })
  /** Other traffic of a life: it begins a new segment, so that the one with the resent chunk may go. */
  const other = (life: number) =>
    frame('packed', 'app', [{ seq: 10 + life }], { chunk: `other-${life}` })
  /** Sends the chunk and resolves when its ack is on the way; the sender is taken not to have seen it. */
  const send = (chunk: Buffer) =>
    new Promise<void>((resolve, reject) => {
      const socket = connect(port, '127.0.0.1', () => socket.write(chunk))
      socket.once('data', () => resolve())
      socket.on('error', reject)
    })
  let router: RouterProcess = await startRouter(t, { folder, config, adminPort })
  for (const life of [1, 2, 3]) {
    await send(resent)
    await send(other(life))
    await eventually('both are visible', LIMIT_MS, () => documents.copiesOf(10 + life) > 0)
    await eventually('nothing waits', LIMIT_MS, async () => {
      return (await router.metric('millrace_queue_pending_records')) === 0
    })
    t.equal(documents.copiesOf(1), 1, `one document in life ${life}`)
    await router.kill()
    router = await startRouter(t, { folder, config, adminPort })
  }
})
