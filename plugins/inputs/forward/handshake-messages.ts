// Step 1. Runs on: ingest.
// The three messages of the handshake as bytes: HELO and PONG written, PING read. Nothing is decoded to text: salts are raw
// bytes in `str` (Fluent Bit), digests and names come as `str` or `bin`. Limits: a PING of PING_BYTES_MAX, a HELO and a PONG
// of 500 bytes, because Fluentd and Fluent Bit read each of them by one small read.

const ARRAY_OF_2 = 0x92
const ARRAY_OF_5 = 0x95
const ARRAY_OF_6 = 0x96
const MAP_OF_3 = 0x83
const STR_8 = 0xd9
const BIN_8 = 0xc4
const TRUE = 0xc3
const FALSE = 0xc2

/** A PING has two digests of 128 bytes, two names and a salt. */
const PING_BYTES_MAX = 4096
const PING_PARTS = 6
/** Names of hosts have 253 at most; a longer one would make a PONG that Fluent Bit cannot read. */
export const HOSTNAME_BYTES_MAX = 253
const TAG_BYTES_SHOWN_MAX = 128

const PING = Buffer.from('PING')

export interface PingMessage {
  readonly byteCount: number
  readonly clientHostname: Buffer
  readonly salt: Buffer
  readonly keyDigest: Buffer
  readonly userName: Buffer
  readonly passwordDigest: Buffer
}

/** `auth`: empty when no user is asked for. Both are text inside `bin`, which every client computes with alike. */
export function encodeHelo(nonce: Buffer, auth: Buffer): Buffer {
  return Buffer.concat([
    Buffer.from([ARRAY_OF_2]),
    encodeText('HELO'),
    Buffer.from([MAP_OF_3]),
    encodeText('nonce'),
    Buffer.from([BIN_8, nonce.length]),
    nonce,
    encodeText('auth'),
    Buffer.from([BIN_8, auth.length]),
    auth,
    encodeText('keepalive'),
    Buffer.from([TRUE])
  ])
}

export function encodePong(
  answer: { readonly hostname: string; readonly digest: string } | { readonly reason: string }
): Buffer {
  const isRefused = 'reason' in answer
  return Buffer.concat([
    Buffer.from([ARRAY_OF_5]),
    encodeText('PONG'),
    Buffer.from([isRefused ? FALSE : TRUE]),
    encodeText(isRefused ? answer.reason : ''),
    encodeText(isRefused ? '' : answer.hostname),
    encodeText(isRefused ? '' : answer.digest)
  ])
}

/** Reads from the first byte of a connection. `more`: what is there may become a PING; `invalid`: it cannot. */
export function readPing(bytes: Buffer): PingMessage | 'more' | 'invalid' {
  let at = arrayOf6Bytes(bytes)
  if (typeof at !== 'number') return at
  const parts: Buffer[] = []
  while (parts.length < PING_PARTS) {
    const part = readString(bytes, at)
    if (typeof part === 'string') return part
    if (parts.length === 0 && !part.text.equals(PING)) return 'invalid'
    parts.push(part.text)
    at = part.endByte
  }
  const [, clientHostname, salt, keyDigest, userName, passwordDigest] = parts
  if (!clientHostname || !salt || !keyDigest || !userName || !passwordDigest) return 'invalid'
  return { byteCount: at, clientHostname, salt, keyDigest, userName, passwordDigest }
}

/** Tag of a message that came in the place of a PING, for the log; null: there is none. */
export function tagInstead(bytes: Buffer): string | null {
  const [first = 0] = bytes
  if (first < ARRAY_OF_2 || first > ARRAY_OF_5) return null
  const tag = readString(bytes, 1)
  return typeof tag === 'string' ? null : tag.text.toString('utf8', 0, TAG_BYTES_SHOWN_MAX)
}

function arrayOf6Bytes(bytes: Buffer): number | 'more' | 'invalid' {
  const [first] = bytes
  if (first === undefined) return 'more'
  if (first === ARRAY_OF_6) return 1
  const countBytes = first === 0xdc ? 2 : first === 0xdd ? 4 : 0
  if (countBytes === 0) return 'invalid'
  if (bytes.length < 1 + countBytes) return 'more'
  return bytes.readUIntBE(1, countBytes) === PING_PARTS ? 1 + countBytes : 'invalid'
}

function readString(
  bytes: Buffer,
  at: number
): { readonly text: Buffer; readonly endByte: number } | 'more' | 'invalid' {
  const head = bytes[at]
  if (head === undefined) return 'more'
  let startByte = at + 1
  let byteCount = head & 0x1f
  if (head < 0xa0 || head > 0xbf) {
    const lengthBytes = lengthBytesOf(head)
    if (lengthBytes === 0) return 'invalid'
    if (bytes.length < startByte + lengthBytes) return 'more'
    byteCount = bytes.readUIntBE(startByte, lengthBytes)
    startByte += lengthBytes
  }
  const endByte = startByte + byteCount
  if (endByte > PING_BYTES_MAX) return 'invalid'
  if (bytes.length < endByte) return 'more'
  return { text: bytes.subarray(startByte, endByte), endByte }
}

/** Bytes of the length behind the head of a long `str` or a `bin`; 0: it is neither. */
function lengthBytesOf(head: number): number {
  if (head === STR_8 || head === BIN_8) return 1
  if (head === 0xda || head === 0xc5) return 2
  return head === 0xdb || head === 0xc6 ? 4 : 0
}

function encodeText(text: string): Buffer {
  const bytes = Buffer.from(text)
  const head = bytes.length < 32 ? [0xa0 | bytes.length] : [STR_8, bytes.length]
  return Buffer.concat([Buffer.from(head), bytes])
}
