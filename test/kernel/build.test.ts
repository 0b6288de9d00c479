// Runs on: any.
// kernel.wasm is committed, so that nobody needs a build step to run; here it is held against its sources.

import { readFileSync } from 'node:fs'
import t from 'tap'
import { compileKernel, KERNEL_WASM_PATH } from '../../src/kernel/build.ts'
import { instantiateKernel, TAIL_BYTES } from '../../src/kernel/instance.ts'

t.test('the committed kernel is what its sources compile to, byte for byte', async (t) => {
  const fresh = Buffer.from(await compileKernel())
  const committed = readFileSync(KERNEL_WASM_PATH)
  t.ok(fresh.equals(committed), 'run `npm run kernel` and commit src/kernel/kernel.wasm')
  t.ok(fresh.equals(Buffer.from(await compileKernel())), 'a second run gives the same bytes')
})

t.test('reserved areas are zeroed, apart from each other and followed by a tail', (t) => {
  const kernel = instantiateKernel<object>({ memoryBytes: 4 * 65_536 })
  const first = kernel.reserve(100)
  const second = kernel.reserve(100)
  t.equal(first % 64, 0)
  t.ok(second >= first + 100 + TAIL_BYTES)
  t.ok(kernel.memory.subarray(first, second + 100).every((byte) => byte === 0))
  t.end()
})

t.test('an area that does not fit is refused before memory is touched', (t) => {
  const kernel = instantiateKernel<object>({ memoryBytes: 2 * 65_536 })
  const free = kernel.freeBytes()
  t.throws(() => kernel.reserve(free + 1), { message: /has no room/ })
  kernel.reserve(free)
  t.throws(() => kernel.reserve(1), { message: /has no room/ })
  t.throws(() => instantiateKernel<object>({ memoryBytes: 2 ** 31 + 1 }), { message: /over 2 GiB/ })
  t.end()
})
