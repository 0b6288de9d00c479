import t from 'tap'
import { type Failure, failureOf, TransportError } from './failures.ts'

/** An error as the SDK makes it. */
function sdkError(name: string, message = '', status = 400, extra: object = {}): Error {
  return Object.assign(new Error(message), {
    name,
    $metadata: { httpStatusCode: status },
    ...extra
  })
}

t.test('every row of the table has its word', (t) => {
  const invalid = 'InvalidParameterException'
  const notFound = 'ResourceNotFoundException'
  const table: [Error, Failure][] = [
    [sdkError('SyntaxError', 'Unexpected token <', 200), { kind: 'unreadable' }],
    [sdkError(notFound, 'The specified log stream does not exist.'), { kind: 'stream_missing' }],
    [sdkError(notFound, 'The specified log group does not exist.'), { kind: 'group_missing' }],
    [sdkError(notFound, 'The specified LOG GROUP x is gone'), { kind: 'group_missing' }],
    [
      sdkError(
        invalid,
        'Log events in a single PutLogEvents request must be in chronological order.'
      ),
      { kind: 'batch_rules', rule: 'order' }
    ],
    [
      sdkError(invalid, 'The batch of log events cannot span more than 24 hours.'),
      { kind: 'batch_rules', rule: 'span' }
    ],
    [
      sdkError(invalid, 'Upload too large: 1048577 bytes exceeds limit of 1048576'),
      { kind: 'batch_rules', rule: 'too_large' }
    ],
    [
      sdkError(invalid, 'Log event too large: 300000 bytes exceeds limit of 262144'),
      { kind: 'event_too_large', limitBytes: 262_144 }
    ],
    [
      sdkError(
        invalid,
        "2 validation errors detected: Value '' at 'logEvents.7.member.message' failed; Value at 'logEvents.9.member.timestamp' failed"
      ),
      { kind: 'bad_events', indices: [6, 8] }
    ],
    [
      sdkError(invalid, 'Invalid LogGroup or LogStream, both must have length less than 512.'),
      { kind: 'bad_name' }
    ],
    [
      sdkError(invalid, 'Member must satisfy regular expression pattern: [^:*]*'),
      { kind: 'bad_name' }
    ],
    [sdkError(invalid, 'something else'), { kind: 'bad_request' }],
    [
      sdkError('InvalidSequenceTokenException', '', 400, { expectedSequenceToken: 't1' }),
      { kind: 'sequence_token', token: 't1' }
    ],
    [sdkError('InvalidSequenceTokenException'), { kind: 'sequence_token', token: null }],
    [sdkError('DataAlreadyAcceptedException'), { kind: 'already_accepted' }],
    [sdkError('ThrottlingException', 'Rate exceeded'), { kind: 'throttled' }],
    [sdkError('RequestLimitExceeded'), { kind: 'throttled' }],
    [sdkError('Whatever', '', 429), { kind: 'throttled' }],
    [sdkError('ServiceUnavailableException', '', 503), { kind: 'server_error' }],
    [sdkError('InternalFailure', '', 500), { kind: 'server_error' }],
    [sdkError('Unknown', '<html>', 502), { kind: 'server_error' }],
    [sdkError('ExpiredTokenException'), { kind: 'credentials' }],
    [sdkError('UnrecognizedClientException'), { kind: 'credentials' }],
    [sdkError('InvalidSignatureException', 'does not match'), { kind: 'credentials' }],
    [sdkError('CredentialsProviderError', 'none found', 0), { kind: 'credentials' }],
    [sdkError('InvalidSignatureException', 'Signature expired: x'), { kind: 'clock_skew' }],
    [sdkError('InvalidSignatureException', 'Signature not yet current'), { kind: 'clock_skew' }],
    [sdkError('RequestTimeTooSkewed', '', 403), { kind: 'clock_skew' }],
    [sdkError('AccessDeniedException', 'not authorized to perform'), { kind: 'denied' }],
    [sdkError('AccessDeniedException', 'the KMS key'), { kind: 'kms' }],
    [sdkError('ResourceAlreadyExistsException'), { kind: 'exists' }],
    [sdkError('OperationAbortedException'), { kind: 'conflict' }],
    [sdkError('LimitExceededException'), { kind: 'quota' }],
    [sdkError('Unknown', '<html>', 413), { kind: 'batch_rules', rule: 'too_large' }],
    [sdkError('SerializationException'), { kind: 'bad_request' }],
    [sdkError('UnknownOperationException'), { kind: 'endpoint' }],
    [sdkError('Unknown', '', 404), { kind: 'endpoint' }],
    [sdkError('OptInRequired', '', 403), { kind: 'endpoint' }],
    [sdkError('InvalidOperationException'), { kind: 'group_refuses' }],
    [sdkError('SomethingNew', 'nobody told us'), { kind: 'unknown' }],
    [sdkError('Unknown', '<html>WAF', 403), { kind: 'unknown' }],
    [new TransportError('connect', 'refused'), { kind: 'connect' }],
    [new TransportError('tls', 'expired'), { kind: 'tls' }],
    [new TransportError('sent', 'reset'), { kind: 'reset' }],
    [new TransportError('timeout', 'late'), { kind: 'timeout' }],
    [Object.assign(new Error('aborted'), { name: 'AbortError' }), { kind: 'timeout' }],
    [Object.assign(new Error('getaddrinfo'), { code: 'ENOTFOUND' }), { kind: 'reset' }]
  ]
  for (const [error, expected] of table) {
    t.strictSame(failureOf(error), expected, `${error.name} ${error.message}`)
  }
  t.strictSame(failureOf('a text'), { kind: 'unknown' })
  t.end()
})
