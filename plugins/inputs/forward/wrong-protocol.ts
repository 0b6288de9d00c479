// Step 1. Runs on: ingest.
// What speaks on the port when it is not Forward: a word in the log that helps, and for HTTP an answer.

import type { HandshakeFailure } from './handshake.ts'

/** Bytes of a connection that a log line shows at most. */
const SHOWN_BYTES_MAX = 64

export const HTTP_ANSWER =
  'HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n'

export type WrongProtocol = 'http' | 'tls' | 'proxy' | 'other'

export const HINTS: Readonly<Record<WrongProtocol, string>> = {
  http: 'HTTP on a Forward port: send it to an input of type http',
  tls: 'TLS on a plain Forward port: the sender has to turn it off',
  proxy: 'a PROXY protocol header on a Forward port: turn it off at the balancer',
  other: 'the bytes are no Forward message: check what connects to this port'
}

const CANNOT =
  'Docker and the loggers for Python, Ruby, PHP, Java and Go cannot answer the handshake: give them an input without a key'

/** Clients that were refused, by reason. */
export const REFUSAL_HINTS: Readonly<Record<HandshakeFailure, string>> = {
  malformed: `client refused: it sent no PING, and this input has a shared key. ${CANNOT}`,
  key: 'client refused: its shared key is another one',
  user: 'client refused: user or password is wrong, or a rule does not let that user in from there',
  address: 'client refused: no rule of security.clients lets its address in'
}

export const TIMEOUT_HINT = `connection reset: the client did not answer the handshake in time. ${CANNOT}`

export const SILENT_HINT =
  'a client left after a long silence without a byte: if it has a shared key, it waited for a handshake, and this input has no key'

/** The first bytes as hex. */
export function shownBytes(bytes: Buffer): string {
  return bytes.subarray(0, SHOWN_BYTES_MAX).toString('hex')
}
