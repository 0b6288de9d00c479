// CPU of appending: group, hash, write and sync, per million records of about 336 bytes, on the real disk.
// Gate: 0.20 cpu-s per million for packed messages. Usage: node bench/micro/storage/writer/append.bench.ts [directory]

import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { parseArgs } from 'node:util'
import { systemClock } from '../../../../src/core/clock.ts'
import { logIdOf } from '../../../../src/core/position.ts'
import { createFrameHash, type HashExports } from '../../../../src/kernel/frame-hash.ts'
import { instantiateKernel } from '../../../../src/kernel/instance.ts'
import { SEGMENT_BYTES_DEFAULT } from '../../../../src/storage/format/layout.ts'
import { nodeStorage } from '../../../../src/storage/storage.ts'
import type { Durability } from '../../../../src/storage/writer/append.ts'
import { ShardWriter } from '../../../../src/storage/writer/shard-writer.ts'

const ENTRY_BYTES = 336
const UNSYNCED_BYTES_MAX = 32 * 1024 * 1024
const SLAB_BYTES = 1024 * 1024

interface Shape {
  readonly name: string
  /** Records of one append. */
  readonly recordCount: number
  /** Appends between two commits: what one socket read brings. */
  readonly appendCount: number
  readonly durability: Durability
}

const SHAPES: readonly Shape[] = [
  { name: 'packed, 1,000 records', recordCount: 1000, appendCount: 1, durability: 'sync' },
  { name: 'packed, 1,000 records', recordCount: 1000, appendCount: 1, durability: 'os' },
  { name: 'runs of 150 records', recordCount: 150, appendCount: 4, durability: 'sync' },
  { name: 'runs of 10 records', recordCount: 10, appendCount: 20, durability: 'sync' },
  { name: 'single records', recordCount: 1, appendCount: 200, durability: 'sync' }
]

async function measure(shape: Shape, directory: string, totalRecords: number): Promise<string> {
  const kernel = instantiateKernel<HashExports>({ memoryBytes: 16 * 1024 * 1024 })
  const slabByte = kernel.reserve(SLAB_BYTES)
  const entriesByte = kernel.reserve(ENTRY_BYTES * shape.recordCount)
  const entries = kernel.memory.subarray(entriesByte, entriesByte + ENTRY_BYTES * shape.recordCount)
  entries.fill(0x61)
  const shard = path.join(directory, 'shard-00')
  fs.mkdirSync(shard, { recursive: true })
  const uuid = Buffer.alloc(16, 1)
  let done = 0
  let syncCount = 0
  let wake: () => void = () => undefined
  const writer = new ShardWriter({
    storage: nodeStorage,
    clock: systemClock,
    hash: createFrameHash(kernel),
    store: { uuid, secret: Buffer.alloc(16, 2), keys: null },
    shard: {
      shardNumber: 0,
      directory: shard,
      logId: logIdOf(uuid, 'routes/bench/shard-00'),
      start: { epoch: 1, nextOffset: 0, nextOrdinal: 0, prevValidEndByte: 0, lastAppendTimeMs: 0 }
    },
    slab: kernel.memory.subarray(slabByte, slabByte + SLAB_BYTES),
    segmentBytes: SEGMENT_BYTES_DEFAULT,
    durability: shape.durability,
    observer: {
      onSegment: ({ ordinal, path: file }) => {
        if (ordinal > 1) removeOld(path.dirname(file), 2)
      },
      onVisible: () => wake(),
      onState: (state, error) => console.log(state, error),
      onSync: () => syncCount++
    }
  })
  const group = {
    tag: Buffer.from('docker.web'),
    ingestId: null,
    source: Buffer.from('containers\0'),
    form: 1,
    entries,
    recordCount: shape.recordCount,
    minTimeSeconds: 1_700_000_000,
    maxTimeSeconds: 1_700_000_000
  } as const
  const waiter = { onDurable: () => done++, onRejected: () => undefined }
  const beforeCpu = process.cpuUsage()
  const beforeMs = performance.now()
  let appended = 0
  while (appended < totalRecords) {
    for (let run = 0; run < shape.appendCount; run++) {
      if (!writer.append(group, waiter)) throw new Error(`append refused: ${writer.state}`)
      appended += shape.recordCount
    }
    writer.commit()
    // As an ingest thread: the next read comes on the next turn, and a full pipe pauses the sockets.
    if (writer.unsyncedBytes > UNSYNCED_BYTES_MAX) {
      await new Promise<void>((resolve) => {
        wake = resolve
      })
    } else {
      await new Promise((resolve) => setImmediate(resolve))
    }
  }
  await writer.close()
  const cpu = process.cpuUsage(beforeCpu)
  const seconds = (performance.now() - beforeMs) / 1000
  const cpuPerMillion = ((cpu.user + cpu.system) / totalRecords).toFixed(3)
  const userPerMillion = (cpu.user / totalRecords).toFixed(3)
  fs.rmSync(directory, { recursive: true })
  return (
    `${shape.name.padEnd(24)} ${shape.durability.padEnd(5)} ${cpuPerMillion} cpu-s/M (user ${userPerMillion})  ` +
    `${(appended / seconds / 1e6).toFixed(2)} M records/s  ${syncCount} syncs  ${done} acks`
  )
}

function removeOld(directory: string, keepCount: number): void {
  const names = fs.readdirSync(directory).sort()
  for (const name of names.slice(0, -keepCount)) fs.unlinkSync(path.join(directory, name))
}

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: { records: { type: 'string', default: '2000000' } }
})
const base = positionals[0] ?? os.tmpdir()
const newDirectory = () => fs.mkdtempSync(path.join(base, 'millrace-append-'))
for (const shape of SHAPES) {
  await measure(shape, newDirectory(), 200_000)
  console.log(await measure(shape, newDirectory(), Number(values.records)))
}
