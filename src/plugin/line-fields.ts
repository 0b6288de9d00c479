// Runs on: main.
// Schemas of options that all inputs of text by socket share: how they listen, and what becomes of a line.

import { Type } from 'typebox'
import { bytes, duration, listenerTls, proxyProtocol } from './fields.ts'

const id = (description: string) =>
  Type.Unsafe<number | null>({ type: ['integer', 'null'], minimum: 0, default: null, description })

/** What a record is made of. `unit`: what one record's text is called here. */
export const textOptions = (unit: 'line' | 'message' | 'datagram', lineBytes: string) => ({
  tag: Type.String({
    minLength: 1,
    description: 'Tag of all records.'
  }),
  max_line_bytes: bytes({
    default: lineBytes,
    min: 64,
    max: '8MiB',
    description:
      unit === 'datagram'
        ? 'Longest datagram; longer ones are dropped and counted.'
        : `Longest ${unit}; what is longer goes on in the next record, and is counted. Datagrams that are longer are dropped.`
  }),
  keep_empty: Type.Boolean({
    default: false,
    description: `Whether an empty ${unit} is a record.`
  }),
  source_key: Type.Unsafe<string | null>({
    type: ['string', 'null'],
    minLength: 1,
    default: null,
    description:
      'Field that gets the address of the sender; null: none. Records of Unix sockets have none.'
  }),
  source_address: Type.Boolean({
    default: false,
    description: 'Whether the address of the sender is stored for `${source.address}`.'
  })
})

export const receiveBuffer = () =>
  bytes({
    default: '4MiB',
    max: '1GiB',
    description:
      'Buffer of the system for datagrams that wait; it gives at most `net.core.rmem_max`, and a warning says so. 0: its default.'
  })

/** How streams are accepted. */
export const streamOptions = () => ({
  mode: Type.String({
    pattern: '^0?[0-7]{3}$',
    default: '0660',
    description: 'Permissions of Unix sockets, in octal.'
  }),
  uid: id('Owner of Unix sockets; null: the user of the process.'),
  gid: id('Group of Unix sockets; null: the group of the process.'),
  backlog: Type.Integer({
    minimum: 1,
    maximum: 65535,
    default: 1024,
    description: 'Connections that the system holds until they are accepted.'
  }),
  tls: Type.Optional(listenerTls()),
  ...proxyProtocol(),
  max_connections: Type.Integer({
    minimum: 1,
    maximum: 1_000_000,
    default: 20_000,
    description: 'Connections at a time; further ones are reset at once.'
  }),
  keepalive_probe: duration({
    default: '60s',
    description: 'Silence after which the system probes a TCP connection; 0: never.'
  }),
  idle_timeout: duration({
    default: 0,
    description: 'Silence after which a connection is closed; 0: it stays for ever.'
  })
})
