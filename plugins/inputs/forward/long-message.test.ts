// Messages that are too long for memory: spool file, parts, acks, faults.

import zlib from 'node:zlib'
import { encode } from '@msgpack/msgpack'
import t, { type Test } from 'tap'
import { ForwardClient } from '../../../test/support/forward-client.ts'
import { type ForwardHost, forwardHost } from '../../../test/support/forward-host.ts'

const MIB = 1024 * 1024
const TIME = Buffer.from('92d7006553f100075bcd15', 'hex')

/** One entry of about `byteCount` bytes. */
function entryOf(number: number, byteCount: number): Buffer {
  const record = { n: number, text: 'x'.repeat(Math.max(0, byteCount - 40)) }
  return Buffer.concat([TIME, encode(record)])
}

function bodyOf(byteCount: number, entryBytes: number): { body: Buffer; count: number } {
  const entries: Buffer[] = []
  for (let done = 0; done < byteCount; done += entries.at(-1)?.length ?? 0) {
    entries.push(entryOf(entries.length, entryBytes))
  }
  return { body: Buffer.concat(entries), count: entries.length }
}

function bin32(bytes: Buffer): Buffer {
  const header = Buffer.from('c600000000', 'hex')
  header.writeUInt32BE(bytes.length, 1)
  return Buffer.concat([header, bytes])
}

function packed(tag: string, body: Buffer, option: object): Buffer {
  return Buffer.concat([Buffer.from([0x93]), encode(tag), bin32(body), encode(option)])
}

function array32(entries: readonly Buffer[]): Buffer {
  const header = Buffer.from('dd00000000', 'hex')
  header.writeUInt32BE(entries.length, 1)
  return Buffer.concat([header, ...entries])
}

const ackOf = (chunk: string): Buffer => Buffer.from(encode({ ack: chunk }))

async function sent(
  t: Test,
  forward: ForwardHost,
  bytes: Buffer,
  answer: Buffer
): Promise<ForwardClient> {
  const client = await ForwardClient.connect(forward.address)
  client.send(bytes)
  const received = await client.receive(answer.length)
  t.equal(received.toString('hex'), answer.toString('hex'))
  return client
}

const recordCount = ({ host }: ForwardHost): number =>
  host.groups().reduce((sum, group) => sum + group.recordCount, 0)

t.test('a packed message over 8 MiB is stored in parts, and what follows it too', async (t) => {
  const forward = await forwardHost(t)
  const { body, count } = bodyOf(12 * MIB, 1024)
  const next = Buffer.from(encode(['after', [[1_700_000_000, { a: 1 }]], { chunk: 'next' }]))
  const bytes = Buffer.concat([packed('big', body, { chunk: 'c1' }), next])
  const client = await sent(t, forward, bytes, Buffer.concat([ackOf('c1'), ackOf('next')]))
  t.equal(recordCount(forward), count + 1)
  const groups = forward.host.groups().filter(({ tag }) => tag === 'big')
  t.ok(groups.length > 5, `${groups.length} frames`)
  t.ok(Buffer.concat(groups.map(({ entries }) => entries)).equals(body))
  t.equal(forward.host.counter('received_records'), count + 1)
  client.destroy()
})

t.test('an array of entries over 8 MiB, and a gzip and a zstd body', async (t) => {
  const forward = await forwardHost(t)
  const { body, count } = bodyOf(10 * MIB, 700)
  const entries = Array.from({ length: 9000 }, (_, n) => entryOf(n, 1100))
  const array = Buffer.concat([
    Buffer.from([0x93]),
    encode('array'),
    array32(entries),
    encode({ chunk: 'a' })
  ])
  for (const [chunk, bytes, expected] of [
    ['a', array, 9000],
    ['g', packed('gz', zlib.gzipSync(body), { chunk: 'g', compressed: 'gzip' }), count],
    ['z', packed('zs', zlib.zstdCompressSync(body), { chunk: 'z', compressed: 'zstd' }), count]
  ] as const) {
    const before = recordCount(forward)
    const client = await sent(t, forward, bytes, ackOf(chunk))
    t.equal(recordCount(forward) - before, expected, chunk)
    client.destroy()
  }
})
