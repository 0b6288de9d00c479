// Step 2. Runs on: ingest.
// What a body is, by its Content-Type and, where that says nothing, by its first byte; and its bytes without compression.

import zlib from 'node:zlib'
import { type Compression, inflateAtOnce, inflateInSteps } from '../../../src/codec/inflate.ts'
import { errnoOf } from '../../../src/core/errors.ts'

export type BodyForm = 'json' | 'ndjson' | 'msgpack'

export interface FormedBody {
  readonly form: BodyForm
  readonly bytes: Buffer
}

const FIELDS: readonly BodyForm[] = ['json', 'ndjson', 'msgpack']
const OPEN_BRACKET = 0x5b
const OPEN_BRACE = 0x7b

/** null: a type that this input does not take (415). */
export function formOf(
  contentType: string,
  body: Buffer,
  query: URLSearchParams
): FormedBody | null {
  const type = contentType.split(';', 1)[0]?.trim().toLowerCase() ?? ''
  if (type === 'application/x-ndjson' || type === 'application/jsonl') {
    return { form: 'ndjson', bytes: body }
  }
  if (type === 'application/msgpack' || type === 'application/x-msgpack') {
    return { form: 'msgpack', bytes: body }
  }
  if (type === 'application/json' || type === 'application/csp-report') {
    return { form: 'json', bytes: body }
  }
  // Devices send JSON under all kinds of types, and curl under that of forms.
  if (isJsonStart(body)) return { form: 'json', bytes: body }
  const fromForm = type === 'application/x-www-form-urlencoded' ? fieldOf(formFields(body)) : null
  return fromForm ?? fieldOf((name) => textField(query.get(name)))
}

function isJsonStart(body: Buffer): boolean {
  let at = 0
  while (body[at] === 0x20 || body[at] === 0x0a || body[at] === 0x0d || body[at] === 0x09) at++
  return body[at] === OPEN_BRACKET || body[at] === OPEN_BRACE
}

function fieldOf(field: (name: string) => Buffer | null): FormedBody | null {
  for (const form of FIELDS) {
    const bytes = field(form)
    if (bytes !== null) return { form, bytes }
  }
  return null
}

const textField = (text: string | null): Buffer | null => (text === null ? null : Buffer.from(text))

/** Fields of a form by name, percent-decoded as bytes, because a MessagePack field is no text. */
function formFields(body: Buffer): (name: string) => Buffer | null {
  const pairs = body.toString('latin1').split('&')
  return (name) => {
    const pair = pairs.find((each) => each.startsWith(`${name}=`))
    return pair === undefined ? null : percentDecoded(pair.slice(name.length + 1))
  }
}

/** `text` is one character per byte. */
function percentDecoded(text: string): Buffer {
  const plain = text
    .replaceAll('+', ' ')
    .replace(/%([0-9a-fA-F]{2})/g, (_, hex: string) => String.fromCharCode(parseInt(hex, 16)))
  return Buffer.from(plain, 'latin1')
}

export type Plain =
  | { readonly kind: 'plain'; readonly bytes: Buffer }
  | { readonly kind: 'failed'; readonly reason: 'undecodable' | 'too_large' | 'unknown_encoding' }

/** Undoes `Content-Encoding`. */
export async function plainBody(
  encoding: string | undefined,
  body: Buffer,
  byteCountMax: number
): Promise<Plain> {
  switch (encoding?.trim().toLowerCase() ?? 'identity') {
    case 'identity':
    case '':
      return { kind: 'plain', bytes: body }
    case 'gzip':
    case 'x-gzip':
      return inflate('gzip', body, byteCountMax)
    case 'zstd':
      return inflate('zstd', body, byteCountMax)
    case 'deflate':
      return inflateDeflate(body, byteCountMax)
    default:
      return { kind: 'failed', reason: 'unknown_encoding' }
  }
}

async function inflate(
  compression: Compression,
  body: Buffer,
  byteCountMax: number
): Promise<Plain> {
  const parts: Buffer[] = []
  const take = (part: Buffer) => {
    parts.push(part)
  }
  const result =
    inflateAtOnce(compression, body, byteCountMax, take) ??
    (await inflateInSteps(compression, body, byteCountMax, take))
  if (result.kind === 'failed') return result
  const bytes = parts.length === 1 && parts[0] !== undefined ? parts[0] : Buffer.concat(parts)
  if (bytes.length > byteCountMax) return { kind: 'failed', reason: 'too_large' }
  return { kind: 'plain', bytes }
}

function inflateDeflate(body: Buffer, maxOutputLength: number): Promise<Plain> {
  return new Promise((resolve) => {
    zlib.inflate(body, { maxOutputLength }, (error, bytes) => {
      if (error === null) return resolve({ kind: 'plain', bytes })
      const reason = errnoOf(error) === 'ERR_BUFFER_TOO_LARGE' ? 'too_large' : 'undecodable'
      resolve({ kind: 'failed', reason })
    })
  })
}
