// Step 2. Runs on: ingest.
// Compressed bodies of senders: gzip with any number of members and trailing zeros, zstd with any number of frames and
// skippable frames (senders compress each append by itself). The magic decides, not what the sender says. Output is bounded
// while it is made. What fits one step is inflated at once; the rest in steps, other connections in between.
// Trap: Node's zstd functions stop after the first frame without an error, hence the loop over frames.

import zlib from 'node:zlib'
import { errnoOf } from '../core/errors.ts'

export type Compression = 'gzip' | 'zstd'

export type InflateFailure =
  /** Bad checksum, cut body, bytes after the last member. */
  | 'undecodable'
  /** More than the bound comes out. */
  | 'too_large'

export type Inflated =
  | { readonly kind: 'done' }
  | { readonly kind: 'failed'; readonly reason: InflateFailure }

/** Bytes out of one step; bounds what one message may take of a turn of the event loop (about 1 ms). */
export const INFLATE_STEP_BYTES_MAX = 1024 * 1024
/** Above this much input a body goes through the stepwise way at once. */
const STEP_INPUT_BYTES_MAX = 256 * 1024

const ZSTD_MAGIC = 0xfd2fb528
/** Skippable frames have the magics 0x184d2a50 to 0x184d2a5f, then a length. */
const ZSTD_SKIPPABLE = 0x184d2a5
const ZSTD_SKIPPABLE_HEADER_BYTES = 8

const DONE: Inflated = { kind: 'done' }
const UNDECODABLE: Inflated = { kind: 'failed', reason: 'undecodable' }
const TOO_LARGE: Inflated = { kind: 'failed', reason: 'too_large' }

/** What the first bytes say; null: not compressed. No MessagePack entry starts with 1f or 28. */
export function compressionOf(body: Buffer): Compression | null {
  if (body.length >= 2 && body[0] === 0x1f && body[1] === 0x8b) return 'gzip'
  if (body.length >= 4) {
    const magic = body.readUInt32LE(0)
    if (magic === ZSTD_MAGIC || magic >>> 4 === ZSTD_SKIPPABLE) return 'zstd'
  }
  return null
}

/** Inflates a small body in one go; null: it does not fit one step, take `inflateInSteps`. */
export function inflateAtOnce(
  compression: Compression,
  body: Buffer,
  outputBytesMax: number,
  take: (part: Buffer) => void
): Inflated | null {
  if (body.length > STEP_INPUT_BYTES_MAX) return null
  let result: Inflated
  const parts: Buffer[] = []
  const stepBytesMax = Math.min(INFLATE_STEP_BYTES_MAX, outputBytesMax)
  if (compression === 'gzip') {
    result = caught(() => parts.push(zlib.gunzipSync(body, { maxOutputLength: stepBytesMax })))
  } else {
    const frames = new ZstdFrames(body)
    result = frames.step(stepBytesMax, (part) => parts.push(part))
    if (result.kind === 'done' && !frames.isAtEnd) return null
  }
  if (result.kind === 'failed' && result.reason === 'too_large') return null
  if (result.kind === 'done') for (const part of parts) take(part)
  return result
}

/** Inflates a body of any length. `body` must stay as it is until the promise settles; `take` gets at most 1 MiB at once. */
export function inflateInSteps(
  compression: Compression,
  body: Buffer,
  outputBytesMax: number,
  take: (part: Buffer) => void
): Promise<Inflated> {
  return compression === 'gzip'
    ? gunzipInSteps(body, outputBytesMax, take)
    : unzstdInSteps(body, outputBytesMax, take)
}

function gunzipInSteps(
  body: Buffer,
  outputBytesMax: number,
  take: (part: Buffer) => void
): Promise<Inflated> {
  const { promise, resolve } = Promise.withResolvers<Inflated>()
  const gunzip = zlib.createGunzip({ chunkSize: INFLATE_STEP_BYTES_MAX })
  let byteCount = 0
  gunzip.on('data', (part: Buffer) => {
    byteCount += part.length
    if (byteCount > outputBytesMax) {
      gunzip.destroy()
      resolve(TOO_LARGE)
    } else take(part)
  })
  gunzip.on('error', () => resolve(UNDECODABLE))
  gunzip.on('end', () => resolve(DONE))
  gunzip.end(body)
  return promise
}

async function unzstdInSteps(
  body: Buffer,
  outputBytesMax: number,
  take: (part: Buffer) => void
): Promise<Inflated> {
  const frames = new ZstdFrames(body)
  let bytesLeft = outputBytesMax
  const count = (part: Buffer) => {
    bytesLeft -= part.length
    take(part)
  }
  while (!frames.isAtEnd) {
    const result = frames.step(Math.min(INFLATE_STEP_BYTES_MAX, bytesLeft), count)
    if (result.kind === 'done') {
      await new Promise((resolve) => setImmediate(resolve))
      continue
    }
    if (result.reason !== 'too_large') return result
    // One frame larger than a step: libuv's pool inflates it, so that this thread goes on meanwhile.
    const large = await frames.large(bytesLeft, count)
    if (large.kind === 'failed') return large
  }
  return DONE
}

/** Walks over the frames of a zstd body. */
class ZstdFrames {
  readonly #body: Buffer
  #startByte = 0

  constructor(body: Buffer) {
    this.#body = body
  }

  get isAtEnd(): boolean {
    return this.#startByte >= this.#body.length
  }

  /** Frames until `outputBytesMax` are out. `too_large`: the next frame alone has more. */
  step(outputBytesMax: number, take: (part: Buffer) => void): Inflated {
    let byteCount = 0
    while (!this.isAtEnd) {
      if (this.#skips()) continue
      let part: Buffer | undefined
      const result = caught(() => {
        const options = { info: true, maxOutputLength: Math.max(1, outputBytesMax - byteCount) }
        // With `info` the result is the output and the engine; the types of Node leave the option out for zstd.
        const info = zlib.zstdDecompressSync(
          this.#body.subarray(this.#startByte),
          options
        ) as unknown as ZstdInfo
        part = this.#advance(info)
      })
      if (result.kind === 'failed') {
        return result.reason === 'too_large' && byteCount > 0 ? DONE : result
      }
      if (part === undefined) return UNDECODABLE
      byteCount += part.length
      take(part)
    }
    return DONE
  }

  /** The next frame alone, asynchronously. */
  async large(outputBytesMax: number, take: (part: Buffer) => void): Promise<Inflated> {
    const { promise, resolve } = Promise.withResolvers<Inflated>()
    const options = {
      info: true,
      maxOutputLength: Math.max(1, outputBytesMax),
      chunkSize: INFLATE_STEP_BYTES_MAX
    }
    zlib.zstdDecompress(this.#body.subarray(this.#startByte), options, (error, output) => {
      if (error !== null) return resolve(failureOf(error))
      // See `step`.
      const part = this.#advance(output as unknown as ZstdInfo)
      if (part === undefined) return resolve(UNDECODABLE)
      for (let start = 0; start < part.length; start += INFLATE_STEP_BYTES_MAX) {
        take(part.subarray(start, start + INFLATE_STEP_BYTES_MAX))
      }
      resolve(DONE)
    })
    return promise
  }

  #advance(info: ZstdInfo): Buffer | undefined {
    if (info.engine.bytesWritten === 0) return undefined
    this.#startByte += info.engine.bytesWritten
    return info.buffer
  }

  /** Passes over one skippable frame. */
  #skips(): boolean {
    const rest = this.#body.length - this.#startByte
    if (rest < ZSTD_SKIPPABLE_HEADER_BYTES) return false
    if (this.#body.readUInt32LE(this.#startByte) >>> 4 !== ZSTD_SKIPPABLE) return false
    const byteCount = ZSTD_SKIPPABLE_HEADER_BYTES + this.#body.readUInt32LE(this.#startByte + 4)
    if (byteCount > rest) return false
    this.#startByte += byteCount
    return true
  }
}

interface ZstdInfo {
  readonly buffer: Buffer
  /** `bytesWritten`: input that the engine took, which ends with the first frame. */
  readonly engine: { readonly bytesWritten: number }
}

function caught(inflate: () => void): Inflated {
  try {
    inflate()
    return DONE
  } catch (error) {
    return failureOf(error)
  }
}

function failureOf(error: unknown): Inflated {
  return errnoOf(error) === 'ERR_BUFFER_TOO_LARGE' ? TOO_LARGE : UNDECODABLE
}
