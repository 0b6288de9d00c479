// What carries HTTP: TLS and the PROXY protocol.

import http from 'node:http'
import https from 'node:https'
import net from 'node:net'
import t from 'tap'
import { certificate, identity, tlsFolder } from '../../../test/support/certificates.ts'
import { eventually } from '../../../test/support/eventually.ts'
import { httpHost } from '../../../test/support/http-host.ts'
import { v1 } from '../../../test/support/proxy-headers.ts'

const LIMIT_MS = 20_000
const ca = certificate('ca.pem')

function post(url: string, options: https.RequestOptions): Promise<number> {
  return new Promise((resolve, reject) => {
    const { protocol } = new URL(url)
    const headers = { 'content-type': 'application/json' }
    const client = protocol === 'https:' ? https : http
    const request = client.request(url, { method: 'POST', headers, ...options }, (response) => {
      response.resume()
      response.on('end', () => resolve(response.statusCode ?? 0))
    })
    request.on('error', reject)
    request.end('{"a":1}')
  })
}

t.test('H22 records come over TLS from clients with a certificate', async (t) => {
  const { tls } = tlsFolder(t, { client_auth: 'required' })
  const { host, url } = await httpHost(t, { listen: ['tls://127.0.0.1:0'], tls })
  const secure = url.replace('tls:', 'https:')
  const agent = new https.Agent({ keepAlive: true, maxSockets: 1 })
  for (let round = 0; round < 3; round++) {
    t.equal(await post(`${secure}/app`, { agent, ca, ...identity('client') }), 200)
  }
  t.equal(host.recordCount(), 3)
  t.equal(host.counter('connections_total'), 1, 'one connection for all of them')
  await t.rejects(post(`${secure}/app`, { ca }))
  await eventually('a failure', LIMIT_MS, () => {
    return host.counter('input_tls_failures_total/certificate_missing') === 1
  })
  t.equal(host.recordCount(), 3)
  await host.stop()
  t.equal(host.counter('connections'), 0, 'a stop ends idle connections')
  agent.destroy()
})

t.test('C24 a request behind a PROXY header is read, in one segment too', async (t) => {
  const { host, url } = await httpHost(t, {
    proxy_protocol: 'required',
    proxy_protocol_from: ['127.0.0.1']
  })
  const { hostname, port } = new URL(url)
  const body = '{"a":1}'
  const request = `POST /app HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`
  const header = v1('TCP4 192.0.2.7 10.0.0.1 5000 9880').toString()
  for (const pieces of [[header + request], [header, request], [...(header + request)]]) {
    const socket = net.connect(Number(port), hostname)
    socket.setNoDelay(true)
    let answer = ''
    socket.on('data', (chunk) => {
      answer += chunk
    })
    for (const piece of pieces) await new Promise((resolve) => socket.write(piece, resolve))
    await new Promise((resolve) => socket.once('close', resolve))
    t.match(answer, /^HTTP\/1\.1 200 /)
  }
  t.equal(host.recordCount(), 3)
  await t.rejects(post(`${url}/app`, {}), { code: 'ECONNRESET' })
  t.equal(host.counter('input_proxy_failures_total/missing'), 1)
})
