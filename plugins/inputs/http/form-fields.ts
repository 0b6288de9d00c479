// Step 2. Runs on: ingest.
// Fields `json`, `ndjson` and `msgpack` of forms and of the query. A field is bytes: MessagePack is no text.
// Limit: PARTS_MAX parts of a multipart body.

import type { BodyForm } from './body-form.ts'

export interface FormedBody {
  readonly form: BodyForm
  readonly bytes: Buffer
}

const FORMS: readonly BodyForm[] = ['json', 'ndjson', 'msgpack']
const PARTS_MAX = 1000
const DASHES = '--'
const LINE_END = '\r\n'
const PLUS = 0x2b
const PERCENT = 0x25

/** The first field of the three that is there. */
export function fieldOfQuery(query: URLSearchParams): FormedBody | null {
  for (const form of FORMS) {
    const text = query.get(form)
    if (text !== null) return { form, bytes: Buffer.from(text) }
  }
  return null
}

export function fieldOfForm(body: Buffer): FormedBody | null {
  for (const form of FORMS) {
    const value = rawField(body, form)
    if (value !== null) return { form, bytes: percentDecoded(value) }
  }
  return null
}

/** The bytes behind `name=`, up to the next `&`. */
function rawField(body: Buffer, name: string): Buffer | null {
  const key = Buffer.from(`${name}=`)
  for (let start = 0; start >= 0 && start < body.length; ) {
    const end = body.indexOf('&', start)
    const pair = body.subarray(start, end < 0 ? body.length : end)
    if (pair.subarray(0, key.length).equals(key)) return pair.subarray(key.length)
    start = end < 0 ? -1 : end + 1
  }
  return null
}

/** A `%` that two hex digits do not follow stands for itself. */
export function percentDecoded(value: Buffer): Buffer {
  const plain = Buffer.allocUnsafe(value.length)
  let byteCount = 0
  for (let at = 0; at < value.length; at++) {
    let byte = value[at] ?? 0
    if (byte === PLUS) byte = 0x20
    else if (byte === PERCENT) {
      const code = hexDigit(value[at + 1]) * 16 + hexDigit(value[at + 2])
      if (code >= 0) {
        byte = code
        at += 2
      }
    }
    plain[byteCount++] = byte
  }
  return plain.subarray(0, byteCount)
}

/** NaN: none. */
function hexDigit(byte = 0): number {
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30
  const letter = byte | 0x20
  return letter >= 0x61 && letter <= 0x66 ? letter - 0x57 : Number.NaN
}

/** A part of `multipart/form-data` (RFC 7578) that is named `json`, `ndjson` or `msgpack`; null: there is none. */
export function fieldOfMultipart(body: Buffer, contentType: string): FormedBody | null {
  const [, quoted, bare] = /;\s*boundary=(?:"([^"]+)"|([^\s;]+))/i.exec(contentType) ?? []
  const boundary = quoted ?? bare
  if (boundary === undefined) return null
  const mark = DASHES + boundary
  const fields = new Map<string, Buffer>()
  let start = body.indexOf(mark)
  for (let count = 0; start >= 0 && count < PARTS_MAX; count++) {
    const headStart = start + mark.length + LINE_END.length
    const headEnd = body.indexOf(LINE_END + LINE_END, headStart - LINE_END.length)
    const next = headEnd < 0 ? -1 : body.indexOf(LINE_END + mark, headEnd + LINE_END.length)
    if (next < 0) break
    const head = body.toString('latin1', headStart, Math.min(headEnd, headStart + 4096))
    const name = /^content-disposition:.*;\s*name="?([^";\r\n]+)"?/im.exec(head)?.[1]
    if (name !== undefined) fields.set(name, body.subarray(headEnd + 2 * LINE_END.length, next))
    start = next + LINE_END.length
  }
  for (const form of FORMS) {
    const bytes = fields.get(form)
    if (bytes !== undefined) return { form, bytes }
  }
  return null
}
