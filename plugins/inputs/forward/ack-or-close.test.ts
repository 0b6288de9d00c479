// Under faults of any order every chunk is answered or sees its connection end, and what was acked is stored.
// MILLRACE_ACK_RUNS and MILLRACE_ACK_SEED repeat and lengthen it.

import { decodeMulti, encode } from '@msgpack/msgpack'
import t from 'tap'

import { nodeStorage, type Storage } from '../../../src/storage/storage.ts'
import { WORD } from '../../../src/threads/shared.ts'
import { eventually } from '../../../test/support/eventually.ts'
import { settled } from '../../../test/support/fake-clock.ts'
import { ForwardClient } from '../../../test/support/forward-client.ts'
import { forwardHost } from '../../../test/support/forward-host.ts'
import { type Dice, diceOf } from '../../../test/support/fuzz.ts'

const RUNS = Number(process.env['MILLRACE_ACK_RUNS'] ?? 6)
const SEED = Number(process.env['MILLRACE_ACK_SEED'] ?? 1)
const STEPS = 120
const LOG = 'routes/all'
const LIMIT_MS = 20_000

class Sender {
  readonly sent: string[] = []
  readonly client: ForwardClient
  isClosed = false

  constructor(client: ForwardClient) {
    this.client = client
    void client.closed.then(() => {
      this.isClosed = true
    })
  }

  get acked(): string[] {
    const acks: string[] = []
    try {
      for (const answer of decodeMulti(this.client.received)) acks.push((answer as Ack).ack)
    } catch {
      // The last one is not whole.
    }
    return acks
  }

  get isSettled(): boolean {
    return this.isClosed || this.acked.length === this.sent.length
  }

  /** One write of several messages, of the sizes that take different ways. */
  send(names: readonly string[], dice: Dice): void {
    this.sent.push(...names)
    const messages = names.map((name) => {
      const text = 'x'.repeat(dice.oneOf([1, 100, 70_000]))
      return encode(['t', [[1_700_000_000, { name, text }]], { chunk: name }])
    })
    this.client.send(Buffer.concat(messages))
  }
}
interface Ack {
  readonly ack: string
}

let ackCount = 0
for (let seed = SEED; seed < SEED + RUNS; seed++) {
  t.test(`every chunk gets its ack or a close, seed ${seed}`, async (t) => {
    const dice = diceOf(seed)
    let isDiskBad = false
    const storage: Storage = {
      ...nodeStorage,
      datasync: async (file) => {
        if (isDiskBad) throw Object.assign(new Error('EIO'), { code: 'EIO' })
        await nodeStorage.datasync(file)
      }
    }
    const { address, host } = await forwardHost(t, { drain_timeout: 100 }, { storage })
    const words = host.words(LOG)
    const senders: Sender[] = []
    const connect = async () => senders.push(new Sender(await ForwardClient.connect(address)))
    const open = () => senders.filter(({ isClosed }) => !isClosed)
    const makeRoom = async () => {
      words[WORD.isFull] = 0n
      await host.main.handle({ kind: 'room', logs: [LOG] })
    }
    let chunks = 0
    await connect()
    for (let step = 0; step < STEPS; step++) {
      const kind = dice.below(16)
      const live = open()
      if (live.length === 0 || kind === 0) await connect()
      else if (kind === 1) words[WORD.isFull] = 1n
      else if (kind <= 3) await makeRoom()
      else if (kind === 4) dice.oneOf(live).client.socket.pause()
      else if (kind === 5) for (const { client } of live) client.socket.resume()
      else if (kind === 6) dice.oneOf(live).client.socket.resetAndDestroy()
      else if (kind === 7) isDiskBad = !isDiskBad
      else if (kind <= 9) await settled()
      else {
        const names = Array.from({ length: 1 + dice.below(4) }, () => `c${chunks++}`)
        dice.oneOf(live).send(names, dice)
      }
    }
    const isStopped = dice.below(2) === 0
    const stopping = isStopped ? host.stop() : Promise.resolve()
    isDiskBad = false
    for (const { client } of open()) client.socket.resume()
    await makeRoom()
    const waiting = () => senders.filter(({ isSettled }) => !isSettled)
    await eventually('answers or closes', LIMIT_MS, () => waiting().length === 0)
    await stopping
    for (const { acked, sent } of senders) {
      t.same(acked, sent.slice(0, acked.length), 'acks come in the order of the chunks')
    }
    const stored = new Set(host.records(LOG).map(({ record }) => (record as Named).name))
    const acked = senders.flatMap((sender) => sender.acked)
    ackCount += acked.length
    t.same(
      acked.filter((name) => !stored.has(name)),
      [],
      'what was acked is stored'
    )
    for (const { client } of senders) client.destroy()
  })
}
t.test('some were acked', (t) => {
  t.ok(ackCount > 0)
  t.end()
})

interface Named {
  readonly name: string
}
