// Runs on: main.
// What may stand in a configuration file outside of plugins, with every default. One object feeds validation,
// `millrace schema` and docs/reference/options.md.

import { type Static, Type } from 'typebox'
import { KEY_ID_MAX } from '../core/encryption-keys.ts'
import { COMPONENT_ID_PATTERN } from '../core/names.ts'
import { formatDuration } from '../core/units.ts'
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

const keyId = (description: string) =>
  Type.Integer({ minimum: 1, maximum: KEY_ID_MAX, description })

const encryption = Type.Object(
  {
    key: Type.Optional(
      secret({
        description:
          'Key of new segments: 32 bytes as base64 or hex. Without one new segments are plain, and stored ones are read with the old keys.'
      })
    ),
    id: Type.Optional(
      keyId('Number of the key, 1 to 255. Segments name it; a new key needs a new number.')
    ),
    old: Type.Array(
      Type.Object(
        {
          id: keyId('Number of the key.'),
          key: secret({ description: 'A key that stored segments were written with.' })
        },
        closed
      ),
      { default: [], description: 'Keys from before: kept until no segment names them.' }
    )
  },
  { ...closed, description: 'Encryption of everything that is queued on disk, AES-256-GCM.' }
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
    }),
    park_bytes: bytes({
      default: '1GiB',
      min: '2MiB',
      description:
        'Bound of the records that one destination of a route sets aside for targets that refuse them; at it the records wait in the queue.'
    }),
    on_io_error: Type.Enum(['degrade', 'exit'], {
      default: 'degrade',
      description:
        'After an I/O error of the disk: go on with what works and try again, or end the process with code 74.'
    }),
    allow_network_fs: Type.Boolean({
      default: false,
      description:
        'Start on NFS, SMB and other network file systems, whose syncs and locks may not hold.'
    }),
    catchup_read_rate: bytes({
      default: '64MiB',
      min: '1MiB',
      description:
        'What a destination that is far behind reads per second, on top of what comes in. When nothing comes in there is no limit.'
    }),
    encryption: Type.Optional(encryption),
    scrub_rate: bytes({
      default: '0',
      description:
        'What is read per second to check stored segments before they are needed. 0: nothing.'
    })
  },
  { ...closed, default: {}, description: 'Settings of the whole store.' }
)

/** What a destination gets that is only named. */
export const DESTINATION_DEFAULTS = {
  isRequired: true,
  startAt: 'newest',
  lagBytesMax: null,
  parkAfterMs: 30_000,
  drainOrder: 'oldest_first',
  lagThresholdMs: 900_000,
  backfillShare: 0.3
} as const

const destination = {
  type: ['string', 'object'],
  properties: {
    output: { type: 'string', description: 'Id of the output.' },
    required: Type.Boolean({
      default: DESTINATION_DEFAULTS.isRequired,
      description: 'Whether the queue keeps records until this output has them.'
    }),
    start_at: Type.Enum(['newest', 'oldest'], {
      default: DESTINATION_DEFAULTS.startAt,
      description: 'Where an output begins that is new to a route which holds records.'
    }),
    max_lag_bytes: Type.Optional(
      bytes({
        description:
          'With `required: false`: how far the output may fall behind before the oldest records are dropped for it.'
      })
    ),
    park_after: duration({
      default: formatDuration(DESTINATION_DEFAULTS.parkAfterMs),
      min: '1s',
      description:
        'How long one target (log stream, index) may fail, while others work, before its records are set aside.'
    }),
    drain_order: Type.Enum(['oldest_first', 'newest_first'], {
      default: DESTINATION_DEFAULTS.drainOrder,
      description:
        'What goes first when the output has fallen behind by `lag_threshold`. `newest_first` is refused for outputs that keep an order and for routes that join lines.'
    }),
    lag_threshold: duration({
      default: formatDuration(DESTINATION_DEFAULTS.lagThresholdMs),
      min: '1s',
      description:
        'With `newest_first`: age of the record to be sent next from which new records go first.'
    }),
    backfill_share: Type.Number({
      default: DESTINATION_DEFAULTS.backfillShare,
      minimum: 0.05,
      maximum: 0.95,
      description: 'With `newest_first`: share of the requests in flight that old records get.'
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
      description:
        'Outputs that get the records: ids, or blocks with `output` and options of the destination.'
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
      description: 'Bound of the queue on disk.'
    }),
    max_age: Type.Optional(
      duration({
        min: '1s',
        description: 'Age at which records that were not delivered are dropped. Default: never.'
      })
    ),
    keep: duration({
      default: '0s',
      description:
        'How long delivered records stay for `millrace queue replay`, as far as `max_bytes` allows.'
    }),
    lanes: Type.Integer({
      default: 1,
      minimum: 1,
      maximum: 64,
      description:
        'Parts of the queue that are drained in turns, so that a tenant that floods fills its own; see `shard_by`.'
    }),
    shard_by: Type.Optional(
      Type.String({
        minLength: 1,
        description:
          'What decides the lane of a record: `tag`, or a field of the record, for example `tenant` or `kubernetes.namespace_name`. Records without the field go by their tag.'
      })
    ),
    compression: Type.Enum(['none', 'zstd'], {
      default: 'none',
      description: 'Compression of the queue on disk.'
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

/** A block under `to`, converted. */
export interface ShellDestination {
  readonly output: string
  readonly required: boolean
  readonly start_at: 'newest' | 'oldest'
  readonly max_lag_bytes?: number
  readonly park_after: number
  readonly drain_order: 'oldest_first' | 'newest_first'
  readonly lag_threshold: number
  readonly backfill_share: number
}

export type ShellRoute = Static<typeof route>
export type Shell = Static<typeof shellSchema>

/** Schema of the blocks under `to`, for the conversion of their units. */
export const routeSchema = route
