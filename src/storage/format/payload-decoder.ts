// Runs on: any.
// From what a frame stores to its groups: decrypt, then decompress. The one way to a payload for pool threads, recovery,
// dead letters and tools. The hash was checked before. What needs a key or a release that is not here is no damage: it is
// locked, kept and not counted.
//
// Memory: a payload comes out at no more than the raw length that its header states, which the frame cap bounds, and the
// window of zstd is bounded too; so a bomb is refused at the first byte too many.

import { createDecipheriv } from 'node:crypto'
import zlib from 'node:zlib'
import type { StoreKey } from '../../core/encryption-keys.ts'
import { FRAME_PAYLOAD_BYTES_MAX } from '../../core/limits.ts'
import { type FrameHeader, frameFactsOf, isPayloadKnown, keyIdOf } from './frame.ts'
import { CODEC, FRAME_FLAG, SEALED } from './layout.ts'
import { type SegmentPlace, type StoreIdentity, segmentKey } from './store-keys.ts'

/** 2^24 bytes, the frame cap: no frame refers further back. */
const ZSTD_WINDOW_LOG_MAX = 24
/** Room behind the output, so that one that fits exactly needs no second buffer. */
const SPARE_BYTES = 64
/** Derived keys that are remembered; a task reads few segments. */
const SEGMENT_KEYS_MAX = 64

/**
 * `damaged`: the frame cannot be what was written. `locked`: a key or a later release is needed. `mismatch`: the hash is
 * right and the tag is not: the key of that id is another one, or somebody who has the store's secret changed the frame.
 */
export type DecodedPayload = Buffer | 'damaged' | 'locked' | 'mismatch'

export class PayloadDecoder {
  readonly #storeUuid: Uint8Array
  readonly #keys = new Map<number, StoreKey>()
  readonly #segmentKeys = new Map<string, Buffer>()

  /** Null: no keys; encrypted frames are locked. */
  constructor(store: Pick<StoreIdentity, 'uuid' | 'keys'> | null) {
    this.#storeUuid = store?.uuid ?? new Uint8Array()
    for (const key of store?.keys?.all ?? []) this.#keys.set(key.id, key)
  }

  /** Whether everything is here that the payload needs. */
  canRead(header: Readonly<FrameHeader>): boolean {
    if (!isPayloadKnown(header)) return false
    return (header.flags & FRAME_FLAG.encrypted) === 0 || this.#keys.has(keyIdOf(header))
  }

  hasKey(id: number): boolean {
    return id === 0 || this.#keys.has(id)
  }

  /** `stored` has the hash of the header. The result is `stored` itself or memory of its own. */
  decode(
    stored: Buffer,
    header: Readonly<FrameHeader>,
    segment: Readonly<SegmentPlace>
  ): DecodedPayload {
    if (!this.canRead(header)) return 'locked'
    if (header.rawBytes > FRAME_PAYLOAD_BYTES_MAX) return 'damaged'
    const isSealed = (header.flags & FRAME_FLAG.encrypted) !== 0
    const opened = isSealed ? this.#unseal(stored, header, segment) : stored
    if (opened === null) return 'mismatch'
    const payload = header.codec === CODEC.zstd ? unzstd(opened, header.rawBytes) : opened
    return payload === null || payload.length !== header.rawBytes ? 'damaged' : payload
  }

  #unseal(
    stored: Buffer,
    header: Readonly<FrameHeader>,
    segment: Readonly<SegmentPlace>
  ): Buffer | null {
    if (stored.length <= SEALED.prefixBytes) return null
    const key = this.#segmentKey(keyIdOf(header), segment)
    const nonce = stored.subarray(0, SEALED.nonceBytes)
    const decipher = createDecipheriv('aes-256-gcm', key, nonce, {
      authTagLength: SEALED.tagBytes
    })
    decipher.setAAD(frameFactsOf(header))
    decipher.setAuthTag(stored.subarray(SEALED.nonceBytes, SEALED.prefixBytes))
    try {
      const opened = decipher.update(stored.subarray(SEALED.prefixBytes))
      decipher.final()
      return opened
    } catch {
      // The tag does not fit.
      return null
    }
  }

  #segmentKey(id: number, segment: Readonly<SegmentPlace>): Buffer {
    const { epoch, firstOffset, logId } = segment
    const name = `${id}/${Buffer.from(logId).toString('hex')}/${epoch}/${firstOffset}`
    const known = this.#segmentKeys.get(name)
    if (known !== undefined) return known
    const master = this.#keys.get(id)
    if (master === undefined) throw new Error(`key ${id} was there a moment ago`)
    const key = segmentKey(master, this.#storeUuid, segment)
    if (this.#segmentKeys.size >= SEGMENT_KEYS_MAX) this.#segmentKeys.clear()
    this.#segmentKeys.set(name, key)
    return key
  }
}

/** Null: no zstd, cut, or more than `rawBytes`. */
function unzstd(stored: Buffer, rawBytes: number): Buffer | null {
  if (rawBytes === 0) return null
  try {
    return zlib.zstdDecompressSync(stored, {
      chunkSize: rawBytes + SPARE_BYTES,
      maxOutputLength: rawBytes,
      params: { [zlib.constants.ZSTD_d_windowLogMax]: ZSTD_WINDOW_LOG_MAX }
    })
  } catch {
    return null
  }
}

/** Without keys: plain and compressed frames. */
export const KEYLESS_DECODER = new PayloadDecoder(null)
