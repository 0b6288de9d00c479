// Two ingest threads, as two hosts over one memory: a sender that comes back on the other one.

import { encode } from '@msgpack/msgpack'
import t, { type Test } from 'tap'
import type { ResendNews } from '../../src/ingest/dedupe.ts'
import { nodeStorage, type Storage } from '../../src/storage/storage.ts'
import { eventually } from '../support/eventually.ts'
import { ForwardClient } from '../support/forward-client.ts'
import { forwardHost } from '../support/forward-host.ts'
import { type HostOptions, type IngestHost, resendsOf } from '../support/ingest-host.ts'

const LIMIT_MS = 10_000
const LOGS = ['routes/all', 'dlq/unmatched']
const SEGMENT_HEADER_BYTES = 64

const message = Buffer.from(encode(['t', [[1, { m: 'x' }]], { chunk: 'c1' }]))
const ack = Buffer.from(encode({ ack: 'c1' }))

/** The first sync of records waits until it is let go, or fails. */
function heldSyncs() {
  const held: { go(): void; fail(): void }[] = []
  const storage: Storage = {
    ...nodeStorage,
    async datasync(file) {
      if (held.length === 0 && nodeStorage.fstat(file).byteCount > SEGMENT_HEADER_BYTES) {
        await new Promise<void>((resolve, reject) => {
          const fail = () => reject(Object.assign(new Error('EIO'), { code: 'EIO' }))
          held.push({ go: resolve, fail })
        })
      }
      await nodeStorage.datasync(file)
    }
  }
  return { held, storage }
}

interface Thread {
  readonly host: IngestHost
  readonly address: string
}

async function twoThreads(
  t: Test,
  dedupe: 'unconfirmed' | 'window',
  first: Partial<HostOptions>
): Promise<[Thread, Thread]> {
  const resends = resendsOf(LOGS, [])
  const hosts: IngestHost[] = []
  // As the ports do: in a later turn.
  const channel = (own: number) => ({
    send: (news: ResendNews) =>
      void setImmediate(() => {
        for (const [i, host] of hosts.entries()) if (i !== own) host.main.hear(news)
      })
  })
  const directory = t.testdir()
  const made: Thread[] = []
  for (const index of [0, 1]) {
    const options = { directory, resends, channel: channel(index), thread: { index, count: 2 } }
    const thread = await forwardHost(t, { dedupe }, { ...(index === 0 ? first : {}), ...options })
    hosts.push(thread.host)
    made.push(thread)
  }
  return made as [Thread, Thread]
}

/** The sender ends its connection, and the thread has seen it. */
async function giveUp(sender: ForwardClient, { host }: Thread): Promise<void> {
  sender.destroy()
  await eventually('the end is seen', LIMIT_MS, () => host.main.hasResends)
}

const recordsOf = (threads: readonly Thread[]): number =>
  threads.reduce((sum, { host }) => sum + host.recordCount(), 0)

for (const dedupe of ['unconfirmed', 'window'] as const) {
  t.test(
    `Q50 ${dedupe}: a resend on another thread while the first copy is committed waits for that`,
    async (t) => {
      const { held, storage } = heldSyncs()
      const threads = await twoThreads(t, dedupe, { storage })
      const sender = await ForwardClient.connect(threads[0].address)
      sender.send(message)
      await eventually('the sync has begun', LIMIT_MS, () => held.length === 1)
      if (dedupe === 'unconfirmed') await giveUp(sender, threads[0])
      const again = await ForwardClient.connect(threads[1].address)
      again.send(message)
      await eventually('it is found', LIMIT_MS, () => {
        return threads[1].host.counter('duplicate_chunks') === 1
      })
      t.equal(again.received.length, 0, 'no ack before the commit')
      held[0]?.go()
      t.ok((await again.receive(ack.length)).equals(ack))
      t.equal(recordsOf(threads), 1)
      if (dedupe === 'window') {
        t.ok((await sender.receive(ack.length)).equals(ack))
        again.send(message)
        await again.receive(2 * ack.length)
        t.equal(recordsOf(threads), 1, 'a window finds it again')
      } else {
        again.send(message)
        await again.receive(2 * ack.length)
        t.equal(recordsOf(threads), 2, 'an honest second message of the same content')
      }
      sender.destroy()
      again.destroy()
    }
  )
}

t.test(
  'a resend that waits for a first copy whose sync fails is acked when that is written again',
  async (t) => {
    const { held, storage } = heldSyncs()
    const threads = await twoThreads(t, 'unconfirmed', { storage })
    const sender = await ForwardClient.connect(threads[0].address)
    sender.send(message)
    await eventually('the sync has begun', LIMIT_MS, () => held.length === 1)
    await giveUp(sender, threads[0])
    const again = await ForwardClient.connect(threads[1].address)
    again.send(message)
    await eventually('it is found', LIMIT_MS, () => {
      return threads[1].host.counter('duplicate_chunks') === 1
    })
    held[0]?.fail()
    t.ok((await again.receive(ack.length)).equals(ack), 'it is written again, and acked then')
    t.equal(recordsOf(threads), 1)
    again.destroy()
  }
)

t.test('a stored chunk whose ack was on the way is known on every thread', async (t) => {
  const threads = await twoThreads(t, 'unconfirmed', {})
  const sender = await ForwardClient.connect(threads[0].address)
  sender.send(message)
  await sender.receive(ack.length)
  sender.destroy()
  await eventually('the end is seen', LIMIT_MS, () => {
    return threads[0].host.counter('connections') === 0
  })
  const again = await ForwardClient.connect(threads[1].address)
  again.send(message)
  t.ok((await again.receive(ack.length)).equals(ack))
  t.equal(recordsOf(threads), 1)
  again.destroy()
})

t.test('Q50 two equal chunks of healthy connections on two threads are both stored', async (t) => {
  const { held, storage } = heldSyncs()
  const threads = await twoThreads(t, 'unconfirmed', { storage })
  const one = await ForwardClient.connect(threads[0].address)
  const other = await ForwardClient.connect(threads[1].address)
  one.send(message)
  await eventually('the first is on its way', LIMIT_MS, () => held.length === 1)
  other.send(message)
  t.ok((await other.receive(ack.length)).equals(ack))
  held[0]?.go()
  t.ok((await one.receive(ack.length)).equals(ack))
  t.equal(recordsOf(threads), 2)
  one.destroy()
  other.destroy()
})
