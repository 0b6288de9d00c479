// Runs on: any.
// A MessagePack value as JSON for people and their tools. Nothing is lost without a mark: 64-bit integers keep every digit,
// bytes that are UTF-8 stand as text, others as {"$base64": "..."}, times of the Forward protocol as RFC 3339, other
// extensions as {"$ext": type, "$base64": "..."}, numbers that JSON does not have as {"$float": "NaN"}.

import { ExtData } from '@msgpack/msgpack'
import { formatRfc3339 } from '../core/event-time.ts'
import { decodeValue, EventTime } from './msgpack-value.ts'

/** JSON text of a decoded value. */
export function jsonOf(value: unknown): string {
  return JSON.stringify(value, view) ?? 'null'
}

/** The value itself, not what its own `toJSON` makes of it: a Buffer has one. */
function view(this: Readonly<Record<string, unknown>>, key: string): unknown {
  return viewOf(this[key])
}

/** JSON text of stored bytes; those that cannot be decoded stand as {"$msgpack": base64}. */
export function jsonOfStored(bytes: Uint8Array): string {
  const value = decoded(bytes)
  return value === undefined ? unreadable(bytes) : jsonOf(value)
}

/** Undefined: the decoder refuses the bytes (a key that is no text, or `__proto__`). */
export function decoded(bytes: Uint8Array): unknown {
  try {
    return decodeValue(bytes)
  } catch {
    return undefined
  }
}

export function unreadable(bytes: Uint8Array): string {
  return JSON.stringify({ $msgpack: Buffer.from(bytes).toString('base64') })
}

function viewOf(value: unknown): unknown {
  // Its digits as they are: JSON has no bound on them, doubles do.
  if (typeof value === 'bigint') return rawJson(value.toString())
  if (typeof value === 'number') return Number.isFinite(value) ? value : { $float: String(value) }
  if (value instanceof Uint8Array) return bytesView(value)
  if (value instanceof EventTime) return formatRfc3339(value, 9)
  if (value instanceof ExtData) {
    return { $ext: value.type, $base64: Buffer.from(extBytes(value)).toString('base64') }
  }
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? null : value.toISOString()
  return value
}

function extBytes({ data }: ExtData): Uint8Array {
  return typeof data === 'function' ? data(0) : data
}

function bytesView(value: Uint8Array): unknown {
  const bytes = Buffer.from(value.buffer, value.byteOffset, value.byteLength)
  const text = bytes.toString('utf8')
  return Buffer.from(text, 'utf8').equals(bytes) ? text : { $base64: bytes.toString('base64') }
}

/** `JSON.rawJSON` is in the engine and not yet in the types of the language. */
function rawJson(text: string): unknown {
  const json: object & { rawJSON?: (text: string) => unknown } = JSON
  return json.rawJSON?.(text) ?? text
}
