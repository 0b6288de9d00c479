// Runs on: any.
// Single MessagePack values as JavaScript values, for dead letters, tools and tests; not for the way of records, because
// it builds objects.

import { Decoder, Encoder, ExtensionCodec } from '@msgpack/msgpack'
import { skipValue } from '../core/msgpack-skip.ts'

/** Event time of the Forward protocol: ext type 0, seconds and nanoseconds. */
export class EventTime {
  readonly seconds: number
  readonly nanoseconds: number

  constructor(seconds: number, nanoseconds: number) {
    this.seconds = seconds
    this.nanoseconds = nanoseconds
  }
}

const codec = new ExtensionCodec()
codec.register({
  type: 0,
  encode(value) {
    if (!(value instanceof EventTime)) return null
    const bytes = Buffer.alloc(8)
    bytes.writeUInt32BE(value.seconds, 0)
    bytes.writeUInt32BE(value.nanoseconds, 4)
    return bytes
  },
  decode(bytes) {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    return new EventTime(view.getUint32(0), view.getUint32(4))
  }
})

const encoder = new Encoder({ extensionCodec: codec })
const decoder = new Decoder({ extensionCodec: codec, useBigInt64: true, rawStrings: false })

export function encodeValue(value: unknown): Buffer {
  const bytes = encoder.encodeSharedRef(value)
  return Buffer.from(bytes)
}

/** Throws when the bytes are no single value. 64-bit integers arrive as bigint. */
export function decodeValue(bytes: Uint8Array): unknown {
  // The library makes room for as many elements as a header declares; behind this check that many bytes are there.
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
  if (skipValue(view, 0) !== bytes.length) throw new RangeError('not one whole MessagePack value')
  return decoder.decode(bytes)
}
