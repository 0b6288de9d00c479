// The HTTP input attacked while an honest sender of Forward and one of HTTP go on.

import { gzipSync } from 'node:zlib'
import t from 'tap'
import { eventually } from '../support/eventually.ts'
import { attack, type HostileWorld, hostileWorld, LIMIT_MS } from '../support/hostile-world.ts'

const MIB = 2 ** 20
/** The first use of code and buffers and the honest load included; far below what the bombs hold. */
const GROWTH_BYTES_MAX = 192 * MIB
const IDLE = Number(process.env['HOSTILE_IDLE'] ?? 2000)

t.setTimeout(120_000)

/** Posts a record and gives the status. */
async function post(world: HostileWorld, seq: number): Promise<number> {
  const answer = await fetch(`http://127.0.0.1:${world.httpPort}/app.web`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify([{ seq, log: 'posted' }])
  })
  await answer.text()
  return answer.status
}

/** What comes back until the end of the connection. */
async function exchange(port: number, bytes: string | Uint8Array): Promise<string> {
  const { closed, socket } = attack(port, bytes, true)
  let text = ''
  socket.on('data', (data) => {
    text += data.toString('latin1')
  })
  await closed
  return text
}

t.test('bombs: refused by their size after decompression, memory is bounded', async (t) => {
  const line = `{"log":"${'a'.repeat(1000)}"}\n`
  const forms: [string, Buffer, number][] = [
    // One endless line, and 400 MiB of spaces.
    [
      'application/x-ndjson',
      gzipSync(Buffer.concat([Buffer.from('{"log":"'), Buffer.alloc(400 * MIB, 0x61)]), {
        level: 1
      }),
      413
    ],
    ['application/x-ndjson', gzipSync(Buffer.alloc(400 * MIB, 0x20), { level: 1 }), 413],
    [
      'application/json',
      gzipSync(Buffer.concat([Buffer.alloc(300 * MIB, 0x20), Buffer.from(line)]), { level: 1 }),
      413
    ]
  ]
  const world = await hostileWorld(t)
  const before = world.memory()
  let peak = before
  for (const [type, body, status] of forms) {
    let answered = 0
    const headers = { 'content-type': type, 'content-encoding': 'gzip' }
    const url = `http://127.0.0.1:${world.httpPort}/app.bomb`
    void fetch(url, { method: 'POST', headers, body: new Uint8Array(body) }).then((answer) => {
      answered = answer.status
    })
    await eventually('an answer', LIMIT_MS, () => {
      peak = Math.max(peak, world.memory())
      return answered > 0
    })
    t.equal(answered, status, `${type} of ${body.length} bytes`)
  }
  t.equal(await post(world, -1), 200)
  await world.proveHonest()
  t.ok(peak - before < GROWTH_BYTES_MAX, `grew by ${Math.round((peak - before) / MIB)} MiB`)
  t.equal(await world.count('http_requests_total', 'code="413"'), forms.length)
  t.ok(world.logLines('a request was refused').length <= forms.length)
  await world.finish(1)
})

t.test(
  'smuggling, floods of headers and garbage are answered, counted, logged with their bytes',
  async (t) => {
    const world = await hostileWorld(t)
    const head = 'POST /app.smuggled HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n'
    const inner = 'POST /app.smuggled HTTP/1.1\r\nHost: x\r\nContent-Length: 12\r\n\r\n[{"seq":-9}]'
    const cases: [string, string, RegExp][] = [
      [
        'both lengths',
        `${head}Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${inner}`,
        /^HTTP\/1.1 400/
      ],
      [
        'two lengths',
        `${head}Content-Length: 0\r\nContent-Length: 12\r\n\r\n${inner}`,
        /^HTTP\/1.1 400/
      ],
      ['a length that is none', `${head}Content-Length: +12\r\n\r\n${inner}`, /^HTTP\/1.1 400/],
      [
        'a chunk length that is none',
        `${head}Transfer-Encoding: chunked\r\n\r\nzz\r\n${inner}`,
        /400/
      ],
      [
        'a coding that hides',
        `${head}Transfer-Encoding: xchunked\r\n\r\n${inner}`,
        /^HTTP\/1.1 400/
      ],
      [
        'lines that end by a bare LF',
        'POST /app HTTP/1.1\nHost: x\nContent-Length: 0\n\n',
        /^HTTP\/1.1 400/
      ],
      ['a header of 1 MiB', `${head}X: ${'x'.repeat(MIB)}\r\n\r\n`, /^(HTTP\/1.1 431|$)/],
      ['10,000 headers', `${head}${'X: y\r\n'.repeat(10_000)}\r\n`, /^(HTTP\/1.1 431|$)/],
      ['Forward', '\x93\xa1t\x00\x80', /^HTTP\/1.1 400/],
      ['TLS', '\x16\x03\x01\x02\x00\x01\x00', /^HTTP\/1.1 400/]
    ]
    for (const [name, bytes, answer] of cases) {
      t.match(await exchange(world.httpPort, Buffer.from(bytes, 'latin1')), answer, name)
    }
    const refused =
      (await world.count('http_requests_total', 'code="400"')) +
      (await world.count('http_requests_total', 'code="431"'))
    t.ok(refused >= cases.length, `${refused} are counted`)
    const lines = world.logLines('no HTTP request')
    t.ok(lines.length >= 1 && lines.length <= cases.length, `${lines.length} lines`)
    t.match(lines[0], { peer: '127.0.0.1', status: 400, first_bytes: /^[0-9a-f]{2,128}$/ })
    await world.proveHonest()
    await world.finish()
    t.notOk(
      world.search.documents.some(({ source }) => source.includes('-9')),
      'nothing smuggled'
    )
  }
)

t.test('slow headers and slow bodies by the hundred are answered 408 or closed', async (t) => {
  const world = await hostileWorld(t, { http: ', header_timeout: 2s' })
  const slow = 'POST /app.slow HTTP/1.1\r\nHost: x\r\n'
  const body = `${slow}Content-Type: application/json\r\nContent-Length: 1000000\r\n\r\n[`
  const ends = Array.from({ length: 400 }, (_, index) =>
    exchange(world.httpPort, index % 2 === 0 ? slow : body)
  )
  t.equal(await post(world, -1), 200)
  await world.proveHonest()
  const answers = await Promise.all(ends)
  const other = answers.find((text) => text !== '' && !text.startsWith('HTTP/1.1 408'))
  t.equal(other, undefined)
  t.ok((await world.count('http_requests_total', 'code="408"')) >= 200)
  await eventually('all are gone', LIMIT_MS, async () => {
    return (await world.count('input_connections', 'input="web"')) <= 1
  })
  await world.finish(1)
})

t.test(
  `${IDLE} idle keep-alive connections take little memory and end by keepalive_timeout`,
  async (t) => {
    const world = await hostileWorld(t, { http: ', keepalive_timeout: 3s' })
    const before = world.memory()
    const request = 'GET / HTTP/1.1\r\nHost: x\r\n\r\n'
    const closes: Promise<string>[] = []
    for (let index = 0; index < IDLE; index++) {
      closes.push(exchange(world.httpPort, request))
      if (index % 200 === 0) await world.proveHonest()
    }
    t.equal(await post(world, -1), 200)
    const answers = await Promise.all(closes)
    t.ok(answers.every((text) => text.startsWith('HTTP/1.1 ')))
    t.ok(world.memory() - before < GROWTH_BYTES_MAX, `grew by ${world.memory() - before}`)
    await world.finish(1)
  }
)
