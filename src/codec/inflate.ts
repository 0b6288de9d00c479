// Step 2. Runs on: ingest.
// Compressed bodies of senders: gzip with any number of members and trailing zeros, zstd with any number of frames and
// skippable frames (senders compress each append by itself). The magic decides, not what the sender says. Output is bounded
// while it is made. What fits one step is inflated at once; the rest in steps, other connections in between, from a source
// that need not be in memory. Traps: Node's zstd functions stop after the first frame without an error, hence the walk over
// frames (zstd-frames.ts); a frame may ask for a window of 128 MiB, hence WINDOW_LOG_MAX.

import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import zlib from 'node:zlib'
import { errnoOf, MillraceError } from '../core/errors.ts'
import { type ByteSource, bytesFrom, frameAt, isZstdMagic } from './zstd-frames.ts'

export type Compression = 'gzip' | 'zstd'

export type InflateFailure =
  /** Bad checksum, cut body, bytes after the last member. */
  | 'undecodable'
  /** More than the bound comes out. */
  | 'too_large'

export type Inflated =
  | { readonly kind: 'done' }
  | { readonly kind: 'failed'; readonly reason: InflateFailure }
  /** Who takes the parts wants no more. */
  | { readonly kind: 'stopped' }

/** Takes at most INFLATE_STEP_BYTES_MAX at once; `stop`: no more. */
export type TakePart = (part: Buffer) => TakeAnswer | Promise<TakeAnswer>
type TakeAnswer = 'stop' | undefined

/** Bytes out of one step; bounds what one message may take of a turn of the event loop (about 1 ms). */
export const INFLATE_STEP_BYTES_MAX = 1024 * 1024
/** Above this much input a body goes through the stepwise way at once. */
const STEP_INPUT_BYTES_MAX = 256 * 1024

/** Read from a source at once. */
const SOURCE_STEP_BYTES = 256 * 1024
/** Frames of one turn of the event loop: empty ones cost about 20 us each. */
const FRAMES_PER_TURN = 64
/** Frames of one body. A sender makes one of each append; more are an attack on the CPU. */
const FRAMES_MAX = 262_144
/** Largest window of a frame, 16 MiB: what levels up to 19 ask for fits. */
const WINDOW_LOG_MAX = 24
const ZSTD_PARAMS = { [zlib.constants.ZSTD_d_windowLogMax]: WINDOW_LOG_MAX }

const DONE: Inflated = { kind: 'done' }
const UNDECODABLE: Inflated = { kind: 'failed', reason: 'undecodable' }
const TOO_LARGE: Inflated = { kind: 'failed', reason: 'too_large' }
const STOPPED: Inflated = { kind: 'stopped' }

/** What the first bytes say; null: not compressed. No MessagePack entry starts with 1f or 28. */
export function compressionOf(body: Buffer): Compression | null {
  if (body.length >= 2 && body[0] === 0x1f && body[1] === 0x8b) return 'gzip'
  if (body.length >= 4 && isZstdMagic(body.readUInt32LE(0))) return 'zstd'
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
    const small = unzstdAtOnce(body, stepBytesMax, parts)
    if (small === null) return null
    result = small
  }
  if (result.kind === 'failed' && result.reason === 'too_large') return null
  if (result.kind === 'done') for (const part of parts) take(part)
  return result
}

/** Inflates a body of any length. `source` must stay readable until the promise settles; its errors reject. */
export function inflateInSteps(
  compression: Compression,
  source: ByteSource,
  outputBytesMax: number,
  take: TakePart
): Promise<Inflated> {
  if (compression === 'zstd') return unzstdInSteps(source, outputBytesMax, take)
  const gunzip = zlib.createGunzip({ chunkSize: SOURCE_STEP_BYTES })
  return drain(gunzip, source, 0, source.byteCount, outputBytesMax, take)
}

/** Frames up to FRAMES_PER_TURN. Null: more than one step. */
function unzstdAtOnce(body: Buffer, outputBytesMax: number, parts: Buffer[]): Inflated | null {
  const source = bytesFrom(body)
  let bytesLeft = outputBytesMax
  let frameCount = 0
  for (let at = 0; at < body.length; frameCount++) {
    if (frameCount === FRAMES_PER_TURN) return null
    const frame = frameAt(source, at)
    if (frame === null) return UNDECODABLE
    if (!frame.isSkippable) {
      const result = unzstdFrame(body.subarray(at, frame.endByte), bytesLeft)
      if (!Buffer.isBuffer(result)) return result
      bytesLeft -= result.length
      parts.push(result)
    }
    at = frame.endByte
  }
  return DONE
}

async function unzstdInSteps(
  source: ByteSource,
  outputBytesMax: number,
  take: TakePart
): Promise<Inflated> {
  let bytesLeft = outputBytesMax
  let frameCount = 0
  const count: TakePart = (part) => {
    bytesLeft -= part.length
    return take(part)
  }
  for (let at = 0; at < source.byteCount; frameCount++) {
    if (frameCount === FRAMES_MAX) return UNDECODABLE
    if (frameCount % FRAMES_PER_TURN === 0) await turn()
    const frame = frameAt(source, at)
    if (frame === null) return UNDECODABLE
    const startByte = at
    at = frame.endByte
    if (frame.isSkippable) continue
    const result = await unzstdOne(source, startByte, at, bytesLeft, count)
    if (result.kind !== 'done') return result
  }
  return DONE
}

/** One frame: at once when it is small, else as a stream. */
async function unzstdOne(
  source: ByteSource,
  startByte: number,
  endByte: number,
  bytesLeft: number,
  take: TakePart
): Promise<Inflated> {
  if (endByte - startByte <= STEP_INPUT_BYTES_MAX) {
    const frame = Buffer.allocUnsafe(endByte - startByte)
    source.read(frame, startByte)
    const part = unzstdFrame(frame, Math.min(INFLATE_STEP_BYTES_MAX, bytesLeft))
    if (Buffer.isBuffer(part)) return (await take(part)) === 'stop' ? STOPPED : DONE
    if (part.kind !== 'failed' || part.reason !== 'too_large') return part
  }
  const stream = zlib.createZstdDecompress({ chunkSize: SOURCE_STEP_BYTES, params: ZSTD_PARAMS })
  return drain(stream, source, startByte, endByte, bytesLeft, take)
}

function unzstdFrame(frame: Buffer, outputBytesMax: number): Buffer | Inflated {
  try {
    const maxOutputLength = Math.max(1, outputBytesMax)
    return zlib.zstdDecompressSync(frame, { maxOutputLength, params: ZSTD_PARAMS })
  } catch (error) {
    return failureOf(error)
  }
}

/** Bytes of the source through a decompressor that works on libuv's threads. */
async function drain(
  stream: zlib.Gunzip | zlib.ZstdDecompress,
  source: ByteSource,
  startByte: number,
  endByte: number,
  outputBytesMax: number,
  take: TakePart
): Promise<Inflated> {
  const input = Readable.from(chunksOf(source, startByte, endByte), { objectMode: false })
  // Its failures come out of the loop below.
  const feeding = pipeline(input, stream).catch(() => undefined)
  let bytesLeft = outputBytesMax
  try {
    for await (const part of stream) {
      // Streams without an encoding give buffers.
      const bytes = part as Buffer
      bytesLeft -= bytes.length
      if (bytesLeft < 0) return TOO_LARGE
      if ((await take(bytes)) === 'stop') return STOPPED
    }
    return DONE
  } catch (error) {
    if (error instanceof MillraceError) throw error
    return UNDECODABLE
  } finally {
    stream.destroy()
    input.destroy()
    await feeding
  }
}

function* chunksOf(source: ByteSource, startByte: number, endByte: number): Generator<Buffer> {
  for (let at = startByte; at < endByte; at += SOURCE_STEP_BYTES) {
    const chunk = Buffer.allocUnsafe(Math.min(SOURCE_STEP_BYTES, endByte - at))
    source.read(chunk, at)
    yield chunk
  }
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

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
