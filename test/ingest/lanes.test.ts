import { encode } from '@msgpack/msgpack'
import t, { type Test } from 'tap'
import { spreadId } from '../../src/ingest/lane-group.ts'
import { ForwardClient } from '../support/forward-client.ts'
import { forwardHost } from '../support/forward-host.ts'
import type { StoredRecord } from '../support/ingest-host.ts'

const LANES = 4
const LOG = 'routes/all'
const byTag = { lanes: LANES, laneKey: { kind: 'tag' } } as const
const byTenant = { lanes: LANES, laneKey: { kind: 'field', path: ['tenant'] } } as const

const batch = (tag: string, records: readonly object[], chunk: string): Buffer =>
  Buffer.from(encode([tag, records.map((record) => [1_700_000_000, record]), { chunk }]))
const single = (tag: string, record: object, chunk: string): Buffer =>
  Buffer.from(encode([tag, 1_700_000_000, record, { chunk }]))
const ackOf = (chunk: string): Buffer => Buffer.from(encode({ ack: chunk }))

async function send(
  t: Test,
  address: string,
  messages: readonly Buffer[],
  acks: readonly Buffer[]
) {
  const client = await ForwardClient.connect(address)
  client.send(Buffer.concat(messages))
  const expected = Buffer.concat(acks)
  t.ok((await client.receive(expected.length)).equals(expected))
  client.destroy()
}

type Host = Awaited<ReturnType<typeof forwardHost>>['host']
const lanesOf = (host: Host, first = 0): StoredRecord[][] =>
  Array.from({ length: LANES }, (_, lane) => host.records(LOG, first + lane))
const fieldOf = (each: StoredRecord, name: string) => (each.record as Record<string, unknown>)[name]

t.test('tags have their lane, the same after a restart and on every thread', async (t) => {
  const tags = Array.from({ length: 40 }, (_, i) => `app.${i}`)
  const base = t.testdir()
  const laneOfTag = async (index: number) => {
    const thread = { index, count: 2 }
    const { host, address } = await forwardHost(
      t,
      {},
      {
        routes: [byTag],
        thread,
        directory: `${base}/${index}`
      }
    )
    const messages = tags.flatMap((tag, i) => [
      batch(tag, [{ n: 1 }], `a${i}`),
      single(tag, { n: 2 }, `b${i}`)
    ])
    const acks = tags.flatMap((_, i) => [ackOf(`a${i}`), ackOf(`b${i}`)])
    await send(t, address, messages, acks)
    const lanes = lanesOf(host, index * LANES)
    const found = new Map<string, number>()
    for (const [lane, records] of lanes.entries()) {
      for (const { tag } of records) {
        t.equal(found.get(tag) ?? lane, lane, `${tag} lies in one lane`)
        found.set(tag, lane)
      }
    }
    t.equal(lanes.flat().length, 2 * tags.length)
    t.ok(
      lanes.every((records) => records.length > 0),
      'all lanes are used'
    )
    await host.stop()
    return found
  }
  t.same(await laneOfTag(0), await laneOfTag(1))
})

t.test(
  'a field decides: one ack for a message cut over the lanes, order kept per key',
  async (t) => {
    const { host, address } = await forwardHost(t, {}, { routes: [byTenant] })
    const records = Array.from({ length: 200 }, (_, i) => ({ tenant: `t${i % 16}`, i }))
    await send(t, address, [batch('app', records, 'c1')], [ackOf('c1')])
    const lanes = lanesOf(host)
    t.equal(lanes.flat().length, records.length)
    t.ok(
      lanes.every((each) => each.length > 0),
      'all lanes are used'
    )
    const laneOfTenant = new Map<unknown, number>()
    for (const [lane, each] of lanes.entries()) {
      const numbers = each.map((record) => Number(fieldOf(record, 'i')))
      t.same(
        numbers,
        numbers.toSorted((a, b) => a - b)
      )
      for (const record of each) {
        const tenant = fieldOf(record, 'tenant')
        t.equal(laneOfTenant.get(tenant) ?? lane, lane)
        laneOfTenant.set(tenant, lane)
      }
    }
    const id = spreadId(encode('c1'), [0, 1, 2, 3])
    for (let lane = 0; lane < LANES; lane++) {
      const groups = host.groups(LOG, lane)
      t.ok(
        groups.every(({ ingestId }) => ingestId?.equals(id)),
        'each part names all of them'
      )
    }
  }
)

t.test(
  'records without the field go by their tag; a message of one lane bears its own id',
  async (t) => {
    const { host, address } = await forwardHost(t, {}, { routes: [byTenant] })
    await send(
      t,
      address,
      [batch('app', [{ n: 1 }, { tenant: null, n: 2 }, { n: 3 }], 'c1')],
      [ackOf('c1')]
    )
    const groups = Array.from({ length: LANES }, (_, lane) => host.groups(LOG, lane)).flat()
    t.equal(groups.length, 1)
    t.same(groups[0]?.ingestId, Buffer.from(encode('c1')))
    t.equal(groups[0]?.recordCount, 3)
  }
)

t.test('messages side by side go to their lanes, each acked', async (t) => {
  const { host, address } = await forwardHost(t, {}, { routes: [byTenant] })
  const messages = Array.from({ length: 50 }, (_, i) =>
    single('app', { tenant: `t${i % 9}`, i }, `c${i}`)
  )
  await send(
    t,
    address,
    messages,
    messages.map((_, i) => ackOf(`c${i}`))
  )
  const lanes = lanesOf(host)
  t.equal(lanes.flat().length, messages.length)
  for (const each of lanes) {
    const numbers = each.map((record) => Number(fieldOf(record, 'i')))
    t.same(
      numbers,
      numbers.toSorted((a, b) => a - b)
    )
  }
})
