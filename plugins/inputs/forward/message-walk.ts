// Step 2. Runs on: ingest.
// Finds the parts of one message while its bytes pass by: tag, body, option, end. Only numbers are kept, whatever its length.

import type { ScanKernel } from '../../../src/kernel/scan-kernel.ts'

/** What element 1 says about the message (forward.md 2.2). */
export type MessageMode = 'packed' | 'forward' | 'single'

export interface MessageHead {
  readonly mode: MessageMode
  /** As received. */
  readonly tag: Buffer
  readonly elementCount: number
  /** Of an array of entries. */
  readonly entryCount: number
  readonly bodyStartByte: number
  /** Of a body in one piece. */
  readonly bodyByteCount: number
}

/** `bytes` begin with the message. Null: its head is not there, which in so many bytes no sane one needs. */
export function readHead(bytes: Buffer): MessageHead | null {
  const outer = headerAt(bytes, 0)
  if (outer?.kind !== 'array') return null
  const tag = headerAt(bytes, outer.byteCount)
  if (tag === null || tag.kind === 'array') return null
  const tagEnd = outer.byteCount + tag.byteCount + (tag.kind === 'text' ? tag.length : 0)
  if (tag.kind !== 'text' || tagEnd >= bytes.length) return null
  const body = headerAt(bytes, tagEnd)
  if (body === null) return null
  const head = {
    tag: Buffer.from(bytes.subarray(outer.byteCount + tag.byteCount, tagEnd)),
    elementCount: outer.length,
    entryCount: 0,
    bodyStartByte: tagEnd,
    bodyByteCount: 0
  }
  const bodyStartByte = tagEnd + body.byteCount
  if (body.kind === 'text') {
    return { ...head, mode: 'packed', bodyStartByte, bodyByteCount: body.length }
  }
  const isEntries =
    body.kind === 'array' &&
    !(body.length === 2 && isTime(bytes[bodyStartByte]) && outer.length > 2)
  if (isEntries) return { ...head, mode: 'forward', bodyStartByte, entryCount: body.length }
  return { ...head, mode: 'single' }
}

/** Entries are arrays, so an array that begins with something else is a time and its metadata. */
const isTime = (byte: number | undefined): boolean =>
  byte !== undefined && !(byte >= 0x90 && byte <= 0x9f) && byte !== 0xdc && byte !== 0xdd

interface Header {
  readonly kind: 'array' | 'text' | 'other'
  readonly byteCount: number
  /** Elements, or bytes. */
  readonly length: number
}

/** Null: cut. */
function headerAt(bytes: Buffer, at: number): Header | null {
  const c = bytes[at]
  if (c === undefined) return null
  if ((c & 0xf0) === 0x90) return { kind: 'array', byteCount: 1, length: c & 15 }
  if ((c & 0xe0) === 0xa0) return { kind: 'text', byteCount: 1, length: c & 31 }
  const width = WIDTHS.get(c)
  if (width === undefined) return { kind: 'other', byteCount: 1, length: 0 }
  if (at + 1 + width > bytes.length) return null
  const kind = c === 0xdc || c === 0xdd ? 'array' : 'text'
  return { kind, byteCount: 1 + width, length: bytes.readUIntBE(at + 1, width) }
}

/** Bytes of the length behind the first byte: str, bin, array. */
const WIDTHS: ReadonlyMap<number, number> = new Map([
  [0xd9, 1],
  [0xda, 2],
  [0xdb, 4],
  [0xc4, 1],
  [0xc5, 2],
  [0xc6, 4],
  [0xdc, 2],
  [0xdd, 4]
])

/** Values of a stage, and the byte where it ends once it is known. */
interface Stage {
  readonly name: 'body' | 'option' | 'rest'
  valuesLeft: number
}

export class MessageWalk {
  readonly head: MessageHead
  /** Where the option begins, that is where the body ends; -1: not known yet. */
  optionStartByte = -1
  /** Where it ends; -1: not known yet. */
  optionEndByte = -1
  /** Longest message. */
  byteCountMax: number
  readonly #kernel: ScanKernel
  readonly #stages: Stage[]
  #position: number
  #skipBytes = 0

  constructor(kernel: ScanKernel, head: MessageHead, byteCountMax: number) {
    this.head = head
    this.#kernel = kernel
    this.byteCountMax = byteCountMax
    this.#position = head.bodyStartByte
    this.#skipBytes = head.bodyByteCount
    const { elementCount, entryCount, mode } = head
    const bodyElements = Math.min(mode === 'single' ? 3 : 2, elementCount)
    const behind = elementCount - bodyElements
    const single = mode === 'single' ? bodyElements - 1 : 0
    this.#stages = [
      { name: 'body', valuesLeft: mode === 'forward' ? entryCount : single },
      { name: 'option', valuesLeft: Math.min(1, behind) },
      { name: 'rest', valuesLeft: Math.max(0, behind - 1) }
    ]
  }

  /** Bytes of the message that were passed over; its length at the end. */
  get position(): number {
    return this.#position
  }

  get isEnded(): boolean {
    return this.#stages.length === 0
  }

  /**
   * Goes on with the bytes at `position`. Gives how many were taken: what is left is a cut header, to be offered again with
   * more behind it, or belongs to the next message. `wrong`: longer than allowed, or no value.
   */
  advance(bytes: Buffer): number | 'wrong' {
    if (this.#position + this.#skipBytes > this.byteCountMax) return 'wrong'
    let at = 0
    for (;;) {
      const passed = Math.min(this.#skipBytes, bytes.length - at)
      this.#skipBytes -= passed
      this.#position += passed
      at += passed
      if (this.#skipBytes > 0) return at
      if (!this.#enterStage()) return at
      const stage = this.#stages[0]
      if (stage === undefined || at === bytes.length) return at
      const skipped = this.#kernel.skip(
        bytes.subarray(at),
        stage.valuesLeft,
        this.byteCountMax - this.#position
      )
      if (skipped.status === 'wrong') return 'wrong'
      stage.valuesLeft = skipped.valuesLeft
      this.#skipBytes = skipped.byteCount
      const isCut = skipped.byteCount < bytes.length - at && skipped.valuesLeft > 0
      if (!isCut) continue
      this.#skipBytes = 0
      this.#position += skipped.byteCount
      return at + skipped.byteCount
    }
  }

  /** Leaves the stages that are done. False: all are. */
  #enterStage(): boolean {
    while (this.#stages[0] !== undefined && this.#stages[0].valuesLeft === 0) {
      const name = this.#stages.shift()?.name
      if (name === 'body') this.optionStartByte = this.#position
      if (name === 'option') this.optionEndByte = this.#position
    }
    return this.#stages.length > 0
  }
}
