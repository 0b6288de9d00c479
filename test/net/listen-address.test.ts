import t from 'tap'
import {
  formatListenAddress,
  parseAnyAddress,
  parseListenAddress
} from '../../src/net/listen-address.ts'

t.test('an address round-trips and a bare host:port means tcp', (t) => {
  for (const [text, expected] of [
    ['tcp://0.0.0.0:24224', 'tcp://0.0.0.0:24224'],
    ['127.0.0.1:0', 'tcp://127.0.0.1:0'],
    ['logs.example:9880', 'tcp://logs.example:9880'],
    ['tcp://[::1]:24224', 'tcp://[::1]:24224'],
    ['tls://[::]:24224', 'tls://[::]:24224'],
    ['unix:///run/millrace/fluent.sock', 'unix:///run/millrace/fluent.sock']
  ] as const) {
    t.equal(formatListenAddress(parseListenAddress(text)), expected)
  }
  t.match(parseListenAddress('tls://h:1'), { kind: 'tcp', host: 'h', port: 1, isTls: true })
  t.match(parseListenAddress('h:1'), { isTls: false })
  t.end()
})

t.test('an address of datagrams, where those are taken', (t) => {
  const address = parseAnyAddress('udp://[::1]:514')
  t.same(address, { kind: 'udp', host: '::1', port: 514 })
  t.equal(formatListenAddress(address), 'udp://[::1]:514')
  t.match(parseAnyAddress('h:1'), { kind: 'tcp' })
  t.end()
})

t.test('what is no address is refused with the reason and the form to write', (t) => {
  for (const [text, reason] of [
    ['udp://h:1', /datagrams are not taken here/],
    ['sctp://h:1', /scheme sctp is not known/],
    ['tcp://h', /host and port are needed/],
    ['h:70000', /port 70000 exceeds 65535/],
    ['::1:24224', /host and port are needed/],
    ['unix://relative', /must be absolute/],
    [`unix:///${'x'.repeat(107)}`, /path of 108 bytes exceeds the system's 107/],
    ['', /host and port are needed/]
  ] as const) {
    t.throws(() => parseListenAddress(text), { code: 'MR_CONFIG_INVALID', message: reason })
  }
  t.end()
})
