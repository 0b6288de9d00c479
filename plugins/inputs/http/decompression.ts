// Step 2. Runs on: ingest.
// Undoes `Content-Encoding`. Small bodies at once, others in steps, so that requests in between go on; the output is handed
// on as it comes and is bounded while it is made.

import zlib from 'node:zlib'
import {
  type Compression,
  type InflateFailure,
  inflateAtOnce,
  inflateInSteps
} from '../../../src/codec/inflate.ts'
import { bytesFrom } from '../../../src/codec/zstd-frames.ts'

export type Encoding = Compression | 'deflate' | 'identity'

/** `done` also when who takes the parts wants no more. */
export type Decompressed = 'done' | InflateFailure

type TakePart = (part: Buffer) => 'stop' | undefined

const STEP_BYTES = 1024 * 1024

/** null: an encoding that is not taken (415). */
export function encodingOf(header: string | undefined): Encoding | null {
  switch (header?.trim().toLowerCase() ?? '') {
    case '':
    case 'identity':
      return 'identity'
    case 'gzip':
    case 'x-gzip':
      return 'gzip'
    case 'zstd':
      return 'zstd'
    case 'deflate':
      return 'deflate'
    default:
      return null
  }
}

/** `body` must stay as it is until the promise settles. */
export async function decompress(
  encoding: Exclude<Encoding, 'identity'>,
  body: Buffer,
  byteCountMax: number,
  take: TakePart
): Promise<Decompressed> {
  if (encoding === 'deflate') return inflateDeflate(body, byteCountMax, take)
  const atOnce = inflateAtOnce(encoding, body, byteCountMax, (part) => {
    take(part)
  })
  const result = atOnce ?? (await inflateInSteps(encoding, bytesFrom(body), byteCountMax, take))
  return result.kind === 'failed' ? result.reason : 'done'
}

/** zlib's format, or the bare one that some senders mean by the name: the first byte tells. */
function inflateDeflate(body: Buffer, byteCountMax: number, take: TakePart): Promise<Decompressed> {
  const { promise, resolve } = Promise.withResolvers<Decompressed>()
  const isZlib = ((body[0] ?? 0) & 15) === 8 && body.length >= 2 && body.readUInt16BE(0) % 31 === 0
  const options = { chunkSize: Math.min(STEP_BYTES, Math.max(1024, body.length * 4)) }
  const inflate = isZlib ? zlib.createInflate(options) : zlib.createInflateRaw(options)
  let byteCount = 0
  inflate.on('data', (part: Buffer) => {
    byteCount += part.length
    if (byteCount > byteCountMax) {
      inflate.destroy()
      resolve('too_large')
    } else if (take(part) === 'stop') {
      inflate.destroy()
      resolve('done')
    }
  })
  inflate.on('error', () => resolve('undecodable'))
  inflate.on('end', () => resolve('done'))
  inflate.end(body)
  return promise
}
