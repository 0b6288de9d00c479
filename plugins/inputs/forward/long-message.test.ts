// Messages that are too long for memory: spool file, parts, acks, faults.

import zlib from 'node:zlib'
import { encode } from '@msgpack/msgpack'
import t, { type Test } from 'tap'
import { nodeStorage, type Storage } from '../../../src/storage/storage.ts'
import { eventually } from '../../../test/support/eventually.ts'
import { ForwardClient } from '../../../test/support/forward-client.ts'
import { type ForwardHost, forwardHost } from '../../../test/support/forward-host.ts'

const MIB = 1024 * 1024
/** 200 for the case as it stands in the list; smaller where many tests run. */
const LONG_MIB = Number(process.env['MILLRACE_LONG_MIB'] ?? 100)
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

t.test('X01 C02 a long message in pieces of any length is the same message', async (t) => {
  const forward = await forwardHost(t, { dedupe: 'off' })
  const entries = Array.from({ length: 9000 }, (_, n) => entryOf(n, 1000))
  const bytes = Buffer.concat([
    hex('94'),
    encode('t'),
    array32(entries),
    encode({ size: 7, chunk: 'x' }),
    hex('c0')
  ])
  for (const pieceBytes of [1000, 65_537, 1_000_003]) {
    const before = recordCount(forward)
    const client = await ForwardClient.connect(forward.address)
    const pieces: Buffer[] = []
    for (let at = 0; at < bytes.length; at += pieceBytes) {
      pieces.push(bytes.subarray(at, at + pieceBytes))
    }
    await client.sendPieces(pieces)
    t.equal((await client.receive(1)).toString('hex'), ackOf('x').toString('hex'))
    t.equal(recordCount(forward) - before, 9000, `pieces of ${pieceBytes}`)
    client.destroy()
  }
})

t.test('C03 a message that shows its length late is refused when it does', async (t) => {
  const forward = await forwardHost(t, { max_frame_bytes: 9 * MIB })
  const entries = Array.from({ length: 10_000 }, (_, n) => entryOf(n, 1000))
  const client = await ForwardClient.connect(forward.address)
  client.socket.on('error', () => {})
  client.send(Buffer.concat([hex('92'), encode('late'), array32(entries)]))
  t.equal(await client.closed, 'reset')
  t.equal(forward.host.counter('oversize_frames'), 1)
  t.equal(forward.host.groups().length, 0)
  t.equal(forward.host.counter('spool_bytes', 1), 0, 'its spool is gone')
})

t.test('on_oversize: drop_and_ack passes a message over, counts and acknowledges it', async (t) => {
  const forward = await forwardHost(t, {
    max_frame_bytes: 4096,
    on_oversize: 'drop_and_ack',
    dedupe: 'off'
  })
  const { body } = bodyOf(2 * MIB, 1024)
  const entries = Array.from({ length: 300 }, (_, n) => entryOf(n, 1000))
  const single = Buffer.concat([
    hex('94'),
    encode('s'),
    hex('ce6553f100'),
    encode({ text: 'x'.repeat(9000) }),
    encode({ chunk: 's' })
  ])
  const array = Buffer.concat([hex('93'), encode('a'), array32(entries), encode({ chunk: 'a' })])
  const small = Buffer.from(encode(['ok', [[1_700_000_000, { a: 1 }]], { chunk: 'ok' }]))
  const bytes = Buffer.concat([packed('p', body, { chunk: 'p' }), single, array, small])
  for (const pieces of [[bytes], cutUp(bytes, 999)]) {
    const client = await ForwardClient.connect(forward.address)
    await client.sendPieces(pieces)
    const answer = Buffer.concat(['p', 's', 'a', 'ok'].map(ackOf))
    t.equal((await client.receive(answer.length)).toString('hex'), answer.toString('hex'))
    client.destroy()
  }
  t.equal(forward.host.counter('oversize_frames'), 6)
  t.equal(recordCount(forward), 2)
})

t.test('what is no entry in a long message is a dead letter, and the rest is stored', async (t) => {
  const forward = await forwardHost(t)
  const { body, count } = bodyOf(5 * MIB, 1024)
  const huge = Buffer.concat([TIME, encode({ text: 'y'.repeat(12 * MIB) })])
  const bytes = packed(
    't',
    Buffer.concat([body, hex('05c0'), body, huge, body, body.subarray(0, 9)]),
    {
      chunk: 'c'
    }
  )
  const client = await sent(t, forward, bytes, ackOf('c'))
  const { host } = forward
  t.equal(recordCount(forward), 3 * count)
  t.equal(host.counter('input_rejected_records_total/not_an_entry'), 2)
  t.equal(host.counter('input_rejected_records_total/too_large'), 1)
  t.equal(host.counter('input_rejected_records_total/cut_short'), 1)
  const letters = host.records('dlq/in.fwd')
  const kept = Buffer.concat(letters.map(({ record }) => (record as { bytes: Buffer }).bytes))
  const expected = Buffer.concat([hex('05c0'), huge, body.subarray(0, 9)])
  t.equal(kept.length, expected.length)
  t.ok(kept.equals(expected))
  client.destroy()
})

t.test('F07 an open group marker is repeated in front of each part', async (t) => {
  const forward = await forwardHost(t)
  const { body, count } = bodyOf(9 * MIB, 1024)
  const open = hex('9292d700ffffffff0000000081a1720181a1780a')
  const close = hex('9292d700fffffffe000000008080')
  const bytes = packed('t', Buffer.concat([open, body, close, entryOf(0, 100)]), { chunk: 'c' })
  const client = await sent(t, forward, bytes, ackOf('c'))
  t.equal(recordCount(forward), count + 1)
  t.equal(forward.host.counter('group_markers'), 2)
  const groups = forward.host.groups()
  for (const { entries } of groups.slice(0, -1)) {
    t.ok(entries.subarray(0, open.length).equals(open))
  }
  client.destroy()
})

t.test('one record above the limit, and a message without records', async (t) => {
  const forward = await forwardHost(t)
  const single = Buffer.concat([
    hex('94'),
    encode('s'),
    hex('ce6553f100'),
    encode({ text: 'x'.repeat(9 * MIB) }),
    encode({ chunk: 's' })
  ])
  const zeros = packed('z', Buffer.alloc(9 * MIB), { chunk: 'z' })
  const metrics = packed('m', Buffer.alloc(9 * MIB, 0x81), { chunk: 'm', fluent_signal: 1 })
  const client = await sent(
    t,
    forward,
    Buffer.concat([single, zeros, metrics]),
    Buffer.concat([ackOf('s'), ackOf('z'), ackOf('m')])
  )
  const { host } = forward
  t.equal(recordCount(forward), 0)
  t.equal(host.counter('input_rejected_records_total/too_large'), 1)
  t.equal(host.counter('input_rejected_records_total/not_an_entry'), 1000)
  t.equal(host.counter('forward_nonlog_dropped_total/metrics'), 1)
  client.destroy()
})

t.test('P20 C27 bombs are left early, kept as they came, and told once', async (t) => {
  const forward = await forwardHost(t)
  const zeros = Buffer.alloc(100 * MIB)
  const before = process.memoryUsage.rss()
  let highest = 0
  for (const [chunk, bomb] of [
    ['g', zlib.gzipSync(zeros)],
    ['z', zlib.zstdCompressSync(zeros)]
  ] as const) {
    const client = await sent(t, forward, packed('t', bomb, { chunk }), ackOf(chunk))
    highest = Math.max(highest, process.memoryUsage.rss() - before)
    const letters = forward.host.records('dlq/in.fwd').map(({ record }) => record)
    const last = letters.at(-1) as { bytes: Buffer; reason: string }
    t.equal(last.reason, 'consecutive_invalid')
    t.ok(last.bytes.equals(bomb))
    client.destroy()
  }
  t.ok(forward.host.counter('decompressed_bytes') < 20 * MIB, 'not all of it was inflated')
  t.ok(forward.host.warnings.length <= 1)
  t.ok(highest < 64 * MIB, `${highest} bytes more`)
})

t.test('a body over max_decompressed_bytes, and one that is damaged far behind', async (t) => {
  const forward = await forwardHost(t, { max_decompressed_bytes: 10 * MIB })
  const { body } = bodyOf(11 * MIB, 1024)
  const damaged = zlib.gzipSync(body.subarray(0, 9 * MIB))
  damaged.writeUInt32LE(1, damaged.length - 8)
  const bytes = Buffer.concat([
    packed('t', zlib.gzipSync(body), { chunk: 'a' }),
    packed('t', damaged, { chunk: 'b' }),
    packed('t', zlib.zstdCompressSync(body), { chunk: 'c' })
  ])
  const client = await sent(t, forward, bytes, Buffer.concat([ackOf('a'), ackOf('b'), ackOf('c')]))
  t.equal(recordCount(forward), 0)
  t.equal(forward.host.counter('input_rejected_records_total/too_large'), 2)
  t.equal(forward.host.counter('input_rejected_records_total/undecodable'), 1)
  client.destroy()
})

t.test(
  'the spool waits for room on the volume, and a disk that fails resets the sender',
  async (t) => {
    let fault: string | null = 'ENOSPC'
    const isSpool = new Set<number>()
    const storage: Storage = {
      ...nodeStorage,
      open(path, mode) {
        const file = nodeStorage.open(path, mode)
        if (path.includes('/spool/')) isSpool.add(file)
        return file
      },
      close(file) {
        isSpool.delete(file)
        nodeStorage.close(file)
      },
      writev(file, parts, atByte) {
        if (fault !== null && isSpool.has(file))
          throw Object.assign(new Error(fault), { code: fault })
        return nodeStorage.writev(file, parts, atByte)
      }
    }
    const forward = await forwardHost(t, {}, { storage })
    const { body, count } = bodyOf(9 * MIB, 1024)
    const client = await ForwardClient.connect(forward.address)
    client.send(packed('t', body, { chunk: 'c' }))
    const paused = () => forward.host.counter('input_paused_total/spool')
    await eventually('it waits', 10_000, () => paused() === 1)
    fault = null
    t.equal((await client.receive(1)).toString('hex'), ackOf('c').toString('hex'))
    t.equal(recordCount(forward), count)
    client.destroy()
    fault = 'EIO'
    const other = await ForwardClient.connect(forward.address)
    other.socket.on('error', () => {})
    other.send(packed('t', body, { chunk: 'd' }))
    t.equal(await other.closed, 'reset')
    const closed = () => forward.host.counter('input_connections_closed_total/spool')
    await eventually('it is counted', 10_000, () => closed() === 1)
    t.equal(recordCount(forward), count)
    t.equal(isSpool.size, 0)
  }
)

t.test(
  'two routes, lanes by a field, and a resend that completes what one route lacks',
  async (t) => {
    const id = Buffer.from(encode('c')).toString('latin1')
    const forward = await forwardHost(
      t,
      {},
      {
        routes: [
          { id: 'all', goesOn: true },
          { id: 'more', lanes: 2, laneKey: { kind: 'field', path: ['n'] } }
        ],
        recoveredIngestIds: { 'routes/all': [`t\0${id}`] }
      }
    )
    const { body, count } = bodyOf(9 * MIB, 1024)
    const inLanes = () =>
      [0, 1].map((lane) =>
        forward.host.groups('routes/more', lane).reduce((sum, each) => sum + each.recordCount, 0)
      )
    const client = await sent(t, forward, packed('t', body, { chunk: 'c' }), ackOf('c'))
    t.equal(forward.host.recordCount('routes/all'), 0, 'it has it from before')
    t.equal(forward.host.counter('duplicate_chunks'), 1)
    const lanes = inLanes()
    t.equal((lanes[0] ?? 0) + (lanes[1] ?? 0), count)
    t.ok(lanes.every((each) => each > 0))
    client.send(packed('t', body, { chunk: 'd' }))
    await client.receive(2 * ackOf('c').length)
    t.equal(forward.host.recordCount('routes/all'), count)
    t.same(
      inLanes(),
      lanes.map((each) => 2 * each)
    )
    client.destroy()
  }
)

t.test('a sender that goes away in the middle leaves nothing', async (t) => {
  const forward = await forwardHost(t)
  const { body } = bodyOf(12 * MIB, 1024)
  const client = await ForwardClient.connect(forward.address)
  const bytes = packed('t', body, { chunk: 'c' })
  await client.sendPieces([bytes.subarray(0, 11 * MIB)])
  client.destroy()
  await eventually('its spool is gone', 10_000, () => {
    return forward.host.counter('connections') === 0 && forward.host.counter('spool_bytes', 1) === 0
  })
  const other = await sent(t, forward, message('ok'), ackOf('ok'))
  t.equal(recordCount(forward), 1)
  other.destroy()
})

/** Sends a packed message of `body`, many times over, without holding it. */
async function sendRepeated(
  client: ForwardClient,
  body: Buffer,
  count: number,
  option: object,
  onSent: () => void = () => {}
): Promise<void> {
  const head = bin32(Buffer.alloc(0))
  head.writeUInt32BE(body.length * count, 1)
  await client.sendPieces([Buffer.concat([hex('93'), encode('t'), head])])
  for (let each = 0; each < count; each++) {
    await client.sendPieces([body])
    onSent()
  }
  await client.sendPieces([Buffer.from(encode(option))])
}

t.test(`C02 ${LONG_MIB} MiB of 1 KiB entries grow the process by less than 64 MiB`, async (t) => {
  const forward = await forwardHost(t)
  const { body, count } = bodyOf(MIB, 1024)
  const client = await ForwardClient.connect(forward.address)
  // What is there once: kernel memory of the parts, buffers of the writer.
  await sendRepeated(client, body, 12, { chunk: 'a' })
  await client.receive(ackOf('a').length)
  const before = process.memoryUsage.rss()
  let highest = 0
  const look = () => {
    highest = Math.max(highest, process.memoryUsage.rss() - before)
  }
  await sendRepeated(client, body, LONG_MIB, { chunk: 'b' }, look)
  while (client.received.length < 2 * ackOf('a').length) {
    look()
    await new Promise((resolve) => setImmediate(resolve))
  }
  t.equal(forward.host.counter('received_records'), (LONG_MIB + 12) * count)
  t.equal(forward.host.counter('acks'), 2)
  t.ok(highest < 64 * MIB, `${Math.round(highest / MIB)} MiB more`)
  client.destroy()
})

const hex = (text: string): Buffer => Buffer.from(text, 'hex')

const message = (chunk: string): Buffer =>
  Buffer.from(encode(['t', [[1_700_000_000, { a: 1 }]], { chunk }]))

function cutUp(bytes: Buffer, pieceBytes: number): Buffer[] {
  const pieces: Buffer[] = []
  for (let at = 0; at < bytes.length; at += pieceBytes) {
    pieces.push(bytes.subarray(at, at + pieceBytes))
  }
  return pieces
}
