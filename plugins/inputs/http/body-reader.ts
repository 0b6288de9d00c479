// Step 2. Runs on: ingest.
// The bytes of one request on their way to a target: bounded by count, by pace and by the memory that all unfinished bodies
// of the thread share (they then stop being read, largest first). A body of few bytes costs one event.

import type { IncomingMessage, ServerResponse } from 'node:http'
import type { BytesHolder, HeldBytes } from '../../../src/net/held-bytes.ts'
import type { BodyTarget } from './whole-body.ts'

/** `gone`: the sender closed the connection before the body was whole. */
export type BodyEnd = 'whole' | 'too_large' | 'no_memory' | 'too_slow' | 'gone'

/** Time in which a body may be as slow as it wants, for connections that begin slowly. */
const GRACE_MS = 10_000

export class BodyReader implements BytesHolder {
  /** The first bytes that came, for log lines. */
  firstBytes: Buffer = Buffer.alloc(0)
  receivedBytes = 0
  readonly #request: IncomingMessage
  readonly #target: BodyTarget
  readonly #held: HeldBytes
  readonly #bytesMax: number
  readonly #onData = (chunk: Buffer) => this.#take(chunk)
  readonly #onEnd = () => this.#settle('whole')
  readonly #onClose = () => this.#settle('gone')
  #resolve: (end: BodyEnd) => void = () => {}
  #isOpen = true
  #readingMs = 0
  #isStopped = false

  constructor(request: IncomingMessage, target: BodyTarget, bytesMax: number, held: HeldBytes) {
    this.#request = request
    this.#target = target
    this.#bytesMax = bytesMax
    this.#held = held
  }

  get missingBytes(): number {
    const declared = Number(this.#request.headers['content-length'] ?? this.#bytesMax)
    return this.#isOpen ? Math.max(0, declared - this.receivedBytes) : 0
  }

  /** Settles once; nothing is read afterwards. */
  read(response: ServerResponse): Promise<BodyEnd> {
    const { headers } = this.#request
    if (Number(headers['content-length'] ?? 0) > this.#bytesMax) {
      this.#isOpen = false
      return Promise.resolve('too_large')
    }
    if (headers.expect !== undefined) response.writeContinue()
    const { promise, resolve } = Promise.withResolvers<BodyEnd>()
    this.#resolve = resolve
    this.#request.on('data', this.#onData)
    this.#request.on('end', this.#onEnd)
    this.#request.on('close', this.#onClose)
    this.#request.on('error', this.#onClose)
    return promise
  }

  /** Called once in `elapsedMs`. Time in which this side did not read does not count. */
  checkPace(elapsedMs: number, bytesPerSecondMin: number): void {
    if (!this.#isOpen || this.#isStopped) return
    this.#readingMs += elapsedMs
    const countedMs = this.#readingMs - GRACE_MS
    if (this.receivedBytes < (countedMs / 1000) * bytesPerSecondMin) this.#settle('too_slow')
  }

  stopReading(): void {
    this.#isStopped = true
    if (this.#isOpen) this.#request.pause()
  }

  readOn(): void {
    this.#isStopped = false
    if (this.#isOpen) this.#request.resume()
  }

  /** The memory of the target is free again. */
  release(): void {
    this.#held.remove(this)
  }

  #take(chunk: Buffer): void {
    if (this.receivedBytes === 0) this.firstBytes = chunk
    this.receivedBytes += chunk.length
    if (this.receivedBytes > this.#bytesMax) this.#settle('too_large')
    else if (!this.#target.add(chunk)) this.#settle('no_memory')
    else this.#held.set(this, this.#target.heldBytes)
  }

  #settle(end: BodyEnd): void {
    if (!this.#isOpen) return
    this.#isOpen = false
    const request = this.#request
    request.off('data', this.#onData)
    request.off('end', this.#onEnd)
    request.off('close', this.#onClose)
    this.#resolve(end)
  }
}
