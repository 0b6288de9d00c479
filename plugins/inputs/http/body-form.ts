// Step 2. Runs on: ingest.
// What a body is: by its Content-Type and, where that says nothing, by its first byte.

export type BodyForm = 'json' | 'ndjson' | 'msgpack'

/** `form` and `multipart` hold the records in a field; `sniffed` is decided by the first byte. */
export type BodyKind = BodyForm | 'form' | 'multipart' | 'sniffed'

const OPEN_BRACKET = 0x5b
const OPEN_BRACE = 0x7b

/** Content types by prefix, parameters ignored, as Fluentd does. */
export function kindOf(contentType: string): BodyKind {
  const type = contentType.split(';', 1)[0]?.trim().toLowerCase() ?? ''
  switch (type) {
    case 'application/x-ndjson':
    case 'application/ndjson':
    case 'application/jsonl':
    case 'application/x-jsonlines':
      return 'ndjson'
    case 'application/msgpack':
    case 'application/x-msgpack':
    case 'application/vnd.msgpack':
      return 'msgpack'
    case 'application/json':
    case 'application/csp-report':
    case 'application/reports+json':
      return 'json'
    case 'application/x-www-form-urlencoded':
      return 'form'
    case 'multipart/form-data':
      return 'multipart'
    default:
      return 'sniffed'
  }
}

/** Devices send JSON under all kinds of types, and curl under that of forms. */
export function isJsonStart(body: Buffer): boolean {
  let at = 0
  while (body[at] === 0x20 || body[at] === 0x0a || body[at] === 0x0d || body[at] === 0x09) at++
  return body[at] === OPEN_BRACKET || body[at] === OPEN_BRACE
}
