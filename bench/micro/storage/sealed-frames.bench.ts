// CPU of storing frames compressed and encrypted, and of reading them again, beside plain ones: per million records of
// about 336 bytes. Writing: what an ingest thread does (group, seal, hash, write; no sync). Reading: what a pool thread
// does before its first record (read, hash, open).
//
// Usage: node bench/micro/storage/sealed-frames.bench.ts [directory] [--records <n>] [--rounds <n>]

import { mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { systemClock } from '../../../src/core/clock.ts'
import type { StoreKeys } from '../../../src/core/encryption-keys.ts'
import type { Compression } from '../../../src/storage/format/payload-encoder.ts'
import { readFrameAt, ShardReader } from '../../../src/storage/reader/shard-reader.ts'
import { nodeStorage } from '../../../src/storage/storage.ts'
import type { AppendGroup } from '../../../src/storage/writer/append.ts'
import { ShardHarness } from '../../../test/support/shard-harness.ts'
import { type Shape, shapeEntries } from '../../shapes.ts'

const SEGMENT_BYTES = 128 * 1024 * 1024
const KEY = { id: 1, key: new Uint8Array(32).fill(7) }
const KEYS: StoreKeys = { current: KEY, all: [KEY] }

interface How {
  readonly name: string
  readonly compression: Compression
  readonly keys: StoreKeys | null
}

const HOWS: readonly How[] = [
  { name: 'plain', compression: 'none', keys: null },
  { name: 'zstd', compression: 'zstd', keys: null },
  { name: 'aes', compression: 'none', keys: KEYS },
  { name: 'zstd + aes', compression: 'zstd', keys: KEYS }
]

/** Records of one message: frames of 4, 67 and 270 KB. */
const MESSAGE_RECORDS = [12, 200, 800] as const
const SHAPES: readonly Shape[] = ['plain', 'nginx', 'json']
/** Messages that repeat: more text than zstd can look back over at this level. */
const TEXT_RECORDS = 16_000

interface Cost {
  readonly write: number
  readonly read: number
  readonly storedShare: number
}

function groupsOf(shape: Shape, recordCount: number): AppendGroup[] {
  const entries = shapeEntries(shape, TEXT_RECORDS)
  const count = Math.floor(TEXT_RECORDS / recordCount)
  return Array.from({ length: count }, (_, index) => ({
    tag: Buffer.from('docker.web'),
    ingestId: null,
    source: Buffer.from('containers\0'),
    form: 1,
    entries: Buffer.concat(entries.slice(index * recordCount, (index + 1) * recordCount)),
    recordCount,
    minTimeSeconds: 1_700_000_000,
    maxTimeSeconds: 1_700_000_000
  }))
}

/** CPU microseconds of this process: seconds per million records. */
function cpuPerMillion(before: NodeJS.CpuUsage, recordCount: number): number {
  const { user, system } = process.cpuUsage(before)
  return (user + system) / recordCount
}

async function measure(base: string, how: How, groups: readonly AppendGroup[], records: number) {
  const directory = mkdtempSync(join(base, 'millrace-sealed-'))
  try {
    const shard = new ShardHarness({
      storage: nodeStorage,
      clock: systemClock,
      durability: 'os',
      segmentBytes: SEGMENT_BYTES,
      directory,
      compression: how.compression,
      ...(how.keys === null ? {} : { keys: how.keys })
    })
    let rawBytes = 0
    let appended = 0
    const beforeWrite = process.cpuUsage()
    for (let index = 0; appended < records; index++) {
      const group = groups[index % groups.length]
      if (group === undefined || !shard.writer.append(group, null)) throw new Error('refused')
      shard.writer.commit()
      appended += group.recordCount
      rawBytes += group.entries.length
    }
    const write = cpuPerMillion(beforeWrite, appended)
    await shard.writer.close()
    const beforeRead = process.cpuUsage()
    let readRecords = 0
    const reader = new ShardReader(shard.segments, 0)
    for (let next = reader.next(); next?.kind === 'frame'; next = reader.next()) {
      readRecords += readFrameAt(shard.segments, next.frame)?.header.recordCount ?? 0
    }
    if (readRecords !== appended) throw new Error(`${readRecords} of ${appended} were read`)
    const read = cpuPerMillion(beforeRead, appended)
    const files = readdirSync(directory).map((name) => statSync(join(directory, name)).size)
    const storedShare = files.reduce((sum, size) => sum + size, 0) / rawBytes
    return { write, read, storedShare }
  } finally {
    rmSync(directory, { recursive: true })
  }
}

const median = (values: readonly number[]): number =>
  values.toSorted((one, other) => one - other)[values.length >> 1] ?? 0

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: {
    records: { type: 'string', default: '300000' },
    rounds: { type: 'string', default: '5' }
  }
})
const base = positionals[0] ?? tmpdir()
const records = Number(values.records)
console.log('cpu-s/M, median of rounds (least to most)')
for (const shape of SHAPES) {
  for (const recordCount of MESSAGE_RECORDS) {
    const groups = groupsOf(shape, recordCount)
    const bytes = groups.reduce((sum, { entries }) => sum + entries.length, 0)
    const recordBytes = Math.round(bytes / groups.length / recordCount)
    console.log(`${shape}, ${recordBytes} bytes a record, ${recordCount} in a message`)
    for (const how of HOWS) {
      const costs: Cost[] = []
      await measure(base, how, groups, records / 3)
      for (let round = 0; round < Number(values.rounds); round++) {
        costs.push(await measure(base, how, groups, records))
      }
      const line = (of: (cost: Cost) => number) => {
        const all = costs.map(of)
        const range = `${Math.min(...all).toFixed(3)} to ${Math.max(...all).toFixed(3)}`
        return `${median(all).toFixed(3)} (${range})`
      }
      const share = median(costs.map(({ storedShare }) => storedShare))
      console.log(
        `  ${how.name.padEnd(10)} write ${line(({ write }) => write)}  read ${line(({ read }) => read)}  stored/raw ${share.toFixed(3)}`
      )
    }
  }
}
