// Address, tag and metadata on their whole way: from the bytes of a sender to the file of an output.

import t from 'tap'
import { eventually } from '../support/eventually.ts'
import { ForwardClient } from '../support/forward-client.ts'
import { freePort } from '../support/free-port.ts'
import { pack, packTime } from '../support/msgpack-objects.ts'
import { readRecords } from '../support/output-files.ts'
import { startRouter } from '../support/router-process.ts'

t.setTimeout(120_000)

t.test('what one input adds is written, and nothing to records of another', async (t) => {
  const [added, plain, adminPort] = [await freePort(), await freePort(), await freePort()]
  const folder = t.testdir()
  const router = await startRouter(t, {
    folder,
    adminPort,
    config: `
version: 1
data_dir: ./data
admin: {listen: "127.0.0.1:${adminPort}"}
inputs:
  added: {type: forward, listen: "127.0.0.1:${added}", source_address_key: from, tag_key: tag_name, metadata: nest}
  plain: {type: forward, listen: "127.0.0.1:${plain}"}
routes:
  all: {match: "**", to: [files]}
outputs:
  files: {type: file}
`
  })
  const header = Buffer.concat([Buffer.from([0x92]), packTime(5, 0), pack({ k: { deep: [1] } })])
  const entries = (name: string) =>
    Buffer.concat([Buffer.from([0x91, 0x92]), header, pack({ name, from: 'me' })])
  for (const [name, port] of Object.entries({ added, plain })) {
    const client = await ForwardClient.connect(`tcp://127.0.0.1:${port}`)
    const options = pack({ chunk: name })
    client.send(Buffer.concat([Buffer.from([0x93]), pack('app.web'), entries(name), options]))
    await eventually('the ack', 30_000, () => client.received.includes(name))
    client.socket.destroy()
  }
  await eventually('both are written', 30_000, () => readRecords(folder).length === 2)
  const records = Object.fromEntries(readRecords(folder).map((each) => [each['name'], each]))
  t.match(records['added'], { from: 'me', tag_name: 'app.web', _meta: { k: { deep: [1] } } })
  t.match(records['plain'], { from: 'me' })
  t.same(
    ['tag_name', '_meta'].filter((key) => key in (records['plain'] ?? {})),
    []
  )
  t.equal(await router.stop(), 0)
})
