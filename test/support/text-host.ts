// An ingest host with one input of text on a free loopback port, and senders.

import dgram from 'node:dgram'
import net from 'node:net'
import type { Test } from 'tap'
import type { SyslogOptions } from '../../plugins/inputs/syslog/input.ts'
import type { TcpOptions } from '../../plugins/inputs/tcp/input.ts'
import type { UdpOptions } from '../../plugins/inputs/udp/input.ts'
import { type HostOptions, IngestHost } from './ingest-host.ts'

const DEFAULTS: SyslogOptions & TcpOptions & UdpOptions = {
  listen: ['tcp://127.0.0.1:0'],
  tag: 'app',
  key: 'log',
  framing: 'auto',
  lines: false,
  max_line_bytes: 64 * 1024,
  keep_empty: false,
  source_key: null,
  source_address: false,
  receive_buffer: 0,
  mode: '0660',
  uid: null,
  gid: null,
  backlog: 128,
  proxy_protocol: 'off',
  proxy_protocol_from: [],
  max_connections: 1000,
  keepalive_probe: 0,
  idle_timeout: 0
}

export type TextInputOptions = Partial<typeof DEFAULTS>

export interface TextHost {
  readonly host: IngestHost
  /** As bound. */
  readonly addresses: readonly string[]
  readonly address: string
  /** Texts of the records that are stored, in order. */
  texts(): string[]
}

export async function textHost(
  t: Test,
  type: 'tcp' | 'udp' | 'syslog',
  options: TextInputOptions = {},
  hostOptions: Partial<HostOptions> = {}
): Promise<TextHost> {
  const config = { ...DEFAULTS, ...options }
  const host = new IngestHost({
    inputs: { text: { type, config: { ...config } } },
    inputModules: {
      [type]: new URL(`../../plugins/inputs/${type}/input.ts`, import.meta.url).href
    },
    ...hostOptions,
    directory: hostOptions.directory ?? t.testdir()
  })
  const addresses = await host.start(t)
  const key = type === 'syslog' ? 'message' : config.key
  return {
    host,
    addresses,
    address: addresses[0] ?? '',
    texts: () =>
      host.records().map(({ record }) => String((record as Record<string, unknown>)[key]))
  }
}

export function connectTo(address: string): net.Socket {
  const socket = address.startsWith('unix:')
    ? net.connect(address.slice('unix://'.length))
    : net.connect(Number(new URL(address).port), new URL(address).hostname)
  socket.setNoDelay(true)
  socket.on('error', () => {})
  return socket
}

/** Writes the pieces one by one, then the end, and waits until the other side has ended too; or breaks off itself. */
export async function sendPieces(
  address: string,
  pieces: readonly (string | Buffer)[],
  isBroken = false
): Promise<void> {
  const socket = connectTo(address)
  const closed = new Promise((resolve) => socket.once('close', resolve))
  socket.resume()
  for (const piece of pieces) await new Promise((resolve) => socket.write(piece, resolve))
  if (isBroken) socket.destroy()
  else socket.end()
  await closed
}

/** Sends datagrams one after the other. */
export async function sendDatagrams(
  address: string,
  datagrams: readonly (string | Buffer)[]
): Promise<void> {
  const { hostname, port } = new URL(address)
  const socket = dgram.createSocket('udp4')
  for (const each of datagrams) {
    await new Promise<void>((resolve, reject) =>
      socket.send(each, Number(port), hostname, (error) => (error ? reject(error) : resolve()))
    )
  }
  await new Promise<void>((resolve) => socket.close(resolve))
}
