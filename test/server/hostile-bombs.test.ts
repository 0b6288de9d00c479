// Bodies that are small until they are inflated, beside an honest sender: acks of its own, bounded memory, dead letters.

import { constants, gzipSync, zstdCompressSync } from 'node:zlib'
import { encode } from '@msgpack/msgpack'
import t from 'tap'
import { eventually } from '../support/eventually.ts'
import { attack, hostileWorld, LIMIT_MS } from '../support/hostile-world.ts'

const MIB = 2 ** 20
/** Over all rounds, the first use of code and buffers and the honest load included. */
const GROWTH_BYTES_MAX = 128 * MIB
/** From when every bomb has come once. */
const LATER_GROWTH_BYTES_MAX = 64 * MIB
const ROUNDS = Number(process.env['HOSTILE_BOMBS'] ?? 4)

t.setTimeout(120_000)

/** An entry whose text is `byteCount` long. */
function longEntry(byteCount: number): Buffer {
  const head = Buffer.from('9200' + '81a36c6f67db00000000', 'hex')
  head.writeUInt32BE(byteCount, head.length - 4)
  return Buffer.concat([head, Buffer.alloc(byteCount, 0x61)])
}

const bomb = (body: Uint8Array, compressed: 'gzip' | 'zstd', chunk: string) =>
  Buffer.from(encode(['app.bomb', body, { compressed, chunk }]))
const gzip = (bytes: Buffer) => gzipSync(bytes, { level: 1 })
const zstd = (bytes: Buffer) =>
  zstdCompressSync(bytes, { params: { [constants.ZSTD_c_compressionLevel]: 1 } })

t.test('P20 C27 gzip and zstd bombs: honest acks go on, memory is bounded', async (t) => {
  const zeros = Buffer.alloc(200 * MIB)
  const text = longEntry(300 * MIB)
  const bodies: [Buffer, 'gzip' | 'zstd'][] = [
    [gzip(zeros), 'gzip'],
    [gzip(text), 'gzip'],
    [zstd(zeros), 'zstd'],
    [zstd(text), 'zstd']
  ]
  const world = await hostileWorld(t)
  const before = world.memory()
  let peak = before
  let firstPeak = before
  let sent = 0
  for (let round = 0; round < ROUNDS; round++) {
    // One of each compression at a time.
    const pair = bodies.filter((_, index) => index % 2 === round % 2)
    const answers = pair.map(async ([body, compressed]) => {
      const chunk = `bomb-${sent++}`
      const { socket } = attack(world.forwardPort, bomb(body, compressed, chunk), true)
      const [answer] = (await new Promise<Buffer[]>((resolve) => {
        socket.once('data', (data) => resolve([data]))
        socket.once('close', () => resolve([Buffer.alloc(0)]))
      })) as [Buffer]
      socket.destroy()
      t.ok(answer.includes(chunk), `${compressed} is acknowledged, not sent for ever`)
    })
    let isOver = false
    const all = Promise.all(answers).then(() => {
      isOver = true
    })
    const acked = world.honest.acked.length
    await eventually('the bombs of a round are dealt with', LIMIT_MS, () => {
      peak = Math.max(peak, world.memory())
      return isOver
    })
    await all
    t.ok(world.honest.acked.length > acked, 'honest acks came between')
    if (round === 1) firstPeak = peak
  }
  await world.proveHonest()
  t.ok(peak - before < GROWTH_BYTES_MAX, `grew by ${Math.round((peak - before) / MIB)} MiB`)
  const later = peak - firstPeak
  t.ok(later < LATER_GROWTH_BYTES_MAX, `grew by ${Math.round(later / MIB)} MiB in later rounds`)
  t.ok((await world.count('input_dead_letters_total', 'input="agents"')) >= sent, 'each is kept')
  t.ok(world.logLines('app.bomb').length <= sent, 'at most a line each')
  await world.finish()
})
