// Step 2. Runs on: ingest.
// Compressed bodies -> plain ones. Small ones at once into a block of kernel memory; the others in steps while the
// connection rests and others go on: into a block up to MESSAGE_IN_MEMORY_BYTES_MAX, beyond that into a spool file, and from
// then on entries are checked as they appear, so that a bomb is left as soon as it shows that it holds none.

import { type Compression, type Inflated, inflateAtOnce } from '../../../src/codec/inflate.ts'
import { type ByteSource, bytesFrom } from '../../../src/codec/zstd-frames.ts'
import { MillraceError } from '../../../src/core/errors.ts'
import { MESSAGE_IN_MEMORY_BYTES_MAX, MESSAGE_PART_BYTES } from '../../../src/core/limits.ts'
import type { ScanKernel } from '../../../src/kernel/scan-kernel.ts'
import type { InputContext, SpoolFile } from '../../../src/plugin/input.ts'
import { LongCheck } from './long-entries.ts'

/** `no_memory`: the region of blocks is used up. */
export type InflateFailure = 'undecodable' | 'too_large' | 'no_memory'

export type Body =
  | { readonly kind: 'body'; readonly block: Buffer; readonly byteCount: number }
  | { readonly kind: 'failed'; readonly reason: InflateFailure }

/** The block of a `body` belongs to who gets it. null: takes steps. */
export function inflateNow(
  kernel: ScanKernel,
  compression: Compression,
  compressed: Buffer,
  byteCountMax: number
): Body | null {
  const target = new Block(kernel)
  const result = inflateAtOnce(compression, compressed, byteCountMax, (part) => {
    target.add(part)
  })
  return result === null ? null : target.finish(result)
}

/** A block that grows by doubling. */
class Block {
  readonly #kernel: ScanKernel
  #block: Buffer | null = null
  #byteCount = 0
  #hasMemory = true

  constructor(kernel: ScanKernel) {
    this.#kernel = kernel
  }

  get byteCount(): number {
    return this.#byteCount
  }

  get hasMemory(): boolean {
    return this.#hasMemory
  }

  bytes(): Buffer {
    return this.#block?.subarray(0, this.#byteCount) ?? Buffer.alloc(0)
  }

  add(part: Buffer): void {
    if (!this.#hasMemory) return
    const byteCount = this.#byteCount + part.length
    if (this.#block === null || byteCount > this.#block.length) {
      const larger = this.#kernel.borrow(byteCount)
      if (larger === null) {
        this.#hasMemory = false
        return
      }
      if (this.#block !== null) {
        this.#block.copy(larger, 0, 0, this.#byteCount)
        this.#kernel.giveBack(this.#block)
      }
      this.#block = larger
    }
    part.copy(this.#block, this.#byteCount)
    this.#byteCount = byteCount
  }

  finish(result: Inflated): Body {
    const block = this.#block ?? this.#kernel.borrow(1)
    if (result.kind === 'done' && this.#hasMemory && block !== null) {
      return { kind: 'body', block, byteCount: this.#byteCount }
    }
    if (block !== null) this.#kernel.giveBack(block)
    return {
      kind: 'failed',
      reason: result.kind === 'failed' ? result.reason : 'no_memory'
    }
  }

  release(): void {
    if (this.#block !== null) this.#kernel.giveBack(this.#block)
    this.#block = null
    this.#byteCount = 0
  }
}

/** Takes what a long body holds. */
export class PlainSink {
  /** Of a body that is in a spool file. */
  check: LongCheck | null = null
  readonly #context: InputContext<ScanKernel>
  #block: Block
  #spool: SpoolFile | null = null

  constructor(context: InputContext<ScanKernel>) {
    this.#context = context
    this.#block = new Block(context.kernel)
  }

  get byteCount(): number {
    return this.#spool?.byteCount ?? this.#block.byteCount
  }

  async add(part: Buffer): Promise<'stop' | undefined> {
    if (this.#spool !== null) return this.#spoolPart(this.#spool, part)
    if (this.#block.byteCount + part.length <= MESSAGE_IN_MEMORY_BYTES_MAX) {
      this.#block.add(part)
      if (!this.#block.hasMemory) throw noMemory()
      return
    }
    const spool = this.#context.spools.open()
    this.#spool = spool
    this.check = new LongCheck(this.#context.kernel, null)
    return (await this.#spoolBlock(spool)) ?? this.#spoolPart(spool, part)
  }

  /** What came out. */
  source(): ByteSource {
    const spool = this.#spool
    if (spool === null) return bytesFrom(this.#block.bytes())
    return { byteCount: spool.byteCount, read: (into, atByte) => spool.read(into, atByte) }
  }

  /** All of it, when it is in memory: the block belongs to the caller from now on. */
  takeBody(): Body | null {
    if (this.#spool !== null) return null
    const body = this.#block.finish({ kind: 'done' })
    this.#block = new Block(this.#context.kernel)
    return body
  }

  close(): void {
    this.#block.release()
    this.check?.release()
    this.#spool?.close()
  }

  async #spoolBlock(spool: SpoolFile): Promise<'stop' | undefined> {
    const bytes = this.#block.bytes()
    for (let at = 0; at < bytes.length; at += MESSAGE_PART_BYTES) {
      const answer = await this.#spoolPart(spool, bytes.subarray(at, at + MESSAGE_PART_BYTES))
      if (answer !== undefined) return answer
      await new Promise((resolve) => setImmediate(resolve))
    }
    this.#block.release()
    return undefined
  }

  async #spoolPart(spool: SpoolFile, part: Buffer): Promise<'stop' | undefined> {
    while (!spool.append(part)) await this.#room()
    while (!spool.hasRoom) await this.#room()
    const { check } = this
    if (check === null) return
    part.copy(check.room(part.length))
    check.look()
    return check.isOver ? 'stop' : undefined
  }

  #room(): Promise<void> {
    return new Promise((resolve) => this.#context.appender.onRoom(resolve))
  }
}

function noMemory(): MillraceError {
  return new MillraceError(
    'MR_INPUT_MESSAGE',
    'no memory to inflate a message: its sender has to send it again'
  )
}
