// Connections by the thousand that are slow, empty, half-open or deaf, beside an honest sender.

import { encode } from '@msgpack/msgpack'
import t from 'tap'
import { eventually } from '../support/eventually.ts'
import { type Attacker, attack, hostileWorld, LIMIT_MS } from '../support/hostile-world.ts'

const MIB = 2 ** 20
const GROWTH_BYTES_MAX = 64 * MIB
/** Of an attacker whose records are stored and delivered at full speed: what any such sender makes the router take. */
const FULL_SPEED_BYTES_MAX = 192 * MIB
const SLOW = Number(process.env['HOSTILE_SLOW'] ?? 1000)
const CONNECTS = Number(process.env['HOSTILE_CONNECTS'] ?? 4000)
const TAGS = Number(process.env['HOSTILE_TAGS'] ?? 100_000)
const AT_A_TIME = 100

t.setTimeout(120_000)

/** `["app", 0, {"log": <text of 64 KiB>`: it never comes whole. */
const BEGUN = Buffer.from('93a361707000' + '81a36c6f67db00010000', 'hex')

t.test(
  'C06 C07 slow-loris by the thousand: reset in time, counted, and nobody waits',
  async (t) => {
    const world = await hostileWorld(t, { forward: ', frame_timeout: 2s' })
    const before = world.memory()
    const closes: Attacker['closed'][] = []
    for (let index = 0; index < SLOW; index++) {
      closes.push(attack(world.forwardPort, BEGUN).closed)
      if (index % AT_A_TIME === 0) await world.proveHonest()
    }
    const ends = await Promise.all(closes)
    t.ok(
      ends.every((end) => end === 'reset'),
      'reset, so that no client takes its message for delivered'
    )
    const late = await world.count('input_connections_closed_total', 'reason="frame_timeout"')
    t.equal(late, SLOW)
    const lines = world.logLines('frame_timeout')
    t.ok(lines.length >= 1 && lines.length <= 30, `${lines.length} lines`)
    t.match(lines[0], { peer: '127.0.0.1', first_bytes: BEGUN.toString('hex') })
    t.equal(await world.count('input_paused_total', 'reason="memory"'), 0)
    await world.proveHonest()
    t.ok(world.memory() - before < GROWTH_BYTES_MAX, `grew by ${world.memory() - before}`)
    await world.finish()
  }
)

t.test('C05 connects without a byte: nothing is logged and nothing is left', async (t) => {
  const world = await hostileWorld(t)
  const lines = world.router.log.length
  let before = 0
  for (let done = 0; done < CONNECTS; done += AT_A_TIME) {
    // By then code is compiled and the heap has grown to what it needs.
    if (before === 0 && done >= CONNECTS / 2) before = world.memory()
    const some = Array.from({ length: AT_A_TIME }, (_, index) => {
      const { closed, socket } = attack(world.forwardPort)
      // Balancers and port scanners leave in both ways.
      socket.once('connect', () => {
        if (index % 2 === 0) socket.end()
        else socket.resetAndDestroy()
      })
      return closed
    })
    await Promise.all(some)
  }
  await eventually('all are gone', LIMIT_MS, async () => {
    return (await world.count('input_connections', 'input="agents"')) === 1
  })
  t.equal(world.router.log.length, lines, 'no line in the log')
  await world.proveHonest()
  t.ok(world.memory() - before < GROWTH_BYTES_MAX / 2, `grew by ${world.memory() - before}`)
  await world.finish()
})

t.test('half-open connections with half a message end and hold nothing', async (t) => {
  const world = await hostileWorld(t)
  const ends = await Promise.all(
    Array.from({ length: 500 }, () => {
      const { closed, socket } = attack(world.forwardPort, BEGUN)
      socket.end()
      return closed
    })
  )
  t.equal(ends.length, 500)
  await eventually('all are gone', LIMIT_MS, async () => {
    return (await world.count('input_connections', 'input="agents"')) === 1
  })
  await world.finish()
})

t.test(
  'C15 the cap of connections: further ones are reset, counted, logged; room is used again',
  async (t) => {
    const world = await hostileWorld(t, { forward: ', max_connections: 50' })
    const held = Array.from({ length: 49 }, () => attack(world.forwardPort))
    await eventually('it is full', LIMIT_MS, async () => {
      return (await world.count('input_connections', 'input="agents"')) === 50
    })
    const ends = await Promise.all(
      Array.from({ length: 100 }, () => attack(world.forwardPort, BEGUN).closed)
    )
    t.ok(ends.every((end) => end === 'reset'))
    t.equal(await world.count('input_connections_closed_total', 'reason="too_many"'), 100)
    const lines = world.logLines('max_connections')
    t.ok(lines.length >= 1 && lines.length <= 30, `${lines.length} lines`)
    for (const { socket } of held) socket.destroy()
    await eventually('there is room', LIMIT_MS, async () => {
      return (await world.count('input_connections', 'input="agents"')) === 1
    })
    const later = attack(world.forwardPort, Buffer.from(encode(['app', 1, { log: 'late' }])))
    later.socket.end()
    await later.closed
    await world.finish(1)
  }
)

t.test('who never reads its acks is held, then reset; its memory is bounded', async (t) => {
  const world = await hostileWorld(t, { forward: ', frame_timeout: 2s' })
  const before = world.memory()
  const chunk = 'c'.repeat(4000)
  const deaf = attack(world.forwardPort, '', true)
  const message = Buffer.from(encode(['app.deaf', 1, {}, { chunk }]))
  const many = Buffer.concat(Array.from({ length: 250 }, () => message))
  let isOver = false
  void deaf.closed.then(() => {
    isOver = true
  })
  deaf.socket.pause()
  const pump = () => {
    while (!isOver && deaf.socket.write(many)) {}
  }
  deaf.socket.on('drain', pump)
  deaf.socket.once('connect', pump)
  await eventually('it is not read any more', LIMIT_MS, async () => {
    return (await world.count('input_paused_total', 'reason="acks"')) >= 1
  })
  await world.proveHonest()
  t.ok(world.memory() - before < FULL_SPEED_BYTES_MAX, `grew by ${world.memory() - before}`)
  await eventually('it is reset', LIMIT_MS, async () => {
    return (await world.count('input_connections_closed_total', 'reason="unread_acks"')) === 1
  })
  deaf.socket.destroy()
  await eventually('all that it sent is counted', LIMIT_MS, async () => {
    return (await world.router.metric('millrace_queue_pending_records')) < 1000
  })
  t.equal(world.honest.connects, 1)
  world.honest.close()
  t.equal(await world.router.stop(), 0)
})

t.test(`C28 ${TAGS.toLocaleString('en-US')} distinct tags take bounded memory`, async (t) => {
  const world = await hostileWorld(t)
  const before = world.memory()
  const { closed, socket } = attack(world.forwardPort)
  const messages: Buffer[] = []
  for (let tag = 0; tag < TAGS; tag++) {
    messages.push(Buffer.from(encode([`tag.${tag}.${'t'.repeat(100)}`, 1, { seq: -1 - tag }])))
  }
  socket.end(Buffer.concat(messages))
  await closed
  await eventually('all are stored', LIMIT_MS, () => world.search.documents.length >= TAGS)
  t.ok(world.memory() - before < FULL_SPEED_BYTES_MAX, `grew by ${world.memory() - before}`)
  await world.finish(TAGS)
})
