import t from 'tap'
import { PROXY_HEADER_BYTES_MAX, parseProxyHeader } from '../../src/net/proxy-header.ts'
import { IPV6_BYTES, v1, v2 } from '../support/proxy-headers.ts'

const header = (byteCount: number, peer: object | null) => ({ kind: 'header', byteCount, peer })

t.test('C24 version 1 names the sender, and nothing behind its line is touched', (t) => {
  const four = v1('TCP4 192.0.2.7 10.0.0.1 5000 24224')
  const six = v1('TCP6 2001:db8::7 2001:db8::1 65535 1')
  t.same(parseProxyHeader(four), header(four.length, { address: '192.0.2.7', port: 5000 }))
  t.same(parseProxyHeader(six), header(six.length, { address: '2001:db8::7', port: 65_535 }))
  const behind = Buffer.concat([four, Buffer.from([0x93, 1, 10, 13])])
  t.same(parseProxyHeader(behind), header(four.length, { address: '192.0.2.7', port: 5000 }))
  for (const text of ['UNKNOWN', 'UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535']) {
    t.same(parseProxyHeader(v1(text)), header(v1(text).length, null))
  }
  t.end()
})

t.test('C24 version 2 names the sender by family; LOCAL and UNSPEC name none', (t) => {
  const four = v2({ family: 0x11, addresses: [192, 0, 2, 7, 10, 0, 0, 1, 0x13, 0x88, 0, 80] })
  t.same(parseProxyHeader(four), header(28, { address: '192.0.2.7', port: 5000 }))
  const six = v2({ family: 0x21, addresses: [...IPV6_BYTES, ...IPV6_BYTES, 0, 7, 0, 8] })
  t.same(parseProxyHeader(six), header(52, { address: '2001:db8::7', port: 7 }))
  const mapped = [...Array(10).fill(0), 255, 255, 192, 0, 2, 7]
  const plain = v2({ family: 0x21, addresses: [...mapped, ...mapped, 0, 7, 0, 8] })
  t.same(parseProxyHeader(plain), header(52, { address: '192.0.2.7', port: 7 }))
  const unix = v2({ family: 0x31, addresses: Array(216).fill(47) })
  t.same(parseProxyHeader(unix), header(232, { address: '', port: 0 }))
  t.same(parseProxyHeader(v2({ family: 0, addresses: [] })), header(16, null))
  t.same(parseProxyHeader(v2({ command: 0x20, family: 0, addresses: [] })), header(16, null))
  const local = v2({ command: 0x20, family: 0x11, addresses: [1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 9] })
  t.same(parseProxyHeader(local), header(28, null))
  const extended = v2({
    family: 0x11,
    addresses: [192, 0, 2, 7, 10, 0, 0, 1, 0x13, 0x88, 0, 80, 0xea, 0, 3, 1, 97, 98]
  })
  t.same(parseProxyHeader(extended), header(34, { address: '192.0.2.7', port: 5000 }))
  t.end()
})

t.test('C24 a header asks for more until it is whole, byte by byte', (t) => {
  const whole = [
    v1('TCP4 192.0.2.7 10.0.0.1 5000 24224'),
    v1('UNKNOWN'),
    v2({ family: 0x11, addresses: [192, 0, 2, 7, 10, 0, 0, 1, 0x13, 0x88, 0, 80, 4, 0, 1, 0] }),
    v2({ command: 0x20, family: 0, addresses: Array(520).fill(0) })
  ]
  for (const bytes of whole) {
    for (let byteCount = 0; byteCount < bytes.length; byteCount++) {
      t.equal(parseProxyHeader(bytes.subarray(0, byteCount)).kind, 'more')
    }
    t.equal(parseProxyHeader(bytes).kind, 'header')
  }
  t.end()
})

t.test('C24 malformed headers are told from what is none', (t) => {
  const malformed = (bytes: Buffer, reason: string) =>
    t.same(parseProxyHeader(bytes), { kind: 'malformed', reason }, reason)
  malformed(v1('TCP5 192.0.2.7 10.0.0.1 5000 24224'), 'family')
  malformed(v1('TCP4 192.0.2.7 10.0.0.1 5000'), 'parts')
  malformed(v1('TCP4 192.0.2.7 10.0.0.1 5000 24224 1'), 'parts')
  malformed(v1('TCP4 2001:db8::7 10.0.0.1 5000 24224'), 'address')
  malformed(v1('TCP6 192.0.2.7 10.0.0.1 5000 24224'), 'address')
  malformed(v1('TCP4 192.0.2.256 10.0.0.1 5000 24224'), 'address')
  malformed(v1('TCP4 192.0.2.7 10.0.0.1 65536 24224'), 'port')
  malformed(v1('TCP4 192.0.2.7 10.0.0.1 05000 24224'), 'port')
  malformed(v1('TCP4 192.0.2.7 10.0.0.1 5000 -1'), 'port')
  malformed(Buffer.from('PROXY TCP4 192.0.2.7 10.0.0.1 5000 24224\n'), 'line_end')
  malformed(Buffer.from(`PROXY ${'x'.repeat(101)}`), 'line_too_long')
  malformed(v2({ command: 0x22, family: 0x11, addresses: [] }), 'command')
  malformed(v2({ command: 0x11, family: 0x11, addresses: [] }), 'command')
  malformed(v2({ family: 0x41, addresses: [] }), 'family')
  malformed(v2({ family: 0x13, addresses: Array(12).fill(1) }), 'family')
  malformed(v2({ family: 0x11, addresses: Array(11).fill(1) }), 'too_short')
  malformed(v2({ family: 0x21, addresses: Array(35).fill(1) }), 'too_short')
  const longest = PROXY_HEADER_BYTES_MAX - 16
  t.equal(parseProxyHeader(v2({ family: 0, addresses: Array(longest).fill(0) })).kind, 'header')
  malformed(v2({ family: 0, addresses: Array(longest + 1).fill(0) }), 'too_long')
  malformed(v2({ family: 0, addresses: Array(longest + 1).fill(0) }).subarray(0, 16), 'too_long')
  for (const bytes of ['GET / HTTP/1.1\r\n', 'PROXZ', '\x93', '\r\n\r\nx', '{"a":1}']) {
    t.equal(parseProxyHeader(Buffer.from(bytes, 'latin1')).kind, 'none', JSON.stringify(bytes))
  }
  t.end()
})
