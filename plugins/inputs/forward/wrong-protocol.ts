// Step 1. Runs on: ingest.
// What speaks on the port when it is not Forward: a word in the log that helps, and for HTTP an answer.

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

/** The first bytes as hex. */
export function shownBytes(bytes: Buffer): string {
  return bytes.subarray(0, SHOWN_BYTES_MAX).toString('hex')
}
