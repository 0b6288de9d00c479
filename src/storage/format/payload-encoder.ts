// Step 4. Runs on: ingest, main (dead letters).
// From groups to what a frame stores: compress, encrypt; the hash is taken over the result. Off by default, and then the
// bytes are written from where they lie.
//
// What zstd costs: docs/queue-format.md.

import { createCipheriv, randomBytes } from 'node:crypto'
import zlib from 'node:zlib'
import { invariant } from '../../core/invariant.ts'
import { FRAME_PAYLOAD_BYTES_MAX } from '../../core/limits.ts'
import { type FrameHeader, frameFactsOf } from './frame.ts'
import { CODEC, FEATURE, FRAME_FLAG, FRAME_KEY_SHIFT, SEALED } from './layout.ts'
import { type SegmentPlace, type StoreIdentity, segmentKey } from './store-keys.ts'

/** How the payloads of a route are stored. */
export type Compression = 'none' | 'zstd'

/** Payloads below are stored as they are: headers of zstd and the call would eat the gain. */
const COMPRESS_BYTES_MIN = 512
/** What compression has to save at least; else a reader would pay for nothing. */
const GAIN_MIN = 0.1
const ZSTD_LEVEL = 1

/** What the header of a segment says about its frames. */
export function segmentFeatures(
  store: Pick<StoreIdentity, 'keys'>,
  compression: Compression
): { readonly incompatible: number; readonly keyId: number } {
  const keyId = store.keys?.current?.id ?? 0
  const zstd = compression === 'zstd' ? FEATURE.zstd : 0
  return { incompatible: zstd | (keyId === 0 ? 0 : FEATURE.encryption), keyId }
}

/** Bytes by which a stored payload may exceed the raw one. */
export function sealedBytes(store: Pick<StoreIdentity, 'keys'>): number {
  return store.keys?.current == null ? 0 : SEALED.prefixBytes
}

export class PayloadEncoder {
  readonly #store: Pick<StoreIdentity, 'uuid' | 'keys'>
  readonly #logId: Uint8Array
  readonly #compression: Compression
  /** Key of the segment that is written. */
  #key: Buffer | null = null
  #keyEpoch = -1
  #keyFirstOffset = -1

  constructor(
    store: Pick<StoreIdentity, 'uuid' | 'keys'>,
    logId: Uint8Array,
    compression: Compression
  ) {
    this.#store = store
    this.#logId = logId
    this.#compression = compression
  }

  /**
   * What to store for the payload that the parts make up; null: the parts as they lie. Sets `codec`, `flags` and
   * `storedBytes` of the header, whose other fields are final but for the hash.
   */
  encode(
    parts: readonly Uint8Array[],
    header: FrameHeader,
    segment: Pick<SegmentPlace, 'epoch' | 'firstOffset'>
  ): readonly Uint8Array[] | null {
    const compressed = this.#compress(parts, header.rawBytes)
    if (compressed !== null) {
      header.codec = CODEC.zstd
      header.storedBytes = compressed.length
    }
    const key = this.#store.keys?.current ?? null
    if (key === null) return compressed === null ? null : [compressed]
    header.flags |= FRAME_FLAG.encrypted | (key.id << FRAME_KEY_SHIFT)
    header.storedBytes += SEALED.prefixBytes
    invariant(header.storedBytes <= FRAME_PAYLOAD_BYTES_MAX, 'sealed payload above the frame cap')
    return seal(
      compressed === null ? parts : [compressed],
      frameFactsOf(header),
      this.#segmentKey(segment)
    )
  }

  #compress(parts: readonly Uint8Array[], rawBytes: number): Buffer | null {
    if (this.#compression === 'none' || rawBytes < COMPRESS_BYTES_MIN) return null
    const outputBytesMax = Math.floor(rawBytes * (1 - GAIN_MIN))
    try {
      return zlib.zstdCompressSync(contiguous(parts, rawBytes), {
        chunkSize: outputBytesMax,
        maxOutputLength: outputBytesMax,
        pledgedSrcSize: rawBytes,
        params: { [zlib.constants.ZSTD_c_compressionLevel]: ZSTD_LEVEL }
      })
    } catch {
      // More than the bound came out: not worth it.
      return null
    }
  }

  #segmentKey(segment: Pick<SegmentPlace, 'epoch' | 'firstOffset'>): Buffer {
    const { epoch, firstOffset } = segment
    if (this.#key === null || epoch !== this.#keyEpoch || firstOffset !== this.#keyFirstOffset) {
      const master = this.#store.keys?.current
      invariant(master != null, 'a key to encrypt with')
      this.#key = segmentKey(master, this.#store.uuid, { logId: this.#logId, epoch, firstOffset })
      this.#keyEpoch = epoch
      this.#keyFirstOffset = firstOffset
    }
    return this.#key
  }
}

function seal(parts: readonly Uint8Array[], facts: Buffer, key: Buffer): Uint8Array[] {
  const nonce = randomBytes(SEALED.nonceBytes)
  const cipher = createCipheriv('aes-256-gcm', key, nonce, { authTagLength: SEALED.tagBytes })
  cipher.setAAD(facts)
  const sealed = parts.map((part) => cipher.update(part))
  cipher.final()
  return [nonce, cipher.getAuthTag(), ...sealed]
}

/** One per thread, because writers of a thread take turns; as long as the longest payload that came in parts. */
let staging = Buffer.alloc(0)

function contiguous(parts: readonly Uint8Array[], byteCount: number): Uint8Array {
  const [only] = parts
  if (parts.length === 1 && only !== undefined) return only
  if (staging.length < byteCount) staging = Buffer.allocUnsafeSlow(byteCount)
  let at = 0
  for (const part of parts) {
    staging.set(part, at)
    at += part.length
  }
  return staging.subarray(0, at)
}
