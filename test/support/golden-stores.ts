// Small data directories of every format, as text. Their bytes are kept in test/fixtures/formats for ever and are the
// truth: a store that is there is never written again. How each was made stands here; `UPDATE=1` with
// test/storage/format/layout.test.ts makes those that are missing.

import fs from 'node:fs'
import path from 'node:path'
import type { StoreKey, StoreKeys } from '../../src/core/encryption-keys.ts'
import { logIdOf } from '../../src/core/position.ts'
import { decodeLetter, encodeLetter } from '../../src/delivery/dead-letter-record.ts'
import { Cursor } from '../../src/storage/cursor/cursor.ts'
import { PayloadDecoder } from '../../src/storage/format/payload-decoder.ts'
import { splitEntries } from '../../src/storage/format/stored-entries.ts'
import { readFrameAt, ShardReader } from '../../src/storage/reader/shard-reader.ts'
import { ShardSegments } from '../../src/storage/reader/shard-segments.ts'
import { recoverShard } from '../../src/storage/recovery/recovery.ts'
import { encodeMeta, openMeta } from '../../src/storage/store/meta.ts'
import { FakeClock, settled } from './fake-clock.ts'
import {
  DIRECTORY,
  entryOf,
  groupOf,
  type HarnessOptions,
  hash,
  LOG_ID,
  openCursor,
  ShardHarness,
  STORE
} from './shard-harness.ts'
import { SimulatedStorage } from './simulated-storage.ts'

const FIXTURES = path.join(import.meta.dirname, '../fixtures/formats')
const MADE_MS = 1_700_000_000_000
const READ_MS = 1_700_000_100_000

const keyOf = (id: number): StoreKey => ({ id, key: new Uint8Array(32).fill(0x10 + id) })
/** What the golden stores are read with. */
export const GOLDEN_KEYS: StoreKeys = { current: keyOf(2), all: [keyOf(2), keyOf(1)] }

const LETTERS = 'dlq/out.search/shard-00'

const STORES = {
  '1.0': plain,
  '1.0-damaged': async () => damage(await plain()),
  '1.0-cut-messages': cutMessages,
  '1.0-zstd': () => coded({ compression: 'zstd' }),
  '1.0-encrypted': () => coded({ keys: GOLDEN_KEYS }),
  '1.0-zstd-encrypted-damaged': async () =>
    damage(await coded({ compression: 'zstd', keys: GOLDEN_KEYS })),
  '1.0-two-keys': twoKeys,
  '1.0-dead-letters': deadLetters,
  '1.0-ranges': manyRanges
} as const

export type GoldenStore = keyof typeof STORES
export const GOLDEN_STORES = Object.keys(STORES) as GoldenStore[]

/** The store as it would be written now. */
export function buildStore(name: GoldenStore): Promise<SimulatedStorage> {
  return STORES[name]()
}

/** The kept bytes, below `/data`, and what a reader has to make of them. */
export function readGolden(name: GoldenStore): { storage: SimulatedStorage; wanted: string } {
  const storage = new SimulatedStorage()
  const directory = path.join(FIXTURES, name)
  for (const file of fs.readdirSync(directory, { recursive: true, encoding: 'utf8' })) {
    const source = path.join(directory, file)
    if (fs.statSync(source).isFile() && file !== 'dump.json') {
      storage.put(path.join('/data', file), fs.readFileSync(source))
    }
  }
  return { storage, wanted: fs.readFileSync(path.join(directory, 'dump.json'), 'utf8') }
}

/** Makes a store that is not there yet. */
export async function makeGolden(name: GoldenStore): Promise<void> {
  const directory = path.join(FIXTURES, name)
  if (fs.existsSync(directory)) return
  for (const [file, text] of (await buildStore(name)).tree('/data')) {
    const target = path.join(directory, path.relative('/data', file))
    fs.mkdirSync(path.dirname(target), { recursive: true })
    fs.writeFileSync(target, text, 'latin1')
  }
  fs.writeFileSync(path.join(directory, 'dump.json'), '')
  fs.writeFileSync(path.join(directory, 'dump.json'), dumpOf(readGolden(name).storage))
}

/** Everything that readers learn of a store, as text: records, holes, where writing goes on, cursors. */
export function dumpOf(storage: SimulatedStorage): string {
  const { meta } = openMeta(storage, '/data', hash, READ_MS)
  const decoder = new PayloadDecoder({ uuid: meta.uuid, keys: GOLDEN_KEYS })
  const shards = Object.fromEntries(
    shardPaths(storage, '/data').map((directory) => {
      const shardPath = path.relative('/data', directory)
      const logId = logIdOf(meta.uuid, shardPath)
      const access = { storage, hash, storeSecret: meta.secret, decoder, logId }
      const loaded = storage
        .readdir(directory)
        .filter((name) => name.endsWith('.cur'))
        .map((name) => name.slice(0, -'.cur'.length))
        .map((outputId) => ({
          outputId,
          cursor: Cursor.load({ ...access, outputId, directory }, 0)?.cursor
        }))
      const recovered = recoverShard({
        ...access,
        directory,
        nowMs: READ_MS,
        durability: 'sync',
        cursorHighOffset: Math.max(0, ...loaded.map(({ cursor }) => cursor?.highOffset ?? 0)),
        holdingLowOffset: null
      })
      const segments = new ShardSegments({ ...access, durability: 'sync', recovered })
      const { start, ingestIds, unackedRecords } = recovered
      const cursors = loaded.map(({ cursor, outputId }) => ({
        outputId,
        low: cursor?.lowOffset,
        ranges: cursor?.ranges,
        account: cursor?.account(segments.endOffset)
      }))
      return [shardPath, { ...contentOf(segments), start, ingestIds, unackedRecords, cursors }]
    })
  )
  return `${JSON.stringify(shards, printable, 1)}\n`
}

/** The bytes of the holder, because a Buffer turns itself into a list before it is seen here. */
function printable(this: Readonly<Record<string, unknown>>, key: string, value: unknown) {
  const held = this[key]
  return held instanceof Uint8Array ? Buffer.from(held).toString('hex') : value
}

function shardPaths(storage: SimulatedStorage, directory: string): string[] {
  return storage.readdir(directory).flatMap((name) => {
    const below = path.join(directory, name)
    if (storage.stat(below)?.isDirectory !== true) return []
    return name.startsWith('shard-') ? [below] : shardPaths(storage, below)
  })
}

function contentOf(segments: ShardSegments): {
  records: string[]
  letters: unknown[]
  holes: string[]
} {
  const records: string[] = []
  const letters: unknown[] = []
  const holes: string[] = []
  const reader = new ShardReader(segments, segments.oldestOffset)
  for (let next = reader.next(); next !== null; next = reader.next()) {
    const frame = next.kind === 'frame' ? readFrameAt(segments, next.frame) : null
    if (frame === null) {
      const { firstOffset } = next.kind === 'frame' ? next.frame : next
      const endOffset =
        next.kind === 'frame' ? firstOffset + next.frame.recordCount : next.endOffset
      for (const hole of segments.judge(firstOffset, endOffset)) {
        holes.push(`${hole.firstOffset}-${hole.endOffset} ${hole.reason}`)
      }
      continue
    }
    const time = `${frame.epoch} ${frame.header.appendTimeMs}`
    for (const group of frame.groups) {
      const tag = group.tag.toString('latin1')
      const labels = `${tag} ${JSON.stringify(group.source.toString('latin1'))} form ${group.form}`
      for (const [index, { startByte, endByte }] of (splitEntries(group) ?? []).entries()) {
        const entry = group.entries.subarray(startByte, endByte)
        const letter = decodeLetter(tag, entry)
        if (letter !== null) letters.push(letter)
        records.push(`${group.firstOffset + index} ${time} ${labels} ${entry.toString('hex')}`)
      }
    }
  }
  return { records, letters, holes }
}

function freshStore(): SimulatedStorage {
  const storage = new SimulatedStorage()
  const meta = encodeMeta({ uuid: STORE.uuid, secret: STORE.secret, createdMs: MADE_MS }, hash)
  for (const name of ['META', 'META.bak']) storage.put(`/data/${name}`, meta)
  return storage
}

type Stored = Pick<HarnessOptions, 'compression' | 'keys'>

/** Three segments, the first two with footers, the third as a kill leaves it; a cursor with a range. */
async function plain(stored: Stored = {}, paddingBytes = 50): Promise<SimulatedStorage> {
  const storage = freshStore()
  const clock = new FakeClock(MADE_MS)
  const shard = new ShardHarness({ storage, clock, segmentBytes: 1500, ...stored })
  for (let id = 0; id < 12; id++) {
    clock.advance(1000)
    shard.append([id * 2, id * 2 + 1], {
      paddingBytes,
      ...(id % 3 === 0 ? { ingestId: `\xa3id${id}` } : {})
    })
    shard.writer.append(groupOf([1000 + id], { tag: 'docker.db', source: 'in\x0010.0.0.1' }), null)
    shard.writer.commit()
    await settled()
  }
  const cursor = openCursor(storage)
  cursor.finish(0, 5, 'delivered', 500)
  cursor.finish(7, 9, 'dropped:filtered', 200)
  cursor.persistNow()
  cursor.finish(5, 6, 'dead_lettered', 100)
  cursor.persistNow()
  return storage
}

/** Frames long enough to be worth compressing. */
const coded = (stored: Stored) => plain(stored, 400)

/** A flipped bit, zeroed sectors over a header and a frame, a torn end, a torn cursor slot. */
function damage(storage: SimulatedStorage): SimulatedStorage {
  const [first, second, third] = storage
    .readdir(DIRECTORY)
    .filter((file) => file.endsWith('.seg'))
    .sort()
  const change = (file: string, edit: (bytes: Buffer) => Buffer) =>
    storage.put(`${DIRECTORY}/${file}`, edit(storage.bytesOf(`${DIRECTORY}/${file}`)))
  change(first ?? '', (bytes) => {
    bytes[700] = bytes[700]! ^ 4
    return bytes
  })
  change(second ?? '', (bytes) => bytes.fill(0, 0, 512))
  change(third ?? '', (bytes) => bytes.subarray(0, bytes.length - 33))
  change('search.cur', (bytes) => bytes.fill(0x5a, 65_600, 65_664))
  return storage
}

/** A message over three frames, one of another sender behind it, and one whose end never came. */
async function cutMessages(): Promise<SimulatedStorage> {
  const storage = freshStore()
  const shard = new ShardHarness({ storage, clock: new FakeClock(MADE_MS) })
  const part = (id: number, continues: boolean) =>
    shard.writer.append(groupOf([id, id + 1], { continues, paddingBytes: 30 }), null)
  part(0, true)
  part(2, true)
  part(4, false)
  shard.append([6])
  shard.writer.commit()
  await settled()
  part(7, true)
  part(9, true)
  return storage
}

/** The older generation of a rotation, and the newer one. */
async function twoKeys(): Promise<SimulatedStorage> {
  const storage = freshStore()
  const old = { current: keyOf(1), all: [keyOf(1)] }
  for (const [start, keys] of [
    [0, old],
    [1, GOLDEN_KEYS]
  ] as const) {
    const clock = new FakeClock(MADE_MS + start * 1000)
    const shard = new ShardHarness({ storage, clock, keys })
    shard.append([start * 2, start * 2 + 1])
    shard.writer.commit()
    await settled()
    await shard.writer.close()
  }
  return storage
}

async function deadLetters(): Promise<SimulatedStorage> {
  const storage = freshStore()
  const directory = `/data/${LETTERS}`
  const logId = logIdOf(STORE.uuid, LETTERS)
  const shard = new ShardHarness({ storage, clock: new FakeClock(MADE_MS), directory, logId })
  for (const [index, step] of ['', '2:parse'].entries()) {
    const entries = encodeLetter({
      shard: 'routes/web/shard-00',
      logId: LOG_ID,
      epoch: 1_700_000_000,
      route: 'web',
      output: 'search',
      target: 'logs-2023.11.14',
      reason: 'mapping',
      step,
      status: step === '' ? 400 : null,
      text: 'failed to parse field [code]',
      attempts: index + 1,
      firstAttemptMs: MADE_MS,
      lastAttemptMs: MADE_MS + 500,
      tag: 'docker.web',
      source: Buffer.from('in\0'),
      members: [
        { offset: 3, form: 1, appendTimeMs: MADE_MS, bytes: entryOf(3) },
        { offset: 9 + index, form: 1, appendTimeMs: MADE_MS + 1, bytes: entryOf(9, 20) }
      ]
    })
    shard.writer.append({ ...groupOf([0]), entries, recordCount: 1 }, null)
  }
  await shard.writer.close()
  return storage
}

/** A cursor with hundreds of ranges and counters, beside one that begins in the middle. */
async function manyRanges(): Promise<SimulatedStorage> {
  const storage = freshStore()
  const shard = new ShardHarness({ storage, clock: new FakeClock(MADE_MS) })
  shard.append(Array.from({ length: 1200 }, (_, id) => id))
  await shard.writer.close()
  const cursor = openCursor(storage)
  for (let offset = 2; offset < 1100; offset += 3) {
    cursor.finish(
      offset,
      offset + 1,
      offset % 2 === 0 ? 'delivered' : `dropped:r${offset % 40}`,
      10
    )
  }
  cursor.persistNow()
  openCursor(storage, 600, 'archive').persistNow()
  return storage
}
