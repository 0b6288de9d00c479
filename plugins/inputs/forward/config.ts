// Runs on: main.
// Options of the forward input. Fluentd's and Fluent Bit's names are aliases where they mean the same.

import { Type } from 'typebox'
import { bytes, duration, listen, listenerTls, proxyProtocol } from '../../../src/plugin/fields.ts'
import { security } from './security-schema.ts'

const nullable = (description: string, aliases: readonly string[] = []) =>
  Type.Unsafe<string | null>({
    type: ['string', 'null'],
    default: null,
    description,
    ...(aliases.length > 0 ? { 'x-alias': aliases } : {})
  })

const fieldName = (description: string) =>
  Type.Unsafe<string | null>({
    type: ['string', 'null'],
    minLength: 1,
    default: null,
    description
  })

const id = (description: string) =>
  Type.Unsafe<number | null>({ type: ['integer', 'null'], minimum: 0, default: null, description })

export const config = Type.Object(
  {
    listen: listen({
      default: '127.0.0.1:24224',
      description:
        'Addresses to listen on: `tcp://host:port`, `host:port`, `tls://host:port` or `unix:///path`, one or a list.'
    }),
    mode: Type.String({
      pattern: '^0?[0-7]{3}$',
      default: '0660',
      description: 'Permissions of Unix sockets, in octal.',
      'x-alias': ['unix_perm']
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
    security,
    udp_heartbeat: Type.Boolean({
      default: true,
      description: 'Whether heartbeat datagrams on the TCP port number are answered.'
    }),
    tag: nullable('Replaces the tag of every message.'),
    add_tag_prefix: nullable('Put in front of every tag, joined by a dot.'),
    tag_prefix_raw: nullable('Put in front of every tag, joined by nothing.', ['tag_prefix']),
    default_tag: Type.String({
      minLength: 1,
      default: 'untagged',
      description: 'Tag of messages whose tag is empty.'
    }),
    source_address: Type.Boolean({
      default: false,
      description:
        'Whether the address of the sender is stored with its records, for `${source.address}`. Senders then share no frames.'
    }),
    source_address_key: fieldName(
      'Field that gets the address of the sender in every output; it is then stored, as by `source_address`. Senders on Unix sockets have none.'
    ),
    tag_key: fieldName('Field that gets the tag in every output.'),
    metadata: Type.Enum(['drop', 'merge', 'nest'], {
      default: 'drop',
      description:
        'What outputs write of the metadata of entries (Fluent Bit: OpenTelemetry fields): nothing, its keys beside those of the record, or all of it under `_meta`. Templates see it as `${meta["key"]}` in every case.'
    }),
    overwrite: Type.Boolean({
      default: false,
      description:
        'Whether `source_address_key`, `tag_key` and `metadata` replace fields of the same name that the record has.'
    }),
    dedupe: Type.Enum(['unconfirmed', 'window', 'off'], {
      default: 'unconfirmed',
      description:
        'Which messages are acknowledged and not stored when they come again: those whose acknowledgement the sender may have missed, those within a window of 100,000, or none.'
    }),
    on_undecodable: Type.Enum(['dead_letter', 'reject'], {
      default: 'dead_letter',
      description:
        'What happens to a body that cannot be decompressed: stored as a dead letter and acknowledged, or the connection is reset and the sender tries again.'
    }),
    on_oversize: Type.Enum(['reject', 'drop_and_ack'], {
      default: 'reject',
      description:
        'What happens to a message above `max_frame_bytes`: the connection is reset, and the sender tries again for ever; or its bytes are passed over, counted, and it is acknowledged.'
    }),
    max_frame_bytes: bytes({
      default: '272MiB',
      min: '1KiB',
      max: '1GiB',
      description:
        'Longest message. Fluentd sends a chunk of its file buffer, 256 MB, as one. What is over 8 MiB waits in a file under `data_dir`, not in memory.'
    }),
    max_decompressed_bytes: bytes({
      default: '256MiB',
      min: '1KiB',
      max: '1GiB',
      description: 'Longest body after decompression; a longer one becomes a dead letter.'
    }),
    max_connections: Type.Integer({
      minimum: 1,
      maximum: 1_000_000,
      default: 20_000,
      description:
        'Connections at a time; further ones are reset at once. Never more than the limit of open files less 1,000; the log says at the start when that is fewer.'
    }),
    max_connection_age: duration({
      default: '5m',
      description:
        'Age at which a connection that asks for acknowledgements is closed between two messages, so that senders spread over replicas again; 0: never.'
    }),
    keepalive_probe: duration({
      default: '60s',
      description: 'Silence after which the system probes whether the sender lives; 0: never.'
    }),
    idle_timeout: duration({
      default: 0,
      description:
        'Silence after which a connection is closed; 0: never, because senders that ask for no acknowledgement lose what they write next.'
    }),
    frame_timeout: duration({
      default: '60s',
      min: '1s',
      description: 'Longest silence within a message.'
    }),
    handshake_timeout: duration({
      default: '10s',
      min: '1s',
      description: 'How long a client may take to prove that it knows the shared key.'
    }),
    drain_timeout: duration({
      default: '5s',
      description: 'How long a stop waits for senders to finish the message that they are at.'
    })
  },
  { additionalProperties: false }
)
