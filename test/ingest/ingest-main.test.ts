import { encode } from '@msgpack/msgpack'
import t from 'tap'
import { nodeStorage, type Storage } from '../../src/storage/storage.ts'
import { SHARD_STATES, unpackEnd, WORD } from '../../src/threads/shared.ts'
import { eventually } from '../support/eventually.ts'
import { FakeClock, settled } from '../support/fake-clock.ts'
import { ForwardClient } from '../support/forward-client.ts'
import { forwardHost, forwardInput } from '../support/forward-host.ts'
import { IngestHost } from '../support/ingest-host.ts'

const LIMIT_MS = 10_000

const message = (tag: string, chunk: string): Buffer =>
  Buffer.from(encode([tag, [[1_700_000_000, { m: chunk }]], { chunk }]))
const ackOf = (...chunks: string[]): Buffer =>
  Buffer.concat(chunks.map((chunk) => encode({ ack: chunk })))

t.test(
  'records go to the routes that match, the rest to unmatched with one warning per tag',
  async (t) => {
    const { host, address } = await forwardHost(
      t,
      {},
      {
        routes: [
          { id: 'copy', match: { kind: 'parts', patterns: ['app.**'] }, goesOn: true },
          { id: 'web', match: { kind: 'parts', patterns: ['app.web'] } },
          { id: 'other', from: ['another'] }
        ]
      }
    )
    const client = await ForwardClient.connect(address)
    const tags = ['app.web', 'app.db', 'sys', 'sys', 'sys2']
    client.send(Buffer.concat(tags.map((tag, i) => message(tag, `c${i}`))))
    const expected = ackOf(...tags.map((_, i) => `c${i}`))
    t.ok((await client.receive(expected.length)).equals(expected))
    const stored = (log: string) => host.records(log).map(({ tag }) => tag)
    t.same(stored('routes/copy'), ['app.web', 'app.db'])
    t.same(stored('routes/web'), ['app.web'])
    t.same(stored('routes/other'), [])
    t.same(stored('dlq/unmatched'), ['sys', 'sys', 'sys2'])
    t.equal(host.warnings.filter((text) => /no route takes this tag/.test(text)).length, 2)
    client.destroy()
  }
)

t.test(
  'the control block tells readers what is durable, and the time when nothing comes',
  async (t) => {
    const clock = new FakeClock()
    const { host, address } = await forwardHost(t, {}, { clock })
    const words = host.words('routes/all')
    const client = await ForwardClient.connect(address)
    client.send(message('t', 'c1'))
    await client.receive(ackOf('c1').length)
    t.equal(words[WORD.visibleOffset], 1n)
    const end = unpackEnd(words[WORD.visibleEnd] ?? 0n)
    t.ok(end.byte > 64)
    t.ok((words[WORD.appendedBytes] ?? 0n) >= BigInt(end.byte))
    const segments = host.messages.filter(({ kind }) => kind === 'segment')
    t.match(segments, [{ log: 'routes/all', segment: { ordinal: end.segmentOrdinal } }])
    clock.advance(5000)
    t.equal(words[WORD.watermarkMs], BigInt(clock.nowMs()))
    client.destroy()
  }
)

t.test(
  'Q21 a failed sync costs the sender nothing: the message is written to a new segment and acked',
  async (t) => {
    let failuresLeft = 1
    const storage: Storage = {
      ...nodeStorage,
      async datasync(file) {
        if (nodeStorage.fstat(file).byteCount > 64 && failuresLeft > 0) {
          failuresLeft--
          throw Object.assign(new Error('EIO: i/o error, fdatasync'), { code: 'EIO' })
        }
        await nodeStorage.datasync(file)
      }
    }
    const { host, address } = await forwardHost(t, {}, { storage })
    const client = await ForwardClient.connect(address)
    client.send(message('t', 'c1'))
    t.ok((await client.receive(ackOf('c1').length)).equals(ackOf('c1')))
    t.equal(failuresLeft, 0, 'the first sync had failed')
    const segments = host.messages.filter(({ kind }) => kind === 'segment')
    t.equal(segments.length, 1, 'readers know of the new segment alone')
    t.equal(host.recordCount(), 1)
    client.destroy()
  }
)

t.test('Q25 a full disk pauses senders, and they go on when there is room', async (t) => {
  let isFull = true
  const storage: Storage = {
    ...nodeStorage,
    writev(file, parts, atByte) {
      if (isFull && atByte >= 64) {
        throw Object.assign(new Error('ENOSPC: no space left on device'), { code: 'ENOSPC' })
      }
      return nodeStorage.writev(file, parts, atByte)
    }
  }
  const clock = new FakeClock()
  const { host, address } = await forwardHost(t, {}, { storage, clock })
  const words = host.words('routes/all')
  const client = await ForwardClient.connect(address)
  const body = 'x'.repeat(100_000)
  client.send(Buffer.from(encode(['t', [[1, { m: body }]], { chunk: 'c1' }])))
  const isState = (state: string) => SHARD_STATES[Number(words[WORD.state])] === state
  await eventually('the shard is full', LIMIT_MS, () => isState('full'))
  t.equal(client.received.length, 0)
  t.equal(host.counter('connections'), 1, 'nobody is closed')
  isFull = false
  clock.advance(2000)
  await eventually('it is well again', LIMIT_MS, () => {
    clock.advance(1000)
    return isState('ok')
  })
  t.ok((await client.receive(ackOf('c1').length)).equals(ackOf('c1')))
  t.equal(host.recordCount(), 1)
  client.destroy()
})

t.test('an address that cannot be had is reported with its code', async (t) => {
  const { address } = await forwardHost(t)
  const second = new IngestHost({
    directory: `${t.testdirName}/second`,
    ...forwardInput({ listen: [address] })
  })
  await second.main.handle({ kind: 'start' })
  t.match(second.messages, [{ kind: 'failed', code: 'MR_LISTEN', message: /EADDRINUSE/ }])
  await second.stop()
})

t.test('a stop before the start, and twice, is harmless', async (t) => {
  const host = new IngestHost({ directory: t.testdir(), ...forwardInput() })
  await host.stop()
  await host.stop()
  await settled()
  t.equal(host.messages.filter(({ kind }) => kind === 'stopped').length, 1)
})
