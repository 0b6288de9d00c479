// Step 2. Runs on: ingest.
// Bodies of requests into their targets, decompressed, within the limits; and the pace of all that are being read.

import type { FastifyReply, FastifyRequest } from 'fastify'
import type { ScanKernel } from '../../../src/kernel/scan-kernel.ts'
import type { InputContext } from '../../../src/plugin/input.ts'
import { type BodyEnd, BodyReader } from './body-reader.ts'
import { decompress, encodingOf } from './decompression.ts'
import type { HttpOptions } from './options.ts'
import { type Refusal, refusal } from './refusal.ts'
import { type BodyTarget, WholeBody } from './whole-body.ts'

/** Bodies that are read whole lie in the kernel's memory at once. */
export const WHOLE_BODY_BYTES_MAX = 64 * 1024 * 1024
const PACE_CHECK_MS = 1000

const ENDS: Readonly<Record<Exclude<BodyEnd, 'whole'>, Refusal>> = {
  too_large: refusal(413, 'too_large', 'body is too large'),
  no_memory: refusal(503, 'memory', 'too many bodies at a time, come again'),
  too_slow: refusal(408, 'too_slow', 'body comes too slowly'),
  gone: refusal(400, 'cut_short', 'body is cut short')
}
const UNDECODABLE = refusal(400, 'undecodable', 'body is undecodable')
const UNKNOWN_ENCODING = refusal(
  415,
  'unknown_encoding',
  'content encoding is none of gzip, deflate, zstd'
)

export class BodyIntake {
  readonly #context: InputContext<ScanKernel>
  readonly #options: HttpOptions
  readonly #readers = new Set<BodyReader>()
  #cancelCheck: (() => void) | null = null

  constructor(context: InputContext<ScanKernel>, options: HttpOptions) {
    this.#context = context
    this.#options = options
  }

  /** Reads the body to its end. `use` gets the target when it is whole; the memory is free when that has settled. */
  async read<T extends BodyTarget, R>(
    request: FastifyRequest,
    reply: FastifyReply,
    target: T,
    use: (target: T, reader: BodyReader) => Promise<R>
  ): Promise<R | Refusal> {
    const { counters, held, kernel } = this.#context
    const { max_body_bytes } = this.#options
    const encoding = encodingOf(request.headers['content-encoding'])
    if (encoding === null) return UNKNOWN_ENCODING
    const compressed = encoding === 'identity' ? null : new WholeBody(kernel)
    const reader = new BodyReader(request.raw, compressed ?? target, max_body_bytes, held)
    this.#watch(reader)
    try {
      const end = await reader.read(reply.raw)
      this.#readers.delete(reader)
      counters.add('received_bytes', reader.receivedBytes)
      if (end !== 'whole') return { ...ENDS[end], firstBytes: reader.firstBytes }
      if (compressed !== null && encoding !== 'identity') {
        const failed = await this.#decompress(encoding, compressed, target)
        if (failed !== null) return { ...failed, firstBytes: reader.firstBytes }
      }
      return await use(target, reader)
    } finally {
      this.#readers.delete(reader)
      reader.release()
      compressed?.release()
    }
  }

  stop(): void {
    this.#cancelCheck?.()
    this.#cancelCheck = null
  }

  async #decompress(
    encoding: 'gzip' | 'zstd' | 'deflate',
    compressed: WholeBody,
    target: BodyTarget
  ): Promise<Refusal | null> {
    const { max_decompressed_bytes } = this.#options
    const bytesMax =
      target instanceof WholeBody
        ? Math.min(max_decompressed_bytes, WHOLE_BODY_BYTES_MAX)
        : max_decompressed_bytes
    let byteCount = 0
    let hasMemory = true
    const result = await decompress(encoding, compressed.bytes, bytesMax, (part) => {
      byteCount += part.length
      hasMemory = target.add(part)
      return hasMemory ? undefined : 'stop'
    })
    this.#context.counters.add('decompressed_bytes', byteCount)
    if (!hasMemory) return ENDS.no_memory
    if (result === 'done') return null
    return result === 'too_large' ? ENDS.too_large : UNDECODABLE
  }

  #watch(reader: BodyReader): void {
    this.#readers.add(reader)
    if (this.#cancelCheck !== null) return
    const { clock } = this.#context
    let checkedMs = clock.monotonicMs()
    const check = () => {
      const nowMs = clock.monotonicMs()
      for (const each of [...this.#readers]) {
        each.checkPace(nowMs - checkedMs, this.#options.min_body_rate)
      }
      checkedMs = nowMs
      this.#cancelCheck = this.#readers.size > 0 ? clock.after(PACE_CHECK_MS, check) : null
    }
    this.#cancelCheck = clock.after(PACE_CHECK_MS, check)
  }
}
