import { encode } from '@msgpack/msgpack'
import t from 'tap'
import type { FromIngest } from '../../src/threads/messages.ts'
import { spawnIngest } from '../../src/threads/roles.ts'
import { ForwardClient } from '../support/forward-client.ts'
import { forwardInput } from '../support/forward-host.ts'
import { freePort } from '../support/free-port.ts'
import { IngestHost, storedGroups } from '../support/ingest-host.ts'
import { shortDir } from '../support/short-dir.ts'

const THREADS = 2

t.test(
  'two ingest threads share a port, store into their own shards and stop cleanly',
  async (t) => {
    const directory = t.testdir()
    const socketPath = `${shortDir(t)}/f.sock`
    const tcp = `tcp://127.0.0.1:${await freePort()}`
    const input = forwardInput({ listen: [tcp, `unix://${socketPath}`], drain_timeout: 100 })
    const messages: FromIngest[][] = []
    const threads = Array.from({ length: THREADS }, (_, index) => {
      const { data } = new IngestHost({ directory, ...input, thread: { index, count: THREADS } })
      const heard: FromIngest[] = []
      messages.push(heard)
      const listening = Promise.withResolvers<readonly string[]>()
      const thread = spawnIngest(
        data,
        (message) => {
          heard.push(message)
          if (message.kind === 'listening') listening.resolve(message.addresses['fwd'] ?? [])
          if (message.kind === 'failed') listening.reject(new Error(message.message))
        },
        (error) => listening.reject(error)
      )
      return { thread, listening: listening.promise }
    })
    for (const { thread } of threads) thread.send({ kind: 'start' })
    const addresses = await Promise.all(threads.map(({ listening }) => listening))
    t.same(
      addresses.map((list) => list.includes(tcp)),
      [true, true]
    )
    t.equal(addresses.filter((list) => list.length === 2).length, 1, 'the Unix socket is on one')

    const sendOne = async (address: string, chunk: string) => {
      const client = await ForwardClient.connect(address)
      client.send(Buffer.from(encode(['t', [[1, { m: chunk }]], { chunk }])))
      const ack = Buffer.from(encode({ ack: chunk }))
      t.ok((await client.receive(ack.length)).equals(ack))
      client.destroy()
    }
    let sentCount = 0
    const counts = () => [0, 1].map((shard) => storedGroups(directory, 'routes/all', shard).length)
    while (counts().some((count) => count === 0) && sentCount < 200) {
      await sendOne(tcp, `c${sentCount++}`)
    }
    await sendOne(`unix://${socketPath}`, `c${sentCount++}`)
    t.ok(
      counts().every((count) => count > 0),
      'both threads took connections'
    )

    for (const { thread } of threads) thread.send({ kind: 'stop', timeoutMs: 1000 })
    t.same(await Promise.all(threads.map(({ thread }) => thread.exited)), [0, 0])
    t.equal(counts()[0]! + counts()[1]!, sentCount)
    for (const heard of messages) {
      t.equal(heard.at(-1)?.kind, 'stopped')
      t.ok(heard.some(({ kind }) => kind === 'segment'))
    }
  }
)
