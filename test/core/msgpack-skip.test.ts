import { encode } from '@msgpack/msgpack'
import fc from 'fast-check'
import t from 'tap'
import { skipValue } from '../../src/core/msgpack-skip.ts'

t.test('the end of any value is where the encoder stopped', (t) => {
  fc.assert(
    fc.property(
      fc.jsonValue({ maxDepth: 6 }),
      fc.uint8Array({ maxLength: 300 }),
      fc.uint8Array({ maxLength: 5 }),
      (value, blob, tail) => {
        const bytes = Buffer.concat([encode([value, blob]), tail])
        t.ok(skipValue(bytes, 0) === bytes.length - tail.length)
      }
    )
  )
  t.end()
})

t.test('a value that is cut anywhere has no end', (t) => {
  const bytes = Buffer.from(encode({ a: [1, 'two', new Uint8Array(70_000)], b: -70_000, c: 1.5 }))
  for (let end = 0; end < bytes.length; end += end < 40 ? 1 : 997) {
    t.equal(skipValue(bytes.subarray(0, end), 0), -1)
  }
  t.equal(skipValue(Buffer.from([0xc1]), 0), -1, 'c1 is never used')
  t.end()
})

t.test('every ext and number width is passed over', (t) => {
  const values = ['c70800', 'd6ff', 'd7ff', 'd8ff', 'd4ff', 'd5ff', 'cf', 'd3', 'cb', 'ca']
  const sizes = [11, 6, 10, 18, 3, 4, 9, 9, 9, 5]
  values.forEach((hex, index) => {
    const bytes = Buffer.concat([Buffer.from(hex, 'hex'), Buffer.alloc(20)])
    t.equal(skipValue(bytes, 0), sizes[index], hex)
  })
  t.end()
})
