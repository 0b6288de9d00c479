// Runs on: main.
// Options of the output `cloudwatch_logs`.

import { Type } from 'typebox'
import type { ConfigFinding } from '../../../src/plugin/define.ts'
import { bytes, duration, retry, secret, stringList, template } from '../../../src/plugin/fields.ts'
import { BATCH_EVENTS_MAX, type CloudWatchOptions, MESSAGE_BYTES_MAX } from './options.ts'

/** What PutRetentionPolicy accepts. */
const RETENTION_DAYS = [
  1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288,
  3653
] as const

const access = {
  region: Type.Optional(
    Type.String({
      minLength: 1,
      description: 'AWS region. Default: as the AWS SDK finds it (AWS_REGION, profile).'
    })
  ),
  endpoint: Type.Optional(
    Type.String({
      minLength: 1,
      description: 'URL of the service, for interface endpoints and emulators.',
      'x-alias': ['awslogs-endpoint']
    })
  ),
  profile: Type.Optional(
    Type.String({ minLength: 1, description: 'Profile of the shared AWS files.' })
  ),
  aws_key_id: Type.Optional(
    secret({
      description: 'Access key, for emulators and tests; else the default chain of the SDK.'
    })
  ),
  aws_sec_key: Type.Optional(secret({ description: 'Secret of that key.' })),
  aws_session_token: Type.Optional(secret({ description: 'Session token of that key.' }))
}

const target = {
  log_group_name: template({
    description: 'Log group of a record. A placeholder without a value becomes `unknown`.',
    'x-alias': ['group_name', 'awslogs-group']
  }),
  log_stream_name: template({
    default: '${tag}',
    description: 'Log stream of a record.',
    'x-alias': ['stream_name', 'awslogs-stream']
  }),
  default_log_group_name: Type.String({
    default: 'millrace-default',
    pattern: '^[A-Za-z0-9._/#-]{1,512}$',
    description: 'Log group for records whose group is not in `allowed_log_groups`.'
  }),
  sanitize_char: Type.String({
    default: '.',
    maxLength: 1,
    pattern: '^[A-Za-z0-9._/#-]?$',
    description: 'Stands for characters that names cannot have. Empty: they are left out.'
  }),
  allowed_log_groups: Type.Optional(
    stringList({
      description: 'Names of groups, with `*`, that records may choose. Default: every one.'
    })
  ),
  allow_unconfined_names: Type.Boolean({
    default: false,
    description: 'Allow a group name that begins with content of records and is not confined.'
  })
}

const creation = {
  auto_create_group: Type.Boolean({
    default: false,
    description: 'Create log groups that are missing.',
    'x-alias': ['create_missing_group', 'awslogs-create-group']
  }),
  auto_create_stream: Type.Boolean({
    default: true,
    description: 'Create log streams that are missing.',
    'x-alias': ['create_missing_stream']
  }),
  retention_in_days: Type.Optional(
    Type.Enum(RETENTION_DAYS, {
      description: 'Retention of groups that Millrace creates. Default: for ever.',
      'x-alias': ['log_retention_days']
    })
  ),
  log_group_class: Type.Optional(
    Type.Enum(['STANDARD', 'INFREQUENT_ACCESS', 'DELIVERY'], {
      description: 'Class of groups that Millrace creates; it cannot be changed later.'
    })
  ),
  kms_key_id: Type.Optional(
    Type.String({
      minLength: 1,
      description: 'ARN of the key that encrypts groups that Millrace creates.',
      'x-alias': ['kms_key']
    })
  ),
  tags: Type.Optional(
    Type.Record(Type.String(), Type.String(), {
      description: 'Tags of groups that Millrace creates.',
      'x-alias': ['log_group_aws_tags']
    })
  )
}

const message = {
  log_key: Type.Optional(
    Type.String({
      minLength: 1,
      description: 'Send the text of this field instead of the whole record as JSON.'
    })
  ),
  include_tag_key: Type.Boolean({ default: false, description: 'Add the tag to each record.' }),
  tag_key: Type.String({ default: 'tag', minLength: 1, description: 'Field for the tag.' }),
  max_event_bytes: bytes({
    default: MESSAGE_BYTES_MAX,
    min: 1024,
    max: MESSAGE_BYTES_MAX,
    description: 'Longest message, in bytes of UTF-8.',
    'x-alias': ['max_message_length']
  }),
  oversize: Type.Enum(['dlq', 'truncate'], {
    default: 'dlq',
    description:
      'A longer message goes to the dead letters whole, or is cut. Cut JSON is no JSON any more.'
  }),
  truncate_suffix: Type.String({
    default: '[Truncated...]',
    maxLength: 100,
    description: 'Put behind a message that was cut.'
  })
}

const flow = {
  compression: Type.Enum(['none', 'gzip'], {
    default: 'none',
    description: 'Compression of requests. Emulators often cannot read it.'
  }),
  batch_events: Type.Integer({
    default: BATCH_EVENTS_MAX,
    minimum: 1,
    maximum: BATCH_EVENTS_MAX,
    description: 'Events of one request at most.',
    'x-alias': ['max_events_per_batch']
  }),
  flush_interval: duration({
    default: '5s',
    max: '1m',
    description: 'How long records may wait for more to fill a request.',
    'x-alias': ['awslogs-force-flush-interval-seconds']
  }),
  max_in_flight: Type.Integer({
    default: 16,
    minimum: 1,
    maximum: 64,
    description: 'Requests in flight at most, over all streams; one stream has one at a time.',
    'x-alias': ['concurrency', 'workers']
  }),
  connect_timeout: duration({ default: '5s', min: '10ms', description: 'Deadline to connect.' }),
  request_timeout: duration({
    default: '30s',
    min: '10ms',
    description: 'Deadline of a flush: the request, and the creation of its stream.'
  }),
  retry: retry()
}

export const config = Type.Object(
  { ...access, ...target, ...creation, ...message, ...flow },
  { additionalProperties: false }
)

/** Rules between options. */
export function check(options: CloudWatchOptions): ConfigFinding[] {
  const findings: ConfigFinding[] = []
  if ((options.aws_key_id === undefined) !== (options.aws_sec_key === undefined)) {
    findings.push({
      path: ['aws_key_id'],
      message: '`aws_key_id` and `aws_sec_key` need each other',
      hint: 'give both, or neither for the default chain'
    })
  }
  if (options.endpoint !== undefined && parseEndpoint(options.endpoint) === null) {
    findings.push({
      path: ['endpoint'],
      message: `endpoint "${options.endpoint}" is no URL`,
      hint: 'write https://host'
    })
  }
  const isConfined = options.allowed_log_groups !== undefined || options.allow_unconfined_names
  if (/^\$\{(record|meta)\b/.test(options.log_group_name) && !isConfined) {
    findings.push({
      path: ['log_group_name'],
      message: 'a record could name any log group of the account',
      hint: 'begin with a text, set allowed_log_groups, or set allow_unconfined_names: true'
    })
  }
  return findings
}

/** With or without scheme: others give a bare host. */
export function parseEndpoint(endpoint: string): URL | null {
  const url = URL.parse(endpoint.includes('://') ? endpoint : `https://${endpoint}`)
  return url !== null && /^https?:$/.test(url.protocol) ? url : null
}
