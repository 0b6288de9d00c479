// Step 2. Runs on: ingest.
// Where the frames of a zstd body end, told by their block headers without inflating anything (RFC 8878, 3.1). Node's
// functions inflate one frame and say nothing of the others.

/** Bytes that need not be in memory. */
export interface ByteSource {
  readonly byteCount: number
  /** Fills `into` with the bytes from `atByte` on. */
  read(into: Uint8Array, atByte: number): void
}

export interface ZstdFrame {
  readonly endByte: number
  /** It holds nothing of the body. */
  readonly isSkippable: boolean
}

const MAGIC = 0xfd2fb528
/** Skippable frames have the magics 0x184d2a50 to 0x184d2a5f, then a length. */
const SKIPPABLE = 0x184d2a5
const SKIPPABLE_HEADER_BYTES = 8
const MAGIC_BYTES = 4
const BLOCK_HEADER_BYTES = 3
const BLOCK_RLE = 1
const BLOCK_RESERVED = 3
const DICTIONARY_BYTES = [0, 1, 2, 4]
const CONTENT_SIZE_BYTES = [0, 2, 4, 8]
const CHECKSUM_BYTES = 4
/** Block headers are read through a buffer of this size. */
const LOOK_BYTES = 64 * 1024

export function isZstdMagic(magic: number): boolean {
  return magic === MAGIC || magic >>> 4 === SKIPPABLE
}

export function bytesFrom(bytes: Buffer): ByteSource {
  return {
    byteCount: bytes.length,
    read: (into, atByte) => {
      bytes.copy(into, 0, atByte, atByte + into.length)
    }
  }
}

/** The frame that begins at `startByte`; null: none does, or it is cut. */
export function frameAt(source: ByteSource, startByte: number): ZstdFrame | null {
  const window = new Window(source)
  const magic = window.number(startByte, MAGIC_BYTES)
  if (magic === null) return null
  if (magic >>> 4 === SKIPPABLE) {
    const byteCount = window.number(startByte + MAGIC_BYTES, 4)
    const endByte = startByte + SKIPPABLE_HEADER_BYTES + (byteCount ?? 0)
    if (byteCount === null || endByte > source.byteCount) return null
    return { endByte, isSkippable: true }
  }
  const descriptor = window.number(startByte + MAGIC_BYTES, 1)
  if (magic !== MAGIC || descriptor === null) return null
  const isSingleSegment = (descriptor & 0x20) !== 0
  const contentFlag = descriptor >> 6
  const contentBytes =
    contentFlag === 0 && isSingleSegment ? 1 : (CONTENT_SIZE_BYTES[contentFlag] ?? 0)
  const dictionaryBytes = DICTIONARY_BYTES[descriptor & 3] ?? 0
  const headerBytes = 1 + (isSingleSegment ? 0 : 1) + dictionaryBytes + contentBytes
  const blocksEnd = behindBlocks(window, startByte + MAGIC_BYTES + headerBytes)
  if (blocksEnd === null) return null
  const endByte = blocksEnd + ((descriptor & 4) === 0 ? 0 : CHECKSUM_BYTES)
  return endByte > source.byteCount ? null : { endByte, isSkippable: false }
}

function behindBlocks(window: Window, startByte: number): number | null {
  for (let at = startByte; ; ) {
    const header = window.number(at, BLOCK_HEADER_BYTES)
    if (header === null) return null
    const type = (header >> 1) & 3
    if (type === BLOCK_RESERVED) return null
    at += BLOCK_HEADER_BYTES + (type === BLOCK_RLE ? 1 : header >>> 3)
    if ((header & 1) !== 0) return at
  }
}

/** Little-endian numbers of a source. */
class Window {
  readonly #source: ByteSource
  #bytes = Buffer.alloc(0)
  #startByte = 0

  constructor(source: ByteSource) {
    this.#source = source
  }

  /** Null: the source ends before. */
  number(atByte: number, byteCount: number): number | null {
    const { byteCount: sourceBytes } = this.#source
    if (atByte + byteCount > sourceBytes) return null
    const isThere =
      atByte >= this.#startByte && atByte + byteCount <= this.#startByte + this.#bytes.length
    if (!isThere) {
      // Frames are small where there are many: the first look takes little.
      const lookBytes = this.#bytes.length === 0 ? 1024 : LOOK_BYTES
      this.#bytes = Buffer.allocUnsafe(Math.min(lookBytes, sourceBytes - atByte))
      this.#source.read(this.#bytes, atByte)
      this.#startByte = atByte
    }
    return this.#bytes.readUIntLE(atByte - this.#startByte, byteCount)
  }
}
