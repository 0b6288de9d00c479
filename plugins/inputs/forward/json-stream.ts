// Step 2. Runs on: ingest.
// JSON text on the Forward port, as fluent-logger-golang with MarshalAsJSON, PHP and people with `nc` send
// it: messages with or without white space between them. Each becomes the MessagePack message that it stands for; acks go
// back as JSON. Limit: MESSAGE_BYTES_MAX per text.

import { decodeValue } from '../../../src/codec/msgpack-value.ts'
import { MESSAGE_BYTES_MAX } from '../../../src/core/limits.ts'
import { skipValue } from '../../../src/core/msgpack-skip.ts'
import { JsonProgress } from '../../../src/kernel/json-converter.ts'
import type { ScanKernel } from '../../../src/kernel/scan-kernel.ts'

export type JsonNext =
  /** `block` is to be given back; `textBytes` of the text are told by it. */
  | { readonly kind: 'message'; readonly block: Buffer; readonly textBytes: number }
  /** The text goes on. */
  | { readonly kind: 'more' }
  | { readonly kind: 'failed'; readonly reason: 'malformed' | 'message_too_large' | 'no_memory' }

export class JsonStream {
  readonly #kernel: ScanKernel
  readonly #progress = new JsonProgress()

  constructor(kernel: ScanKernel) {
    this.#kernel = kernel
  }

  /** The first message of `text`, which lies in kernel memory; after `more` the next call gets the same bytes and more. */
  next(text: Buffer): JsonNext {
    const { json } = this.#kernel
    const textBytes = json.findEnd(text, this.#progress)
    if (textBytes < 0) return { kind: 'failed', reason: 'malformed' }
    if (textBytes === 0) {
      if (text.length > MESSAGE_BYTES_MAX) return { kind: 'failed', reason: 'message_too_large' }
      return { kind: 'more' }
    }
    const result = json.toMessages(text.subarray(0, textBytes))
    if (result === null) return { kind: 'failed', reason: 'no_memory' }
    if (result.error === null && result.valueCount === 1) {
      return { kind: 'message', block: result.bytes, textBytes }
    }
    this.#kernel.giveBack(result.bytes)
    return { kind: 'failed', reason: 'malformed' }
  }
}

/** MessagePack acks, one after another, as JSON texts. Ids came from JSON, so they are plain values. */
export function jsonAcks(acks: Buffer): Buffer {
  const texts: string[] = []
  for (let start = 0; start < acks.length; ) {
    const end = skipValue(acks, start)
    if (end < 0) break
    texts.push(JSON.stringify(decodeValue(acks.subarray(start, end)), plainNumber))
    start = end
  }
  return Buffer.from(texts.join(''))
}

const plainNumber = (_key: string, value: unknown): unknown =>
  typeof value === 'bigint' ? Number(value) : value
