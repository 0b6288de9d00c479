// The wire cases and captured conversations, through a real socket into real files.

import fs from 'node:fs'
import v8 from 'node:v8'
import vm from 'node:vm'
import zlib from 'node:zlib'
import { encode } from '@msgpack/msgpack'
import t from 'tap'
import { APPEND_TIME_MS, groupOf, runGroups } from '../../../test/kernel/support/render-fixture.ts'
import { ForwardClient } from '../../../test/support/forward-client.ts'
import { type ForwardHost, forwardHost } from '../../../test/support/forward-host.ts'

const WIRE = new URL('../../../test/fixtures/wire/', import.meta.url)

interface WireCase {
  readonly id: string
  readonly title: string
  readonly hex?: string
  readonly expect: {
    readonly events: readonly {
      readonly tag: string
      readonly time: string
      readonly record: unknown
    }[]
    readonly ack: string | null
    readonly connection: 'open' | 'close'
    readonly note?: string
  }
}

interface Capture {
  readonly format: string
  readonly frames: readonly { readonly kind: string; readonly tag: string; logRecords?: number }[]
}

const cases: WireCase[] = JSON.parse(fs.readFileSync(new URL('cases.json', WIRE), 'utf8'))
const captures: Record<string, Capture> = JSON.parse(
  fs.readFileSync(new URL('manifest.json', WIRE), 'utf8')
)

/** 1,000,000 for the case as it stands in the list. */
const TAGS = Number(process.env['MILLRACE_TAGS'] ?? 100_000)

const PROBE_ACK = Buffer.concat([Buffer.from('81a361636b', 'hex'), encode('probe')])
const PROBE = Buffer.from(encode(['probe', [[1_700_000_000, { p: 1 }]], { chunk: 'probe' }]))

/** Cases whose bytes are made from their title. */
function bytesOf(wireCase: WireCase): Buffer {
  if (wireCase.hex !== undefined) return Buffer.from(wireCase.hex, 'hex')
  const mib = 'x'.repeat(1024 * 1024)
  switch (wireCase.id) {
    case 'P20': {
      const body = zlib.gzipSync(Buffer.alloc(200_000_000))
      return Buffer.from(encode(['t', body, { compressed: 'gzip', chunk: 'cP20' }]))
    }
    case 'X13':
      return Buffer.concat([
        Buffer.from('93a174ce6553f10081a161', 'hex'),
        Buffer.alloc(20_000, 0x91)
      ])
    case 'V17':
      return Buffer.concat([
        Buffer.from('93a1749192d7006553f100075bcd15', 'hex'),
        encode({ a: mib }),
        encode({ chunk: 'cV17' })
      ])
    case 'V18': {
      const entries = Array.from({ length: 8 }, () => [1_700_000_000, { a: mib }])
      return Buffer.from(encode(['t', entries, { chunk: 'cV18' }]))
    }
    default:
      throw new Error(`no bytes for ${wireCase.id}`)
  }
}

/** `"c1"`, `"a" then "b"`, `bin 00ff`, `7`. */
function ackBytes(ack: string | null): Buffer {
  if (ack === null) return Buffer.alloc(0)
  const values = ack.split(' then ').map((text) => {
    if (text.startsWith('bin ')) return Buffer.from(text.slice(4), 'hex')
    return JSON.parse(text) as unknown
  })
  return Buffer.concat(values.map((value) => encode({ ack: value })))
}

/** Sends the bytes, then the probe, and waits for its ack or the end of the connection. */
async function converse(address: string, pieces: readonly Buffer[]): Promise<ForwardClient> {
  const client = await ForwardClient.connect(address)
  client.socket.on('error', () => {})
  await Promise.race([client.sendPieces([...pieces, PROBE]), client.closed])
  let byteCount = 0
  for (;;) {
    const received = await client.receive(byteCount)
    if (received.indexOf(PROBE_ACK) >= 0 || received.length < byteCount) return client
    byteCount = received.length + 1
  }
}

function answerBefore(client: ForwardClient): Buffer {
  const { received } = client
  const probeAt = received.indexOf(PROBE_ACK)
  return probeAt < 0 ? received : received.subarray(0, probeAt)
}

interface NewEvents {
  readonly tag: string
  readonly count: number
  /** As an output would write them. */
  readonly lines: readonly string[]
}

/** What is stored since the last call, without probes. */
function newEvents({ host }: ForwardHost, seen: { count: number }): NewEvents {
  const groups = host.groups().filter(({ tag }) => tag !== 'probe')
  const added = groups.slice(seen.count)
  seen.count = groups.length
  const stored = added.map(({ entries, form, recordCount, tag }) =>
    groupOf([entries], { tag, form: form === 2 ? 2 : 1, count: recordCount })
  )
  const layout = { timeField: { key: '@time', precision: 9 } } as const
  return {
    tag: added[0]?.tag ?? '',
    count: added.reduce((sum, group) => sum + group.recordCount, 0),
    lines: stored.length === 0 ? [] : runGroups(stored, { layout }).lines
  }
}

/** `1700000000.123456789`, or `now`: the append time of the frame. */
function isoTime(time: string): string {
  if (time === 'now') return `${new Date(APPEND_TIME_MS).toISOString().slice(0, -1)}000000Z`
  const [seconds = '', nanos = ''] = time.split('.')
  return `${new Date(Number(seconds) * 1000).toISOString().slice(0, 20)}${nanos}Z`
}

/** What the list writes in words instead of a value. */
function recordOf({ id }: WireCase, record: unknown): unknown {
  const mib = 'x'.repeat(1024 * 1024)
  if (id === 'V17' || id === 'V18') return { a: mib }
  if (id === 'V15') return { a: JSON.parse('['.repeat(64) + 1 + ']'.repeat(64)) as unknown }
  // Where a literal would mean something else.
  return typeof record === 'string' ? JSON.parse(record) : record
}

/** Digits that a float64 does not hold, as they have to stand in the text. */
const EXACT: Readonly<Record<string, string>> = {
  V04: '18446744073709551615',
  V05: '-9223372036854775808'
}

const REJECTED = [
  ...['bad_message', 'not_an_entry', 'bad_record', 'too_deep', 'too_large', 'cut_short'],
  'nested_batch'
].map((reason) => `input_rejected_records_total/${reason}`)

/** Counters that a case adds one to, by the note of the list. */
const COUNTED: readonly (readonly [RegExp, readonly string[]])[] = [
  [/invalid\+1/, REJECTED],
  [/bad_time\+1/, ['bad_time']],
  [/nested_forward\+1/, ['nested_forward']],
  [/nonlog\+1/, ['forward_nonlog_dropped_total/metrics']],
  [/sniffed/, ['compression_mismatch']],
  [/dead letter/, ['dead_letters']],
  [/mismatch\{http\}/, ['forward_protocol_mismatch_total/http']],
  [/mismatch\{tls\}/, ['forward_protocol_mismatch_total/tls']],
  [/mismatch\{proxy\}/, ['forward_protocol_mismatch_total/proxy']],
  [/over max frame/, ['oversize_frames']]
]

function countsOf({ host }: ForwardHost): number[] {
  return COUNTED.map(([, keys]) => keys.reduce((sum, key) => sum + host.counter(key), 0))
}

const NOT_HERE = new Set([
  // JSON, which has its own probe and acks.
  ...cases.filter(({ id }) => id.startsWith('J')).map(({ id }) => id),
  // Waits for bytes; has a test of its own.
  'X12'
])

t.test('wire cases', async (t) => {
  const forward = await forwardHost(t, { dedupe: 'off' })
  const seen = { count: 0 }
  for (const wireCase of cases) {
    if (NOT_HERE.has(wireCase.id)) continue
    const name = `${wireCase.id} ${wireCase.title}`
    const bytes = bytesOf(wireCase)
    const { events, ack, connection } = wireCase.expect
    const before = countsOf(forward)
    const client = await converse(forward.address, [bytes])
    const stored = newEvents(forward, seen)
    const note = wireCase.expect.note ?? ''
    const added = countsOf(forward).map((count, at) => count - (before[at] ?? 0))
    for (const [at, [pattern, keys]] of COUNTED.entries()) {
      // The time of M17 is text, which makes it a body of ten values.
      const count = wireCase.id === 'M17' ? 10 : 1
      if (pattern.test(note)) t.equal(added[at], count, `${name}: ${keys[0]}`)
    }
    if (events.length > 0) {
      const written = stored.lines.map((line) => JSON.parse(line) as unknown)
      const listed = wireCase.id === 'V18' ? Array(8).fill(events[0]) : events
      const expected = listed.map((event: (typeof events)[number]) => ({
        ...Object(recordOf(wireCase, event.record)),
        '@time': isoTime(event.time)
      }))
      if (EXACT[wireCase.id] !== undefined) {
        t.match(stored.lines[0], `:${EXACT[wireCase.id]}`, `${name}: exact digits`)
      } else t.same(written, expected, `${name}: as it is written`)
    }
    // The list shortens eight equal events to one.
    const eventCount = wireCase.id === 'V18' ? 8 : events.length
    t.equal(stored.count, eventCount, `${name}: events`)
    if (events[0] !== undefined) t.equal(stored.tag, events[0].tag, `${name}: tag`)
    if (connection === 'open') {
      t.equal(answerBefore(client).toString('hex'), ackBytes(ack).toString('hex'), `${name}: ack`)
      client.end()
    }
    t.equal(
      await client.closed,
      wireCase.id === 'X04' || connection === 'open' ? 'end' : 'reset',
      `${name}: ${connection}`
    )
  }
})

const JSON_PROBE = Buffer.from(' ["probe",[[1700000000,{"p":1}]],{"chunk":"probe"}]')
const JSON_PROBE_ACK = '{"ack":"probe"}'

for (const wireCase of cases.filter(({ id }) => id.startsWith('J'))) {
  t.test(`${wireCase.id} ${wireCase.title}, whole and byte by byte`, async (t) => {
    const forward = await forwardHost(t, { dedupe: 'off' })
    const bytes = bytesOf(wireCase)
    const { events, ack, connection } = wireCase.expect
    const pieces = [[bytes], Array.from(bytes, (_, at) => bytes.subarray(at, at + 1))]
    for (const sent of pieces) {
      const before = forward.host.counter('received_records')
      const client = await ForwardClient.connect(forward.address)
      await Promise.race([client.sendPieces([...sent, JSON_PROBE]), client.closed])
      if (connection === 'close') {
        t.equal(await client.closed, 'reset')
        continue
      }
      const expected = (ack?.replace('JSON ', '') ?? '') + JSON_PROBE_ACK
      t.equal((await client.receive(expected.length)).toString(), expected)
      t.equal(forward.host.counter('received_records') - before, events.length + 1)
      client.destroy()
    }
  })
}

t.test('D01 go-fluent-logger-1.9.0-json is stored', async (t) => {
  const forward = await forwardHost(t)
  const client = await ForwardClient.connect(forward.address)
  client.send(fs.readFileSync(new URL('go-fluent-logger-1.9.0-json.c2s.bin', WIRE)))
  client.send(JSON_PROBE)
  await client.receive(JSON_PROBE_ACK.length)
  t.equal(forward.host.counter('received_records'), 5)
  client.destroy()
})

t.test('X04 a browser is told that this is no HTTP port', async (t) => {
  const { address, host } = await forwardHost(t)
  const client = await ForwardClient.connect(address)
  client.send(Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n'))
  t.match((await client.receive(20)).toString(), /^HTTP\/1\.1 400 Bad Request\r\n/)
  t.equal(host.counter('forward_protocol_mismatch_total/http'), 1)
  t.match(host.warnings, [/HTTP on a Forward port/])
})

t.test('X12 a message that declares more than it sends waits and keeps nobody else', async (t) => {
  const { address } = await forwardHost(t)
  const waiting = await ForwardClient.connect(address)
  waiting.send(Buffer.from('92a174dd01ffffff', 'hex'))
  const other = await converse(address, [])
  t.ok(other.received.equals(PROBE_ACK))
  t.equal(waiting.received.length, 0)
  waiting.destroy()
})

for (const [name, capture] of Object.entries(captures)) {
  const hasHandshake = capture.frames.some(({ kind }) => kind === 'PING')
  if (hasHandshake || capture.format !== 'msgpack') continue
  t.test(
    `D01 ${name} is stored and answered like by the server it was captured with`,
    async (t) => {
      const forward = await forwardHost(t)
      const sent = fs.readFileSync(new URL(`${name}.c2s.bin`, WIRE))
      const answer = new URL(`${name}.s2c.bin`, WIRE)
      const expected = fs.existsSync(answer) ? fs.readFileSync(answer) : Buffer.alloc(0)
      const client = await converse(forward.address, [sent])
      t.equal(answerBefore(client).toString('hex'), expected.toString('hex'))
      const groups = forward.host.groups().filter(({ tag }) => tag !== 'probe')
      const recordCount = capture.frames.reduce((sum, frame) => sum + (frame.logRecords ?? 0), 0)
      t.equal(
        groups.reduce((sum, group) => sum + group.recordCount, 0),
        recordCount
      )
      const tags = capture.frames.filter((frame) => frame.logRecords).map(({ tag }) => tag)
      t.same([...new Set(groups.map(({ tag }) => tag))], [...new Set(tags)])
      client.end()
    }
  )
}

t.test('X01 every capture may come in pieces of any length', async (t) => {
  const forward = await forwardHost(t, { dedupe: 'off' })
  const names = [
    'docker-20.10.24-subsecond-ack-tagtemplate',
    'fluent-bit-5.1.1-metadata-gzip-ack',
    'fluentd-1.16.9-ack-gzip-multimember',
    'fluent-bit-5.1.1-otlp-group-markers-ack'
  ]
  for (const name of names) {
    const sent = fs.readFileSync(new URL(`${name}.c2s.bin`, WIRE))
    const expected = fs.readFileSync(new URL(`${name}.s2c.bin`, WIRE))
    const recordCount = captures[name]?.frames.reduce(
      (sum, each) => sum + (each.logRecords ?? 0),
      0
    )
    for (let cut = 1; cut < sent.length; cut++) {
      const before = forward.host.counter('received_records')
      const client = await converse(forward.address, [sent.subarray(0, cut), sent.subarray(cut)])
      const isRight =
        answerBefore(client).equals(expected) &&
        forward.host.counter('received_records') - before === (recordCount ?? 0) + 1
      if (!isRight) t.fail(`${name} cut at byte ${cut}`)
      client.destroy()
    }
    const bytewise = Array.from(sent, (_, at) => sent.subarray(at, at + 1))
    const client = await converse(forward.address, bytewise)
    t.equal(answerBefore(client).toString('hex'), expected.toString('hex'), `${name} byte by byte`)
    client.destroy()
  }
})

t.test('C16 a message that its dying sender cut leaves the next sender alone', async (t) => {
  const forward = await forwardHost(t)
  const whole = Buffer.from(encode(['cut', [[1_700_000_000, { a: 1 }]], { chunk: 'c' }]))
  for (let cut = 1; cut < whole.length; cut++) {
    const dying = await ForwardClient.connect(forward.address)
    await dying.sendPieces([whole.subarray(0, cut)])
    const other = await converse(forward.address, [])
    if (!other.received.equals(PROBE_ACK)) t.fail(`cut at ${cut}`)
    dying.destroy()
    other.destroy()
  }
  t.equal(forward.host.groups().filter(({ tag }) => tag === 'cut').length, 0)
})

t.test('C17 each ack comes in one segment, with the type byte of the request', async (t) => {
  const forward = await forwardHost(t)
  const client = await ForwardClient.connect(forward.address)
  const segments: string[] = []
  client.socket.on('data', (bytes: Buffer) => segments.push(bytes.toString('hex')))
  const ids = ['a3633031', 'd903633031', 'da0003633031', 'db00000003633031', 'c403633031', '07']
  let byteCount = 0
  for (const id of ids) {
    client.send(Buffer.from(`93a1749192ce6553f10081a1610181a56368756e6b${id}`, 'hex'))
    byteCount += 5 + id.length / 2
    await client.receive(byteCount)
  }
  t.same(
    segments,
    ids.map((id) => `81a361636b${id}`)
  )
  client.destroy()
})

/** What is still in use after garbage was collected. */
function usedBytes(): number {
  v8.setFlagsFromString('--expose-gc')
  const collect = vm.runInNewContext('gc') as () => void
  collect()
  const { heapUsed } = process.memoryUsage()
  return heapUsed
}

t.test(`C28 ${TAGS} distinct tags are stored within bounded memory`, async (t) => {
  const forward = await forwardHost(t)
  const client = await ForwardClient.connect(forward.address)
  const write = async (from: number, to: number) => {
    for (let start = from; start < to; start += 1000) {
      const messages: Uint8Array[] = []
      for (let tag = start; tag < start + 1000; tag++) {
        messages.push(encode([`docker.${tag}`, 1_700_000_000, { a: 1 }]))
      }
      await client.sendPieces([Buffer.concat(messages)])
    }
    client.send(PROBE)
  }
  await write(0, TAGS / 2)
  await client.receive(PROBE_ACK.length)
  const before = usedBytes()
  await write(TAGS / 2, TAGS)
  await client.receive(2 * PROBE_ACK.length)
  const grown = usedBytes() - before
  t.equal(forward.host.counter('received_records'), TAGS + 2)
  // Each tag that was kept would cost 100 bytes and more.
  t.ok(grown < TAGS * 40, `${grown} bytes more`)
  client.destroy()
})
