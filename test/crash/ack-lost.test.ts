import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { encode } from '@msgpack/msgpack'
import t from 'tap'
import { logIdOf } from '../../src/core/position.ts'
import { recoverShard } from '../../src/storage/recovery/recovery.ts'
import { nodeStorage } from '../../src/storage/storage.ts'
import { ForwardClient } from '../support/forward-client.ts'
import { forwardHost } from '../support/forward-host.ts'
import { hash, STORE, storedGroups } from '../support/ingest-host.ts'

const KILLED = fileURLToPath(new URL('../support/killed-after-sync.ts', import.meta.url))

const forwardMessage = Buffer.from(encode(['t', [[1, { m: 'x' }]], { chunk: 'c1' }]))
const singleMessage = Buffer.from(encode(['t', 1, { m: 'x' }, { chunk: 'c1' }]))
const ack = Buffer.from(encode({ ack: 'c1' }))
const key = `t\0${Buffer.from(encode('c1')).toString('latin1')}`

for (const [form, bytes] of [
  ['Forward', forwardMessage],
  ['Message', singleMessage]
] as const) {
  t.test(
    `Q50 a ${form} message whose ack was lost by a kill is acked and stored once`,
    async (t) => {
      const directory = t.testdir()
      const child = spawn(process.execPath, [KILLED, directory], {
        stdio: ['ignore', 'pipe', 'inherit']
      })
      const exited = once(child, 'exit')
      const [line] = await once(child.stdout, 'data')
      const sender = await ForwardClient.connect(String(line).trim())
      sender.send(bytes)
      t.same(await exited, [null, 'SIGKILL'])
      await sender.closed
      t.equal(sender.received.length, 0, 'there was no ack')
      const log = 'routes/all'
      t.equal(storedGroups(directory, log, 0).length, 1, 'and the message was durable')

      const shardDirectory = `${directory}/${log}/shard-00`
      const recovered = recoverShard({
        storage: nodeStorage,
        hash,
        nowMs: 1_800_000_000_000,
        storeSecret: STORE.secret,
        logId: logIdOf(STORE.uuid, `${log}/shard-00`),
        directory: shardDirectory,
        durability: 'sync',
        cursorHighOffset: 0,
        holdingLowOffset: null
      })
      t.same(recovered.ingestIds, [key])
      const { host, address } = await forwardHost(
        t,
        {},
        { directory, recoveredIngestIds: recovered.ingestIds, starts: { [log]: recovered.start } }
      )
      const again = await ForwardClient.connect(address)
      again.send(bytes)
      t.ok((await again.receive(ack.length)).equals(ack))
      t.equal(host.counter('duplicate_chunks'), 1)
      again.send(bytes)
      await again.receive(2 * ack.length)
      const stored = host.groups()
      t.equal(stored.length, 2, 'an honest second message of the same content is stored')
      again.destroy()
    }
  )
}

t.test(
  'Q50 a message that a kill left in one of its routes is stored in the other alone',
  async (t) => {
    const routes = [{ id: 'a', goesOn: true }, { id: 'b' }]
    const base = t.testdir()
    for (const [ids, stored, name] of [
      [{}, [1, 1], 'none'],
      [{ 'routes/a': [key] }, [0, 1], 'a'],
      [{ 'routes/b': [key] }, [1, 0], 'b'],
      [{ 'routes/a': [key], 'routes/b': [key] }, [0, 0], 'both']
    ] as const) {
      const { host, address } = await forwardHost(
        t,
        {},
        { directory: `${base}/${name}`, routes, recoveredIngestIds: ids }
      )
      const sender = await ForwardClient.connect(address)
      sender.send(forwardMessage)
      t.ok((await sender.receive(ack.length)).equals(ack))
      t.same([host.recordCount('routes/a'), host.recordCount('routes/b')], stored, name)
      sender.destroy()
      await host.stop()
    }
  }
)
