// Bytes that are no Forward, or lie about what comes, beside an honest sender: cases of the wire against the whole program.

import t from 'tap'
import { eventually } from '../support/eventually.ts'
import { attack, hostileWorld, LIMIT_MS } from '../support/hostile-world.ts'

const hex = (text: string) => Buffer.from(text, 'hex')
const DEPTH = 20_000
/** Memory may grow so much while an attack lasts. */
const GROWTH_BYTES_MAX = 64 * 2 ** 20
/** Lines about senders per minute, input and thread. */
const LOG_LINES_MAX = 30

t.setTimeout(120_000)

t.test(
  'X11 X13 X14 C03 what is declared is not believed, and ends that connection alone',
  async (t) => {
    const world = await hostileWorld(t)
    const before = world.memory()
    const attacks: [string, Buffer][] = [
      ['X11 an array of 4 G elements', hex('ddffffffff')],
      [
        'X13 an array in an array, 20,000 deep',
        Buffer.concat([hex('93a17400' + '81a161'), Buffer.alloc(DEPTH, 0x91)])
      ],
      ['X14 a text of 4 GB', hex('93a174ce6553f10081a161dbffffffff41')],
      ['C03 a body of 300 MiB', hex('93a174c612c00000')]
    ]
    for (const [name, bytes] of attacks) {
      t.equal(await attack(world.forwardPort, bytes).closed, 'reset', name)
    }
    const reset = () => world.count('input_connections_closed_total', 'reason="protocol"')
    const oversize = () => world.count('input_connections_closed_total', 'reason="oversize"')
    await eventually('each is counted', LIMIT_MS, async () => {
      return (await reset()) + (await oversize()) === attacks.length
    })
    t.equal(await world.count('forward_oversize_frames_total'), 3, 'too long by what they declare')
    t.equal(await reset(), 1, 'too deep')
    const lines = world.logLines('first_bytes')
    t.equal(lines.length, attacks.length, 'one line each')
    for (const line of lines) {
      t.match(line, { level: /warn|40/, peer: '127.0.0.1', first_bytes: /^[0-9a-f]{2,128}$/ })
    }
    await world.proveHonest()
    t.ok(world.memory() - before < GROWTH_BYTES_MAX, `grew by ${world.memory() - before}`)
    await world.finish()
  }
)

t.test('X12 declared lengths that may still come take no memory until they come', async (t) => {
  const world = await hostileWorld(t)
  const before = world.memory()
  const heads = [
    hex('92a174dd01ffffff'),
    // Bodies of 256 KiB, of 8 MiB and of 256 MiB of which 20 bytes come.
    Buffer.concat([hex('92a174c600040000'), Buffer.alloc(20)]),
    Buffer.concat([hex('92a174c600800000'), Buffer.alloc(20)]),
    Buffer.concat([hex('92a174c610000000'), Buffer.alloc(20)])
  ]
  const attackers = Array.from({ length: 1000 }, (_, index) =>
    attack(world.forwardPort, heads[index % heads.length])
  )
  await eventually('all are there', LIMIT_MS, async () => {
    return (await world.count('input_connections', 'input="agents"')) === attackers.length + 1
  })
  await world.proveHonest()
  t.equal(await world.count('input_paused_total', 'reason="memory"'), 0, 'nobody was held up')
  t.ok(world.memory() - before < GROWTH_BYTES_MAX, `grew by ${world.memory() - before}`)
  for (const { socket } of attackers) socket.destroy()
  await eventually('their connections are gone', LIMIT_MS, async () => {
    return (await world.count('input_connections', 'input="agents"')) === 1
  })
  await world.finish()
})

t.test('garbage of every first byte, HTTP, TLS and PROXY headers store nothing', async (t) => {
  const world = await hostileWorld(t)
  const others: [string, string | Buffer][] = [
    ['http', 'GET / HTTP/1.1\r\nHost: x\r\n\r\n'],
    ['http', 'POST /app HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}'],
    ['tls', hex('16030102000100')],
    ['proxy', 'PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n'],
    ['proxy', hex('0d0a0d0a000d0a515549540a21110000')]
  ]
  for (const [protocol, bytes] of others) {
    const count = () => world.count('forward_protocol_mismatch_total', `proto="${protocol}"`)
    const before = await count()
    const { closed, socket } = attack(world.forwardPort, bytes)
    await eventually(`${protocol} is counted`, LIMIT_MS, async () => (await count()) > before)
    socket.end()
    await closed
  }
  const garbage = Array.from({ length: 256 }, (_, first) => {
    // Bytes that no message begins with follow; some first bytes only ask for more, so the end is the sender's.
    const { closed, socket } = attack(world.forwardPort, Buffer.from([first, 0xc1, 0xc1, 0xc1]))
    socket.end()
    return closed
  })
  await Promise.all(garbage)
  await eventually('all of them are gone', LIMIT_MS, async () => {
    return (await world.count('input_connections', 'input="agents"')) === 1
  })
  const refused = await world.count('forward_protocol_mismatch_total', 'proto="other"')
  t.ok(refused >= 200, `${refused} of 256 were refused by their bytes`)
  const lines = world.logLines('first_bytes').length
  t.ok(lines >= others.length && lines <= LOG_LINES_MAX, `${lines} lines`)
  await world.proveHonest()
  await world.finish()
})

t.test('C16 messages that dying clients cut short harm no other', async (t) => {
  const world = await hostileWorld(t)
  const message = hex('93a861' + '70702e7761766500' + '81a36c6f67a3313233')
  for (let cut = 1; cut < message.length; cut++) {
    const { closed, socket } = attack(world.forwardPort, message.subarray(0, cut))
    socket.end()
    await closed
    const dying = attack(world.forwardPort, message.subarray(0, cut))
    dying.socket.once('connect', () => dying.socket.resetAndDestroy())
    await dying.closed
  }
  const { closed, socket } = attack(world.forwardPort, message)
  socket.end()
  await closed
  await eventually('the whole one is stored', LIMIT_MS, () =>
    world.search.documents.some(({ source }) => source.includes('"log":"123"'))
  )
  await world.proveHonest()
  await world.finish(1)
})
