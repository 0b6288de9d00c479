import zlib from 'node:zlib'
import t from 'tap'
import {
  type Compression,
  compressionOf,
  INFLATE_STEP_BYTES_MAX,
  type Inflated,
  inflateAtOnce,
  inflateInSteps
} from '../../src/codec/inflate.ts'
import { bytesFrom } from '../../src/codec/zstd-frames.ts'

const MIB = 1024 * 1024
const gzip = (text: string | Buffer): Buffer => zlib.gzipSync(text)
const zstd = (text: string | Buffer): Buffer => zlib.zstdCompressSync(text)

/** Both ways have to agree wherever the short way takes the body. */
async function inflate(
  body: Buffer,
  outputBytesMax = 8 * MIB
): Promise<{ result: Inflated; output: Buffer; isAtOnce: boolean }> {
  const compression = compressionOf(body) as Compression
  const parts: Buffer[] = []
  const result = await inflateInSteps(
    compression,
    bytesFrom(body),
    outputBytesMax,
    (part): undefined => {
      parts.push(Buffer.from(part))
    }
  )
  const short: Buffer[] = []
  const atOnce = inflateAtOnce(compression, body, outputBytesMax, (part) => {
    short.push(Buffer.from(part))
  })
  if (atOnce !== null) {
    t.same(atOnce, result, 'both ways agree on the result')
    if (result.kind === 'done') t.ok(Buffer.concat(short).equals(Buffer.concat(parts)))
    else t.equal(short.length, 0, 'nothing is handed out of a bad body')
  }
  return { result, output: Buffer.concat(parts), isAtOnce: atOnce !== null }
}

const DONE = { kind: 'done' }
const UNDECODABLE = { kind: 'failed', reason: 'undecodable' }
const TOO_LARGE = { kind: 'failed', reason: 'too_large' }

t.test('the magic decides what a body is', (t) => {
  t.equal(compressionOf(gzip('x')), 'gzip')
  t.equal(compressionOf(zstd('x')), 'zstd')
  t.equal(compressionOf(Buffer.from('502a4d1800000000', 'hex')), 'zstd', 'a skippable frame first')
  t.equal(compressionOf(Buffer.from('92d7006553f100', 'hex')), null)
  t.equal(compressionOf(Buffer.from('1f', 'hex')), null)
  t.equal(compressionOf(Buffer.alloc(0)), null)
  t.end()
})

t.test('P06 every gzip member is inflated, P07 zeros after the last are passed over', async (t) => {
  const body = Buffer.concat([gzip('one '), gzip(''), gzip('two'), Buffer.alloc(8)])
  const { result, output, isAtOnce } = await inflate(body)
  t.same(result, DONE)
  t.equal(output.toString(), 'one two')
  t.ok(isAtOnce)
})

t.test('P11 every zstd frame is inflated, skippable ones are passed over', async (t) => {
  const skippable = Buffer.from('5f2a4d1803000000aabbcc', 'hex')
  const body = Buffer.concat([skippable, zstd('one '), skippable, zstd('two'), skippable])
  const { result, output, isAtOnce } = await inflate(body)
  t.same(result, DONE)
  t.equal(output.toString(), 'one two')
  t.ok(isAtOnce)
})

t.test('2,000 small zstd frames come out whole', async (t) => {
  const frame = zstd('0123456789')
  const { result, output } = await inflate(Buffer.concat(Array(2000).fill(frame)))
  t.same(result, DONE)
  t.ok(output.equals(Buffer.from('0123456789'.repeat(2000))))
})

t.test('P08 a cut body, a bad checksum and bytes after the end cannot be decoded', async (t) => {
  for (const whole of [gzip('hello hello hello'), zstd('hello hello hello')]) {
    const flipped = Buffer.from(whole)
    flipped[whole.length - 5] = (flipped[whole.length - 5] ?? 0) ^ 0xff
    for (const body of [
      whole.subarray(0, whole.length - 6),
      Buffer.concat([whole, Buffer.from('garbage')])
    ]) {
      t.same((await inflate(body)).result, UNDECODABLE)
    }
  }
  const crc = gzip('hello hello hello')
  crc[crc.length - 6] = (crc[crc.length - 6] ?? 0) ^ 0xff
  t.same((await inflate(crc)).result, UNDECODABLE)
})

t.test('a body larger than a step goes the stepwise way and comes out whole', async (t) => {
  const plain = Buffer.alloc(3 * MIB + 17)
  for (let i = 0; i < plain.length; i += 64) plain.writeUInt32LE(i, i & ~3)
  for (const body of [gzip(plain), zstd(plain), Buffer.concat([zstd('a'), zstd(plain)])]) {
    const { result, output, isAtOnce } = await inflate(body)
    t.same(result, DONE)
    t.equal(isAtOnce, false)
    t.ok(output.subarray(output.length - plain.length).equals(plain))
  }
})

t.test('P20 a bomb is stopped at the bound and handed out in steps', async (t) => {
  const zeros = Buffer.alloc(20 * MIB)
  for (const body of [gzip(zeros), zstd(zeros), Buffer.concat([zstd('ok'), zstd(zeros)])]) {
    const parts: number[] = []
    const compression = compressionOf(body) as Compression
    const result = await inflateInSteps(
      compression,
      bytesFrom(body),
      4 * MIB,
      (part): undefined => {
        parts.push(part.length)
      }
    )
    t.same(result, TOO_LARGE)
    const byteCount = parts.reduce((sum, count) => sum + count, 0)
    t.ok(byteCount <= 4 * MIB, `${byteCount} bytes came out`)
    t.ok(Math.max(0, ...parts) <= INFLATE_STEP_BYTES_MAX)
  }
})

t.test('a small body above the limit is refused as well', async (t) => {
  for (const body of [gzip('x'.repeat(2000)), zstd('x'.repeat(2000))]) {
    const { result, isAtOnce } = await inflate(body, 1999)
    t.same(result, TOO_LARGE)
    t.notOk(isAtOnce, 'the short way hands nothing out')
    t.same((await inflate(body, 2000)).result, DONE)
  }
})
