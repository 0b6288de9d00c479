// Runs on: any.
// What speaks on a connection whose first byte starts no message.

/** wait: the bytes may still become one of the others. */
export type FirstBytes = 'json' | 'http' | 'tls' | 'proxy' | 'unknown' | 'wait'

const SIGNATURES: readonly { readonly protocol: FirstBytes; readonly bytes: Buffer }[] = [
  { protocol: 'http', bytes: Buffer.from('GET ') },
  { protocol: 'http', bytes: Buffer.from('POST') },
  { protocol: 'http', bytes: Buffer.from('HEAD') },
  { protocol: 'http', bytes: Buffer.from('PUT ') },
  { protocol: 'http', bytes: Buffer.from('OPTI') },
  { protocol: 'tls', bytes: Buffer.from([0x16, 0x03]) },
  { protocol: 'proxy', bytes: Buffer.from('PROXY ') },
  { protocol: 'proxy', bytes: Buffer.from('0d0a0d0a000d0a515549540a', 'hex') }
]
/** White space before JSON text beyond which a connection is taken for something else. */
const LEADING_SPACE_BYTES_MAX = 64

/** Judges the bytes from the first that is neither nil nor zero. */
export function firstBytesOf(bytes: Uint8Array): FirstBytes {
  let isPrefix = false
  for (const signature of SIGNATURES) {
    const common = commonBytes(bytes, signature.bytes)
    if (common === signature.bytes.length) return signature.protocol
    isPrefix ||= common === bytes.length
  }
  let at = 0
  while (at < bytes.length && isSpace(bytes[at])) at += 1
  if (at > LEADING_SPACE_BYTES_MAX) return 'unknown'
  if (bytes[at] === 0x5b || bytes[at] === 0x7b) return 'json'
  return isPrefix || at === bytes.length ? 'wait' : 'unknown'
}

function commonBytes(bytes: Uint8Array, signature: Uint8Array): number {
  let at = 0
  while (at < bytes.length && at < signature.length && bytes[at] === signature[at]) at += 1
  return at
}

function isSpace(byte: number | undefined): boolean {
  return byte === 0x20 || byte === 0x09 || byte === 0x0a || byte === 0x0d
}
