// A store with a backlog of any size that takes next to no room: sealed segments with a header, one frame and a footer,
// and a hole of the file system between them. The last one has no footer, as after a crash.

import fs from 'node:fs'
import { join } from 'node:path'
import { logIdOf } from '../../src/core/position.ts'
import { createFrameHash, type HashExports } from '../../src/kernel/frame-hash.ts'
import { instantiateKernel } from '../../src/kernel/instance.ts'
import { Cursor } from '../../src/storage/cursor/cursor.ts'
import {
  encodeFrameHeader,
  encodeGroupPrefix,
  groupPrefixBytes
} from '../../src/storage/format/frame.ts'
import { frameBytesOf, SEGMENT_FOOTER, SEGMENT_HEADER } from '../../src/storage/format/layout.ts'
import { encodeSegmentFooter, encodeSegmentHeader } from '../../src/storage/format/segment-file.ts'
import { segmentFileName, segmentSalt } from '../../src/storage/format/segment-names.ts'
import { WordHash } from '../../src/storage/format/word-hash.ts'
import { nodeStorage } from '../../src/storage/storage.ts'
import { openMeta } from '../../src/storage/store/meta.ts'
import { entryOf } from './shard-harness.ts'

export interface SparseOptions {
  readonly dataDir: string
  readonly route: string
  readonly output: string
  readonly segments: number
  /** What each file says that it holds. */
  readonly segmentBytes: number
}

const EPOCH = 1_700_000_000
/** The first ones hold so many records of 1 KiB, so that an output has something to take; the others one. */
const FULL_SEGMENTS = 64
const FULL_RECORDS = 1000

/** Returns how many records it holds. */
export function sparseStore(options: SparseOptions): number {
  const { dataDir, output, route, segmentBytes, segments } = options
  const hash = createFrameHash(instantiateKernel<HashExports>({ memoryBytes: 8 * 1024 * 1024 }))
  const { meta } = openMeta(nodeStorage, dataDir, hash, Date.now())
  const path = `routes/${route}/shard-00`
  const directory = join(dataDir, path)
  const logId = logIdOf(meta.uuid, path)
  fs.mkdirSync(directory, { recursive: true })
  let firstOffset = 0
  for (let index = 0; index < segments; index++) {
    const recordCount = index < FULL_SEGMENTS ? FULL_RECORDS : 1
    const salt = segmentSalt(meta.secret, logId, EPOCH, firstOffset)
    const header = encodeSegmentHeader(
      {
        storeUuid: meta.uuid,
        shardNumber: 0,
        epoch: EPOCH,
        firstOffset,
        createdMs: Date.now(),
        incompatible: 0,
        keyId: 0,
        prevValidEndByte: index === 0 ? 0 : segmentBytes
      },
      hash,
      salt
    )
    const { bytes, payloadHash } = frameOf(firstOffset, recordCount, hash, salt)
    const file = fs.openSync(join(directory, segmentFileName(firstOffset, EPOCH)), 'wx')
    fs.writeSync(
      file,
      Buffer.concat([header, bytes]),
      0,
      SEGMENT_HEADER.byteCount + bytes.length,
      0
    )
    fs.ftruncateSync(file, segmentBytes)
    if (index < segments - 1) {
      const payloadHashes = new WordHash(salt)
      payloadHashes.add(payloadHash)
      const footer = encodeSegmentFooter(
        {
          frameCount: 1,
          recordCount,
          bytesBefore: segmentBytes - SEGMENT_FOOTER.byteCount,
          lastOffset: firstOffset + recordCount - 1,
          minTimeMs: EPOCH * 1000,
          maxTimeMs: EPOCH * 1000,
          payloadHashes: payloadHashes.digest()
        },
        hash,
        salt
      )
      fs.writeSync(file, footer, 0, footer.length, segmentBytes - footer.length)
    }
    fs.closeSync(file)
    firstOffset += recordCount
  }
  const shared = { storage: nodeStorage, hash, storeSecret: meta.secret, logId, directory }
  Cursor.create({ ...shared, outputId: output }, 0).close()
  return firstOffset
}

function frameOf(
  firstOffset: number,
  recordCount: number,
  hash: ReturnType<typeof createFrameHash>,
  salt: bigint
): { bytes: Buffer; payloadHash: bigint } {
  const labels = { tag: Buffer.from('app.web'), ingestId: null, source: Buffer.from('in\0') }
  const padding = recordCount === 1 ? 0 : 1000
  const ids = Array.from({ length: recordCount }, (_, index) =>
    entryOf(firstOffset + index, padding)
  )
  const entries = Buffer.concat(ids)
  const prefix = Buffer.alloc(groupPrefixBytes(labels))
  const group = { byteCount: entries.length, recordCount, form: 1 as const, flags: 0 }
  encodeGroupPrefix(prefix, 0, labels, group)
  const payload = Buffer.concat([prefix, entries])
  const payloadHash = hash([payload], salt)
  const bytes = Buffer.alloc(frameBytesOf(payload.length))
  payload.copy(bytes, 72)
  encodeFrameHeader(
    bytes,
    0,
    {
      storedBytes: payload.length,
      payloadHash,
      firstOffset,
      recordCount,
      epoch: EPOCH,
      durableOffset: firstOffset,
      appendTimeMs: EPOCH * 1000,
      rawBytes: payload.length,
      codec: 0,
      schema: 1,
      flags: 0,
      minTimeDelta: 0,
      maxTimeDelta: 0
    },
    hash,
    salt
  )
  return { bytes, payloadHash }
}
