// Step 7. Runs on: any.
// The data part of a program under construction: texts and tables at addresses relative to the program's first byte.
// Equal texts are stored once.

/** Bytes of the header that every program begins with; the data follows it. */
export const HEADER_BYTES = 128

/** A text within the program. */
export interface Slice {
  readonly address: number
  readonly byteCount: number
}

export class ProgramData {
  #bytes = Buffer.alloc(4096)
  #endByte = 0
  readonly #texts = new Map<string, Slice>()

  /** Address after the last byte, aligned for words. */
  get endAddress(): number {
    return HEADER_BYTES + align(this.#endByte)
  }

  get bytes(): Uint8Array {
    return this.#bytes.subarray(0, align(this.#endByte))
  }

  text(value: string | Uint8Array): Slice {
    const bytes = typeof value === 'string' ? Buffer.from(value, 'utf8') : Buffer.from(value)
    const key = bytes.toString('latin1')
    const known = this.#texts.get(key)
    if (known !== undefined) return known
    const slice = { address: this.#append(bytes), byteCount: bytes.length }
    this.#texts.set(key, slice)
    return slice
  }

  /** A table of 32-bit words. */
  words(words: readonly number[]): number {
    const bytes = Buffer.alloc(words.length * 4)
    words.forEach((word, index) => {
      bytes.writeUInt32LE(word >>> 0, index * 4)
    })
    return this.#append(bytes)
  }

  #append(bytes: Uint8Array): number {
    const start = align(this.#endByte)
    const end = start + bytes.length
    if (end + 16 > this.#bytes.length) {
      const grown = Buffer.alloc(Math.max(this.#bytes.length * 2, end + 16))
      grown.set(this.#bytes)
      this.#bytes = grown
    }
    this.#bytes.set(bytes, start)
    this.#endByte = end
    return HEADER_BYTES + start
  }
}

function align(byte: number): number {
  return (byte + 15) & ~15
}
