// Runs on: any.

import fc from 'fast-check'
import t from 'tap'
import { createFrameHash, type HashExports } from '../../src/kernel/frame-hash.ts'
import { instantiateKernel } from '../../src/kernel/instance.ts'
import { xxh64 } from '../support/xxh64.ts'

const PRIME32 = 2654435761n
const PRIME64 = 11400714785074694797n

/** The byte generator of the reference implementation's self test. */
function sanityBytes(byteCount: number): Buffer {
  const bytes = Buffer.alloc(byteCount)
  let state = PRIME32
  for (let index = 0; index < byteCount; index += 1) {
    bytes[index] = Number(state >> 56n)
    state = BigInt.asUintN(64, state * PRIME64)
  }
  return bytes
}

/** Published vectors: [bytes, seed, hash]. */
const VECTORS: readonly (readonly [Buffer, bigint, bigint])[] = [
  [Buffer.alloc(0), 0n, 0xef46db3751d8e999n],
  [Buffer.alloc(0), PRIME32, 0xac75fda2929b17efn],
  [sanityBytes(1), 0n, 0xe934a84adb052768n],
  [sanityBytes(1), PRIME32, 0x5014607643a9b4c3n],
  [sanityBytes(4), 0n, 0x9136a0dca57457een],
  [sanityBytes(14), 0n, 0x8282dcc4994e35c8n],
  [sanityBytes(14), PRIME32, 0xc3bd6bf63deb6df0n],
  [sanityBytes(222), 0n, 0xb641ae8cb691c174n],
  [sanityBytes(222), PRIME32, 0x20cb8ab7ae10c14an],
  [Buffer.from('a'), 0n, 0xd24ec4f1a98c6e5bn],
  [Buffer.from('abc'), 0n, 0x44bc2cf5ad770999n]
]

const kernel = instantiateKernel<HashExports>({ memoryBytes: 16 * 65_536 })
const hash = createFrameHash(kernel)
const area = kernel.reserve(300_000)

t.test('both forms give the published values', (t) => {
  for (const [bytes, seed, expected] of VECTORS) {
    t.equal(xxh64([bytes], seed), expected, `twin, ${bytes.length} bytes, seed ${seed}`)
    t.equal(hash([bytes], seed), expected, `kernel, ${bytes.length} bytes, seed ${seed}`)
  }
  t.end()
})

t.test('bytes in the kernel memory give the same hash as a copy elsewhere', (t) => {
  const bytes = sanityBytes(200_001)
  const inside = kernel.memory.subarray(area + 3, area + 3 + bytes.length)
  inside.set(bytes)
  t.equal(hash([inside], 7n), hash([bytes], 7n))
  t.equal(hash([inside.subarray(0, 64), inside.subarray(64)], 7n), hash([bytes], 7n))
  t.equal(hash([inside], 8n) === hash([inside], 7n), false, 'the seed counts')
  t.end()
})

t.test('any cut into parts gives the hash of the whole, as the twin does', (t) => {
  fc.assert(
    fc.property(
      fc.array(fc.uint8Array({ maxLength: 100 }), { maxLength: 6 }),
      fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
      (parts, seed) => {
        const whole = Buffer.concat(parts)
        const inside = kernel.memory.subarray(area, area + whole.length)
        inside.set(whole)
        const expected = xxh64([whole], seed)
        return (
          hash(parts, seed) === expected &&
          hash([inside], seed) === expected &&
          hash([inside.subarray(0, 5), ...[inside.subarray(5)]], seed) === expected
        )
      }
    ),
    { numRuns: 500 }
  )
  t.end()
})
