// Runs on: main.
// What may stand in a configuration file outside of plugins, with every default. One object feeds validation,
// `millrace schema` and docs/reference/options.md.

import { type Static, Type } from 'typebox'
import { COMPONENT_ID_PATTERN } from '../core/names.ts'
import { bytes, duration, listen, secret, stringList } from '../plugin/fields.ts'

const THREADS_MAX = 64
const closed = { additionalProperties: false } as const

/** A map by id; the ids are the user's. */
const byId = <T>(item: object, description: string) =>
  Type.Unsafe<Record<string, T>>({
    type: 'object',
    propertyNames: { pattern: COMPONENT_ID_PATTERN },
    additionalProperties: item,
    default: {},
    description
  })

/** A text or a list that is not empty. */
const someOf = (options: { description: string }) =>
  Type.Unsafe<readonly string[]>({ ...stringList(options), minItems: 1 })

/** A block of a plugin: `type` is looked at here, everything else by the plugin's own schema. */
const plugin = {
  type: 'object',
  properties: { type: { type: 'string', minLength: 1, description: 'Name of the plugin.' } },
  required: ['type']
}

const threads = Type.Object(
  {
    ingest: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: THREADS_MAX,
        description:
          'Threads that read sockets and write queues. Default: 1 up to 4 cores, 1 per 4 cores above.'
      })
    ),
    pool: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: THREADS_MAX,
        description: 'Threads that parse, filter and render. Default: the other cores, at least 1.'
      })
    )
  },
  { ...closed, default: {}, description: 'How many threads of each kind run.' }
)

const admin = Type.Object(
  {
    listen: Type.Unsafe<readonly string[]>({
      ...listen({
        default: ['tcp://127.0.0.1:9480'],
        description:
          'Addresses of the admin page, health checks and metrics, TCP or Unix sockets. An empty list: none.'
      }),
      minItems: 0
    }),
    hosts: stringList({
      default: [],
      description: 'Names that a `Host` header may bear besides addresses and `localhost`.'
    }),
    token: Type.Optional(
      secret({
        description:
          'Bearer token of paths that change something or show records, for callers that are not on the loopback.'
      })
    )
  },
  { ...closed, default: {}, description: 'The admin server.' }
)

const queue = Type.Object(
  {
    min_free: Type.String({
      pattern: '^([0-9]+(\\.[0-9]+)?%|[0-9]+(\\.[0-9]+)?\\s*([kKmMgGtT]([iI]?[bB])?|[bB])?)$',
      default: '5%',
      description: 'Free space of the volume that is left alone: a size, or a share up to 10GiB.'
    }),
    segment_bytes: bytes({
      default: '128MiB',
      min: '1MiB',
      max: '1GiB',
      description: 'Largest segment file. A queue uses a sixteenth of its `max_bytes` if less.'
    }),
    dlq_bytes: bytes({
      default: '1GiB',
      min: '2MiB',
      description: 'Bound of each dead letter queue.'
    }),
    dlq_overflow: Type.Enum(['drop_oldest', 'block'], {
      default: 'drop_oldest',
      description:
        'What happens at that bound: the oldest dead letters go, or what is refused waits for a replay to make room.'
    })
  },
  { ...closed, default: {}, description: 'Settings of the whole store.' }
)

const destination = {
  type: ['string', 'object'],
  properties: {
    output: { type: 'string', description: 'Id of the output.' },
    required: Type.Boolean({
      default: true,
      description: 'Whether the queue keeps records until this output has them.'
    }),
    start_at: Type.Enum(['newest', 'oldest'], {
      default: 'newest',
      description: 'Where an output begins that is new to a route which holds records.'
    })
  },
  required: ['output'],
  additionalProperties: false
}

const route = Type.Object(
  {
    match: Type.Optional(
      someOf({
        description:
          'Tags that the route takes, as Fluentd patterns: `*` one part, `**` any parts, `{a,b}`, `/regex/`. Default: all.'
      })
    ),
    match_glob: Type.Optional(
      someOf({ description: 'Tags as Fluent Bit writes them: `*` is any characters.' })
    ),
    match_regex: Type.Optional(
      someOf({ description: 'Regular expressions that are looked for in the tag.' })
    ),
    from: Type.Optional(someOf({ description: 'Inputs whose records are taken. Default: all.' })),
    continue: Type.Boolean({
      default: false,
      description: 'Whether later routes may take the record too.'
    }),
    steps: Type.Array(Type.Unknown(), {
      default: [],
      description: 'Parsers and filters, in order; each item has one key, the name of the step.'
    }),
    to: Type.Unsafe<unknown>({
      type: ['string', 'array'],
      items: destination,
      description: 'Outputs that get the records: ids, or `{output, required, start_at}`.'
    }),
    durability: Type.Enum(['sync', 'interval', 'os', 'memory'], {
      default: 'sync',
      description: 'What has to have happened when a sender gets its acknowledgement.'
    }),
    sync_interval: duration({
      default: '200ms',
      min: '1ms',
      description: 'Longest time until the sync under `durability: interval`.'
    }),
    overflow: Type.Enum(['block', 'drop_oldest', 'drop_newest'], {
      default: 'block',
      description: 'What happens when the queue is full.'
    }),
    drop_newest_ack: Type.Boolean({
      default: false,
      description: 'Acknowledge what `drop_newest` refuses, for senders that would stall.'
    }),
    max_bytes: bytes({
      default: '8GiB',
      description: 'Bound of the queue on disk; ingest threads share it evenly.'
    })
  },
  closed
)

export const shellSchema = Type.Object(
  {
    version: Type.Integer({ const: 1, description: 'Version of this format: 1.' }),
    data_dir: Type.String({
      minLength: 1,
      default: '/var/lib/millrace',
      description: 'Directory of the queues. One process owns it.'
    }),
    threads,
    admin,
    queue,
    drain_timeout: duration({
      default: '20s',
      description: 'How long a stop waits for the outputs; below the grace period of the platform.'
    }),
    defaults: Type.Optional(
      Type.Object(
        {
          inputs: Type.Optional(Type.Unsafe<object>({ type: 'object' })),
          routes: Type.Optional(Type.Unsafe<object>({ type: 'object' })),
          outputs: Type.Optional(Type.Unsafe<object>({ type: 'object' }))
        },
        {
          ...closed,
          description:
            'Options for every input, route or output that does not set them. With a `type`: for that type only.'
        }
      )
    ),
    inputs: byId<unknown>(plugin, 'Where records come from.'),
    routes: byId<unknown>(
      { type: 'object' },
      'Which records go where; the first match takes a record.'
    ),
    outputs: byId<unknown>(plugin, 'Where records go to.')
  },
  closed
)

export type ShellRoute = Static<typeof route>
export type Shell = Static<typeof shellSchema>

/** Schema of the blocks under `to`, for the conversion of their units. */
export const routeSchema = route
