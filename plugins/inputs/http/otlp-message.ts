// Step 5. Runs on: ingest.
// Answers of OTLP/HTTP, in the encoding of the request: ExportLogsServiceResponse and google.rpc.Status. Three fields of
// numbers and texts: protobuf is written here as it is.

import type { Refusal } from './refusal.ts'

export type OtlpEncoding = 'protobuf' | 'json'

/** Codes of google.rpc.Code that the statuses stand for. */
const INVALID_ARGUMENT = 3
const NOT_FOUND = 5
const RESOURCE_EXHAUSTED = 8
const UNIMPLEMENTED = 12
const INTERNAL = 13
const UNAVAILABLE = 14
const UNAUTHENTICATED = 16

const CODES: Readonly<Record<number, number>> = {
  400: INVALID_ARGUMENT,
  401: UNAUTHENTICATED,
  404: NOT_FOUND,
  405: UNIMPLEMENTED,
  413: RESOURCE_EXHAUSTED,
  415: INVALID_ARGUMENT,
  503: UNAVAILABLE
}

export interface OtlpAnswer {
  readonly type: string
  readonly body: Buffer
}

/** `application/json` is JSON, everything else protobuf. null: neither. */
export function encodingOfType(contentType: string | undefined): OtlpEncoding | null {
  const type = contentType?.split(';', 1)[0]?.trim().toLowerCase()
  if (type === 'application/json') return 'json'
  return type === 'application/x-protobuf' || type === 'application/protobuf' ? 'protobuf' : null
}

export function exportAnswer(encoding: OtlpEncoding, rejectedCount: number): OtlpAnswer {
  const errorMessage = 'records that nest too deep or are too large are in the dead letters'
  if (encoding === 'json') {
    // Integers of 64 bits are texts in this JSON.
    const partialSuccess = { rejectedLogRecords: String(rejectedCount), errorMessage }
    return jsonAnswer(rejectedCount === 0 ? {} : { partialSuccess })
  }
  if (rejectedCount === 0) return protobufAnswer(Buffer.alloc(0))
  const partial = Buffer.concat([varintField(1, rejectedCount), bytesField(2, errorMessage)])
  return protobufAnswer(bytesField(1, partial))
}

export function statusAnswer(encoding: OtlpEncoding, { code, text }: Refusal): OtlpAnswer {
  const status = CODES[code] ?? (code < 500 ? INVALID_ARGUMENT : INTERNAL)
  if (encoding === 'json') return jsonAnswer({ code: status, message: text })
  return protobufAnswer(Buffer.concat([varintField(1, status), bytesField(2, text)]))
}

function jsonAnswer(body: object): OtlpAnswer {
  return { type: 'application/json', body: Buffer.from(JSON.stringify(body)) }
}

function protobufAnswer(body: Buffer): OtlpAnswer {
  return { type: 'application/x-protobuf', body }
}

function varintField(number: number, value: number): Buffer {
  return Buffer.from([number << 3, ...varint(value)])
}

function bytesField(number: number, value: string | Buffer): Buffer {
  const bytes = Buffer.from(value)
  return Buffer.concat([Buffer.from([(number << 3) | 2, ...varint(bytes.length)]), bytes])
}

function varint(value: number): number[] {
  const bytes: number[] = []
  for (let rest = value; ; rest = Math.floor(rest / 128)) {
    if (rest < 128) return [...bytes, rest]
    bytes.push((rest % 128) | 128)
  }
}
