// Runs on: any.

import t from 'tap'
import { type FirstBytes, firstBytesOf } from '../../src/kernel/first-bytes.ts'

const CASES: readonly (readonly [string | Buffer, FirstBytes])[] = [
  ['GET / HTTP/1.1', 'http'],
  ['POST /x', 'http'],
  ['HEAD /', 'http'],
  ['PUT /x', 'http'],
  ['OPTIONS *', 'http'],
  [Buffer.from([0x16, 0x03, 0x01]), 'tls'],
  ['PROXY TCP4 10.0.0.1', 'proxy'],
  [Buffer.from('0d0a0d0a000d0a515549540a21', 'hex'), 'proxy'],
  ['["t",1,{}]', 'json'],
  ['{"a":1}', 'json'],
  [' \t\r\n[', 'json'],
  ['\r\n\r\n[', 'json'],
  [Buffer.from([0xc1]), 'unknown'],
  ['PATCH /', 'unknown'],
  ['hello', 'unknown'],
  [`${' '.repeat(65)}[`, 'unknown'],
  [' x', 'unknown']
]

t.test('the protocol is told by the first bytes, and not before it can be', (t) => {
  for (const [text, expected] of CASES) {
    const bytes = Buffer.from(text)
    t.equal(firstBytesOf(bytes), expected, JSON.stringify(bytes.toString('latin1')))
    // Whatever is told of a part of the bytes is told of more of them.
    for (let end = 0; end <= bytes.length; end += 1) {
      const early = firstBytesOf(bytes.subarray(0, end))
      if (early !== 'wait') t.equal(early, expected, `${end} bytes`)
    }
  }
  t.end()
})
