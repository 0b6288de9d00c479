import t from 'tap'
import { memoryCopy, sharedMemory } from '../../src/kernel/memory-copy.ts'

const PAGE_BYTES = 65_536

t.test('bytes arrive whatever the alignment, and nothing else changes', async (t) => {
  const from = new WebAssembly.Memory({ initial: 1, maximum: 1 })
  const to = sharedMemory(2 * PAGE_BYTES)
  const copy = memoryCopy(from, to)
  const source = Buffer.from(from.buffer)
  for (let at = 0; at < source.length; at++) source[at] = 1 + (at % 251)
  const target = Buffer.from(to.buffer)
  for (const [toByte, fromByte, byteCount] of [
    [0, 0, PAGE_BYTES],
    [PAGE_BYTES + 3, 1, 1001],
    [70_001, 8, 8],
    [2 * PAGE_BYTES - 5, PAGE_BYTES - 5, 5],
    [10, 20, 0]
  ] as const) {
    target.fill(0)
    copy(toByte, fromByte, byteCount)
    const expected = Buffer.alloc(target.length)
    source.copy(expected, toByte, fromByte, fromByte + byteCount)
    t.ok(target.equals(expected), `${byteCount} bytes from ${fromByte} to ${toByte}`)
  }
})

t.test('places outside of either memory are refused', async (t) => {
  const from = new WebAssembly.Memory({ initial: 1, maximum: 1 })
  const to = sharedMemory(PAGE_BYTES)
  const copy = memoryCopy(from, to)
  t.throws(() => copy(1, 0, PAGE_BYTES), { name: 'RuntimeError' })
  t.throws(() => copy(0, 1, PAGE_BYTES), { name: 'RuntimeError' })
  t.ok(Buffer.from(to.buffer).every((byte) => byte === 0))
})

t.test('shared memory crosses to threads and holds what was asked for', async (t) => {
  const memory = sharedMemory(100_000)
  t.ok(Buffer.from(memory.buffer) instanceof Buffer)
  t.ok(memory.buffer instanceof SharedArrayBuffer)
  t.equal(memory.buffer.byteLength, 2 * PAGE_BYTES)
  const clone = structuredClone(memory)
  Buffer.from(clone.buffer).writeUInt8(7, 99_999)
  t.equal(Buffer.from(memory.buffer).readUInt8(99_999), 7)
})
