import { ExtData } from '@msgpack/msgpack'
import t from 'tap'
import { decoded, jsonOf, jsonOfStored } from '../../src/codec/json-view.ts'
import { EventTime, encodeValue } from '../../src/codec/msgpack-value.ts'

t.test('a record reads as it was sent', (t) => {
  const record = { log: 'GET / 200', code: 200, took: 0.25, ok: true, none: null, tags: ['a', {}] }
  t.same(JSON.parse(jsonOfStored(encodeValue(record))), record)
  t.end()
})

t.test('64-bit integers keep every digit, in both directions from zero', (t) => {
  const bytes = Buffer.from(`92cf${'f'.repeat(16)}d38000000000000000`, 'hex')
  t.equal(jsonOfStored(bytes), '[18446744073709551615,-9223372036854775808]')
  t.end()
})

t.test('bytes that are UTF-8 stand as text, others as base64', (t) => {
  t.equal(jsonOf(Buffer.from('grün')), '"grün"')
  t.equal(jsonOf({ raw: Buffer.from([0xff, 0x00]) }), '{"raw":{"$base64":"/wA="}}')
  // A sequence that is cut, and one that is longer than it has to be, are no UTF-8.
  t.equal(jsonOf(Buffer.from([0x61, 0xc3])), '{"$base64":"YcM="}')
  t.equal(jsonOf(Buffer.from([0xc0, 0x80])), '{"$base64":"wIA="}')
  t.equal(jsonOf(new Uint8Array(Buffer.from('xabcx')).subarray(1, 4)), '"abc"', 'part of a buffer')
  t.end()
})

t.test('numbers that JSON does not have are marked, not turned into null', (t) => {
  t.equal(
    jsonOf([Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]),
    '[{"$float":"NaN"},{"$float":"Infinity"},{"$float":"-Infinity"}]'
  )
  t.end()
})

t.test('times of the Forward protocol are RFC 3339, other extensions keep type and bytes', (t) => {
  const time = new EventTime(1_795_161_600, 5)
  t.equal(jsonOfStored(encodeValue(time)), '"2026-11-20T08:00:00.000000005Z"')
  t.equal(jsonOf(new ExtData(7, new Uint8Array([1, 2]))), '{"$ext":7,"$base64":"AQI="}')
  t.equal(jsonOfStored(Buffer.from('d4070a', 'hex')), '{"$ext":7,"$base64":"Cg=="}')
  t.end()
})

t.test('a time that MessagePack has and the calendar has not is null', (t) => {
  t.equal(jsonOf(new Date(Date.UTC(2026, 10, 20))), '"2026-11-20T00:00:00.000Z"')
  t.equal(jsonOf(new Date(Number.NaN)), 'null')
  t.end()
})

t.test('bytes that are no single value stand as they are', (t) => {
  for (const hex of ['', 'c1', '93c0', 'c0c0', 'ddffffffff']) {
    const bytes = Buffer.from(hex, 'hex')
    const json = JSON.parse(jsonOfStored(bytes)) as { $msgpack: string }
    t.same(json, { $msgpack: bytes.toString('base64') }, hex)
  }
  const forbidden = encodeValue(JSON.parse('{"__proto__": 1}'))
  t.equal(decoded(forbidden), undefined, 'a key that would change the object')
  t.same(JSON.parse(jsonOfStored(forbidden)), { $msgpack: forbidden.toString('base64') })
  t.end()
})
