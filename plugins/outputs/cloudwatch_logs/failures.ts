// Step 8. Runs on: any.
// What went wrong with a call of the service, as one word of a closed list. Pure. Status first, then the name, then the
// text: proxies answer with pages of their own, and many faults share the name InvalidParameterException.

import { errnoOf } from '../../../src/core/errors.ts'

export type Failure =
  /** The log group does not exist. */
  | { readonly kind: 'group_missing' }
  | { readonly kind: 'stream_missing' }
  | { readonly kind: 'throttled' }
  /** Answer of the service's own trouble: perhaps stored. */
  | { readonly kind: 'server_error' }
  /** Nothing reached the service. */
  | { readonly kind: 'connect' }
  | { readonly kind: 'tls' }
  /** The connection broke under the request, or nobody answered: perhaps stored. */
  | { readonly kind: 'reset' }
  | { readonly kind: 'timeout' }
  /** A success that cannot be read. */
  | { readonly kind: 'unreadable' }
  | { readonly kind: 'credentials' }
  /** The clocks differ; the SDK has learned by how much. */
  | { readonly kind: 'clock_skew' }
  | { readonly kind: 'denied' }
  | { readonly kind: 'kms' }
  /** Two writers at once. */
  | { readonly kind: 'conflict' }
  | { readonly kind: 'exists' }
  /** No more groups may be created. */
  | { readonly kind: 'quota' }
  /** The request as a whole is too large, too long in time, or not in order. */
  | { readonly kind: 'batch_rules'; readonly rule: 'too_large' | 'span' | 'order' }
  /** One event is longer than this server allows; its count has the 26 bytes in it. */
  | { readonly kind: 'event_too_large'; readonly limitBytes: number | null }
  /** Events that the service names, by index from 0. */
  | { readonly kind: 'bad_events'; readonly indices: readonly number[] }
  | { readonly kind: 'bad_name' }
  | { readonly kind: 'bad_request' }
  | { readonly kind: 'already_accepted' }
  | { readonly kind: 'sequence_token'; readonly token: string | null }
  /** Somebody has to mend the endpoint or the account. */
  | { readonly kind: 'endpoint' }
  /** The group takes no events of ours. */
  | { readonly kind: 'group_refuses' }
  | { readonly kind: 'unknown' }

/** What SDK errors carry, as far as it is looked at. */
interface ServiceError {
  readonly name: string
  readonly message: string
  readonly status: number
  readonly token: string | null
}

const CREDENTIAL_NAMES = new Set([
  'ExpiredToken',
  'ExpiredTokenException',
  'UnrecognizedClientException',
  'InvalidClientTokenId',
  'MissingAuthenticationToken',
  'MissingAuthenticationTokenException',
  'SignatureDoesNotMatch',
  'InvalidSignatureException',
  'IncompleteSignature',
  'CredentialsProviderError',
  'TokenProviderError'
])
const SKEW_NAMES = new Set(['RequestTimeTooSkewed', 'RequestExpired', 'RequestInTheFuture'])
const THROTTLE_NAMES = new Set([
  'ThrottlingException',
  'Throttling',
  'ThrottledException',
  'TooManyRequestsException',
  'RequestLimitExceeded',
  'RequestThrottled',
  'SlowDown',
  'ProvisionedThroughputExceededException'
])
const SERVER_NAMES = new Set([
  'ServiceUnavailableException',
  'ServiceUnavailable',
  'InternalFailure',
  'InternalServerException',
  'InternalServerError'
])
const ENDPOINT_NAMES = new Set([
  'OptInRequired',
  'InvalidAction',
  'UnknownOperationException',
  'UnknownEndpoint'
])

/** Faults of one event or of its count, by the service's texts. */
const PARAMETER_FAULTS: readonly { readonly text: RegExp; readonly failure: Failure }[] = [
  { text: /chronological order/i, failure: { kind: 'batch_rules', rule: 'order' } },
  { text: /24 hours/i, failure: { kind: 'batch_rules', rule: 'span' } },
  { text: /Upload too large/i, failure: { kind: 'batch_rules', rule: 'too_large' } },
  { text: /KMS|key.*(disabled|not exist)/i, failure: { kind: 'kms' } },
  {
    text: /log(Group|Stream)Name|LogGroup or LogStream|expression pattern/i,
    failure: { kind: 'bad_name' }
  }
]

/** `phase` says how far the request got when the connection failed. */
export class TransportError extends Error {
  readonly phase: 'connect' | 'tls' | 'sent' | 'timeout'

  constructor(phase: TransportError['phase'], message: string, cause?: unknown) {
    super(message, { cause })
    this.phase = phase
  }
}

export function failureOf(error: unknown): Failure {
  const transport = transportFailure(error)
  if (transport !== null) return transport
  const service = asServiceError(error)
  const { name, message, status } = service
  if (status >= 200 && status < 300) return { kind: 'unreadable' }
  if (status === 413 || name.startsWith('RequestEntityTooLarge')) {
    return { kind: 'batch_rules', rule: 'too_large' }
  }
  if (THROTTLE_NAMES.has(name) || status === 429) return { kind: 'throttled' }
  if (CREDENTIAL_NAMES.has(name)) {
    return /Signature (expired|not yet current)/i.test(message)
      ? { kind: 'clock_skew' }
      : { kind: 'credentials' }
  }
  if (SKEW_NAMES.has(name)) return { kind: 'clock_skew' }
  if (SERVER_NAMES.has(name) || status >= 500) return { kind: 'server_error' }
  return namedFailure(service)
}

function namedFailure({ name, message, status, token }: ServiceError): Failure {
  switch (name) {
    case 'ResourceNotFoundException':
      return /log group/i.test(message) ? { kind: 'group_missing' } : { kind: 'stream_missing' }
    case 'ResourceAlreadyExistsException':
      return { kind: 'exists' }
    case 'OperationAbortedException':
    case 'ConflictException':
      return { kind: 'conflict' }
    case 'LimitExceededException':
    case 'ServiceQuotaExceededException':
      return { kind: 'quota' }
    case 'DataAlreadyAcceptedException':
      return { kind: 'already_accepted' }
    case 'InvalidSequenceTokenException':
      return { kind: 'sequence_token', token }
    case 'InvalidParameterException':
      return parameterFailure(message)
    case 'AccessDeniedException':
    case 'AccessDenied':
      return /kms/i.test(message) ? { kind: 'kms' } : { kind: 'denied' }
    case 'InvalidOperationException':
    case 'ValidationException':
      return { kind: 'group_refuses' }
    case 'SerializationException':
      return { kind: 'bad_request' }
    default:
      if (ENDPOINT_NAMES.has(name) || status === 404) return { kind: 'endpoint' }
      // A page of a proxy, or a name that nobody has told us: wait, lose nothing.
      return { kind: 'unknown' }
  }
}

function parameterFailure(message: string): Failure {
  const tooLarge = /Log event too large: \d+ bytes exceeds limit of (\d+)/i.exec(message)
  if (tooLarge !== null) {
    return { kind: 'event_too_large', limitBytes: Number(tooLarge[1]) }
  }
  // The service counts events from 1 in these texts.
  const indices = [...message.matchAll(/logEvents\.(\d+)\.member\.(?:message|timestamp)/g)].map(
    (match) => Number(match[1]) - 1
  )
  if (indices.length > 0) return { kind: 'bad_events', indices: [...new Set(indices)] }
  return PARAMETER_FAULTS.find(({ text }) => text.test(message))?.failure ?? { kind: 'bad_request' }
}

function transportFailure(error: unknown): Failure | null {
  if (error instanceof TransportError) {
    switch (error.phase) {
      case 'connect':
        return { kind: 'connect' }
      case 'tls':
        return { kind: 'tls' }
      case 'timeout':
        return { kind: 'timeout' }
      case 'sent':
        return { kind: 'reset' }
    }
  }
  if (error instanceof Error && error.name === 'AbortError') return { kind: 'timeout' }
  return errnoOf(error).startsWith('E') ? { kind: 'reset' } : null
}

function asServiceError(error: unknown): ServiceError {
  if (!(error instanceof Error)) return { name: '', message: '', status: 0, token: null }
  // A cast: fields that the SDK adds to its errors, each read with care.
  const extra = error as {
    $metadata?: { httpStatusCode?: unknown }
    $response?: { statusCode?: unknown }
    expectedSequenceToken?: unknown
  }
  const status = extra.$metadata?.httpStatusCode ?? extra.$response?.statusCode
  const token = extra.expectedSequenceToken
  return {
    name: error.name,
    message: error.message,
    status: typeof status === 'number' ? status : 0,
    token: typeof token === 'string' ? token : null
  }
}
