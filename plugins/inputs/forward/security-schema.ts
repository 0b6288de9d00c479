// Runs on: main.
// Options of `security`: who may connect, and how clients prove it.

import { Type } from 'typebox'
import { secret, stringList } from '../../../src/plugin/fields.ts'

const users = Type.Array(
  Type.Object(
    {
      name: Type.String({ minLength: 1, description: 'Name.', 'x-alias': ['username'] }),
      password: secret({ description: 'Password.' })
    },
    { additionalProperties: false }
  ),
  { default: [], description: 'Users and their passwords.' }
)

const clients = Type.Array(
  Type.Object(
    {
      host: Type.Optional(
        Type.String({
          minLength: 1,
          description: 'Name or address of a host; names are looked up once a minute.'
        })
      ),
      network: Type.Optional(
        Type.String({ minLength: 1, description: 'Network or address: `10.0.0.0/8`.' })
      ),
      unix: Type.Boolean({ default: false, description: 'Whoever comes by a Unix socket.' }),
      shared_key: Type.Optional(
        secret({ description: 'Key of these clients in the place of that of the input.' })
      ),
      users: stringList({
        default: [],
        description: 'Users that may log in from there; empty: all.'
      })
    },
    { additionalProperties: false }
  ),
  {
    default: [],
    description:
      'Rules by the address of the client, each with one of `host`, `network`, `unix`; the first that fits counts.'
  }
)

export const security = Type.Object(
  {
    shared_key: Type.Optional(
      secret({
        description:
          'Key that clients have to know. With one, nobody is heard without the handshake.'
      })
    ),
    empty_shared_key: Type.Boolean({
      default: false,
      description: 'Whether the handshake is asked for with an empty key, as Fluent Bit has it.'
    }),
    self_hostname: Type.Optional(
      Type.String({
        minLength: 1,
        description:
          'Name of this server in the handshake; by default `millrace-` and the name of the host. Clients leave when it is their own.'
      })
    ),
    user_auth: Type.Boolean({
      default: false,
      description: 'Whether clients log in with a user and a password too.'
    }),
    users,
    clients,
    allow_anonymous_source: Type.Boolean({
      default: true,
      description: 'Whether clients that no rule of `clients` fits may send.'
    }),
    deny: stringList({
      default: [],
      description: 'Addresses and networks whose connections are reset at once.'
    })
  },
  { additionalProperties: false, default: {}, description: 'Who may send.' }
)
