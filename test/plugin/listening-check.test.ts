import t from 'tap'
import { checkListening } from '../../src/plugin/listening-check.ts'

const tls = { cert_file: '/c', key_file: '/k', min_version: '1.2', client_auth: 'none' } as const
const plain = {
  listen: ['tcp://0.0.0.0:24224'],
  proxy_protocol: 'off',
  proxy_protocol_from: []
} as const
const secured = { ...plain, listen: ['tls://0.0.0.0:24224'], tls } as const

t.test('options that fit have no findings', (t) => {
  t.same(checkListening(plain), [])
  t.same(checkListening(secured), [])
  t.same(checkListening({ ...secured, listen: [...plain.listen, ...secured.listen] }), [])
  t.same(
    checkListening({ ...secured, tls: { ...tls, client_auth: 'required', ca_file: '/a' } }),
    []
  )
  const proxied = { proxy_protocol: 'required', proxy_protocol_from: ['10.0.0.0/8'] } as const
  t.same(checkListening({ ...plain, ...proxied }), [])
  t.end()
})

t.test('a TLS address without certificate and a certificate without TLS address are found', (t) => {
  t.match(checkListening({ ...secured, tls: undefined }), [
    { path: ['listen', 0], message: /tls:\/\/0\.0\.0\.0:24224 needs a certificate/ }
  ])
  t.match(checkListening({ ...plain, tls }), [
    { path: ['tls'], message: /no address of this input speaks TLS/, hint: /tls:\/\/host:port/ }
  ])
  const { cert_file: _cert, key_file: _key, ...none } = tls
  t.match(checkListening({ ...secured, tls: none }), [
    { path: ['tls'], message: 'cert_file is needed' },
    { path: ['tls'], message: 'key_file is needed' }
  ])
  t.end()
})

t.test('certificates of clients need authorities, and authorities need a use', (t) => {
  t.match(checkListening({ ...secured, tls: { ...tls, client_auth: 'optional' } }), [
    { path: ['tls', 'client_auth'], message: 'client_auth: optional needs ca_file' }
  ])
  t.match(checkListening({ ...secured, tls: { ...tls, ca_file: '/a' } }), [
    { path: ['tls', 'ca_file'], message: /no effect/ }
  ])
  t.end()
})

t.test('PROXY headers need peers that may send them', (t) => {
  t.match(checkListening({ ...plain, proxy_protocol: 'optional' }), [
    { path: ['proxy_protocol'], message: 'proxy_protocol: optional needs proxy_protocol_from' }
  ])
  const from = ['10.0.0.0/8', 'balancer.example']
  t.match(checkListening({ ...plain, proxy_protocol: 'required', proxy_protocol_from: from }), [
    { path: ['proxy_protocol_from', 1], message: /"balancer\.example" is no address/ }
  ])
  t.end()
})
