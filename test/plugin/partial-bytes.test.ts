import { encode } from '@msgpack/msgpack'
import t from 'tap'
import { ScanKernel } from '../../src/kernel/scan-kernel.ts'
import { PartialBytes, ReadArea } from '../../src/plugin/partial-bytes.ts'
import { eventually } from '../support/eventually.ts'
import { ForwardClient } from '../support/forward-client.ts'
import { forwardHost } from '../support/forward-host.ts'

const KIB = 1024
const MIB = 1024 * KIB
const LIMIT_MS = 20_000

function build() {
  const kernel = new ScanKernel({ memoryBytes: 32 * MIB, borrowBytesMax: 8 * MIB })
  const area = new ReadArea(kernel)
  const partial = new PartialBytes(kernel, area)
  /** What a socket read. */
  const read = (text: string): number => area.readBuffer.write(text)
  const join = (byteCount: number): Buffer => {
    const bytes = partial.join(byteCount)
    if (bytes === 'no_memory') throw new Error('no memory')
    return bytes
  }
  return { kernel, partial, read, join }
}

t.test('a short rest is put in front of the next read', (t) => {
  const { kernel, partial, read, join } = build()
  const first = join(read('abcdef'))
  t.equal(String(first), 'abcdef')
  t.equal(partial.keep(first.subarray(4), 10), 'kept')
  t.equal(partial.byteCount, 2)
  t.equal(partial.missingBytes, 8)
  t.ok(kernel.borrowedBytes > 0)
  t.equal(partial.isShort(3), true)
  t.equal(partial.isShort(8), false)
  t.equal(String(partial.join(read('ghij'))), 'efghij')
  partial.release()
  t.equal(kernel.borrowedBytes, 0)
  t.end()
})

t.test('a message that is not complete grows in place, then is read with its last piece', (t) => {
  const { kernel, partial, read, join } = build()
  const first = join(read('<'))
  partial.keep(first, 200 * KIB)
  const piece = 'x'.repeat(50 * KIB)
  for (let i = 0; i < 3; i++) t.equal(partial.add(read(piece)), 'kept')
  t.equal(String(partial.bytes()), `<${piece.repeat(3)}`)
  const whole = join(read(piece))
  t.equal(String(whole), `<${piece.repeat(4)}`)
  partial.keep(whole.subarray(whole.length - 5), 10)
  t.equal(String(partial.bytes()), 'xxxxx')
  partial.keep(partial.bytes().subarray(5), 0)
  t.equal(kernel.borrowedBytes, 0)
  t.end()
})

t.test('a large block with little in it is changed for a small one', (t) => {
  const { partial, read, join } = build()
  const first = join(read('<'))
  partial.keep(first, 3 * MIB)
  const piece = 'y'.repeat(200 * KIB)
  for (let i = 0; i < 12; i++) partial.add(read(piece))
  t.ok(partial.heldBytes >= 2 * MIB)
  partial.keep(partial.bytes().subarray(-3), 5)
  t.equal(String(partial.bytes()), 'yyy')
  t.ok(partial.heldBytes <= 4 * KIB)
  partial.release()
  t.end()
})

t.test('used up memory is told, and what was kept stands', (t) => {
  const { kernel, partial, read, join } = build()
  const others = kernel.borrow(8 * MIB)
  const first = join(read('abc'))
  t.equal(partial.keep(first, 5), 'no_memory')
  if (others !== null) kernel.giveBack(others)
  t.equal(partial.keep(first, 5), 'kept')
  t.equal(String(partial.bytes()), 'abc')
  partial.release()
  t.end()
})

// A holder of a little over 1 MiB has a block of 2 MiB: 40 of them are above the 64 MiB of a thread, with as few bytes to
// write to the disk as can be.
t.test(
  'Q41 many half messages pause the largest holders and all complete in the end',
  async (t) => {
    const { host, address } = await forwardHost(t)
    const body = 'z'.repeat(1.1 * MIB)
    const halfBytes = 1.05 * MIB
    const senders = await Promise.all(
      Array.from({ length: 40 }, () => ForwardClient.connect(address))
    )
    const messages = senders.map((_, i) =>
      Buffer.from(encode(['t', [[1, { m: body }]], { chunk: `c${i}` }]))
    )
    for (const [i, sender] of senders.entries()) sender.send(messages[i]!.subarray(0, halfBytes))
    await eventually('somebody is paused', LIMIT_MS, () => {
      return host.counter('input_paused_total/memory') > 0
    })
    for (const [i, sender] of senders.entries()) sender.send(messages[i]!.subarray(halfBytes))
    for (const [i, sender] of senders.entries()) {
      const expected = Buffer.from(encode({ ack: `c${i}` }))
      if (!(await sender.receive(expected.length)).equals(expected)) t.fail(`ack of sender ${i}`)
      sender.destroy()
    }
    t.equal(host.recordCount(), 40)
    t.equal(host.counter('input_connections_closed_total/memory'), 0)
  }
)
