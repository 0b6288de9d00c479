// Runs on: any.
// What the ingest side of the kernel costs: node bench/micro/kernel/scan.bench.ts
// Figures are CPU time of the process; cpu-s/M is CPU seconds per million records.

import { ScanKernel, ScanProgress } from '../../../src/kernel/scan-kernel.ts'
import {
  dockerRecord,
  entries,
  forwardMessage,
  jsonLines,
  kubernetesRecord,
  packedMessages,
  singleMessages
} from './samples.ts'

const ROUNDS = 7
const ROUND_MS = 200
const RECORDS = 2000

interface Work {
  readonly name: string
  readonly bytes: number
  readonly records: number
  run(): void
}

const kernel = new ScanKernel({ memoryBytes: 256 * 2 ** 20 })

function inKernel(bytes: Buffer): Buffer {
  const area = kernel.reserve(bytes.length)
  area.set(bytes)
  return area
}

/** Scans as a connection does: pieces of a read each, the cut message carried on. */
function scanWork(name: string, bytes: Buffer, records: number, pieceBytes = bytes.length): Work {
  const area = inKernel(bytes)
  return {
    name,
    bytes: bytes.length,
    records,
    run() {
      const progress = new ScanProgress()
      let found = 0
      let consumed = 0
      for (let end = pieceBytes; ; end += pieceBytes) {
        const last = Math.min(end, bytes.length)
        for (;;) {
          const status = kernel.scan(area.subarray(consumed, last), progress)
          for (let index = 0; index < kernel.unitCount; index += 1) {
            found += kernel.unit(index).recordCount
          }
          consumed += kernel.consumedBytes
          if (status === 'full') continue
          if (status !== 'done') throw new Error(`${name}: ${status} ${kernel.errorReason}`)
          break
        }
        if (last === bytes.length) break
      }
      if (found !== records) throw new Error(`${name}: ${found} records instead of ${records}`)
    }
  }
}

function hashWork(byteCount: number): Work {
  const area = inKernel(Buffer.alloc(byteCount, 'millrace'))
  const parts = [area]
  return {
    name: `xxh64, ${byteCount} bytes`,
    bytes: byteCount * 64,
    records: 0,
    run() {
      for (let index = 0; index < 64; index += 1) kernel.hash(parts, 1n)
    }
  }
}

/** Best of some rounds: the machine's other work only ever adds. */
function measure(work: Work): void {
  let best = Number.POSITIVE_INFINITY
  for (let round = 0; round < ROUNDS; round += 1) {
    const start = performance.now()
    const cpu = process.cpuUsage()
    let times = 0
    while (performance.now() - start < ROUND_MS) {
      work.run()
      times += 1
    }
    const used = process.cpuUsage(cpu)
    best = Math.min(best, (used.user + used.system) / times)
  }
  const gigabytes = work.bytes / best / 1000
  const perMillion = work.records ? `${(best / work.records).toFixed(4)} cpu-s/M` : ''
  console.log(`${work.name.padEnd(44)} ${gigabytes.toFixed(2).padStart(7)} GB/cpu-s  ${perMillion}`)
}

function jsonWork(name: string, bytes: Buffer, records: number): Work {
  const area = inKernel(bytes)
  const options = { timeSeconds: 1_700_000_000, timeNanos: 0 }
  return {
    name,
    bytes: bytes.length,
    records,
    run() {
      const result = kernel.json.toEntries(area, options)
      if (result?.valueCount !== records) throw new Error(name)
      kernel.giveBack(result.bytes)
    }
  }
}

const works: Work[] = [
  hashWork(400),
  hashWork(65_536),
  scanWork('D packed, 500 entries', packedMessages(dockerRecord, RECORDS), RECORDS),
  scanWork('D packed, reads of 64 KiB', packedMessages(dockerRecord, RECORDS), RECORDS, 65_536),
  scanWork('D forward', forwardMessage(dockerRecord, RECORDS), RECORDS),
  scanWork('D forward, reads of 64 KiB', forwardMessage(dockerRecord, RECORDS), RECORDS, 65_536),
  scanWork('D messages', singleMessages(dockerRecord, RECORDS), RECORDS),
  scanWork('D messages, reads of 64 KiB', singleMessages(dockerRecord, RECORDS), RECORDS, 65_536),
  scanWork('D messages, one per read', singleMessages(dockerRecord, RECORDS), RECORDS, 352),
  scanWork('K packed, 500 entries', packedMessages(kubernetesRecord, RECORDS), RECORDS),
  bodyWork('D body, decompressed', entries(dockerRecord, RECORDS), RECORDS),
  laneWork('D entries to 8 lanes, alternating', entries(dockerRecord, RECORDS), ['container_name']),
  laneWork('D entries to 8 lanes, all to one', entries(dockerRecord, RECORDS), ['container_id']),
  laneWork('K entries to 8 lanes, nested key', entries(kubernetesRecord, RECORDS), [
    'kubernetes',
    'pod_name'
  ]),
  jsonWork('D JSON lines to entries', jsonLines(dockerRecord, RECORDS), RECORDS),
  jsonWork('K JSON lines to entries', jsonLines(kubernetesRecord, RECORDS), RECORDS)
]

/** What a field as `shard_by` costs beside the scan. */
function laneWork(name: string, bytes: Buffer, path: readonly string[]): Work {
  const area = inKernel(bytes)
  const rule = { path, laneCount: 8, otherLane: 0 }
  return {
    name,
    bytes: bytes.length,
    records: RECORDS,
    run() {
      const parts = kernel.lanes.split(area, 1, rule)
      const found = parts?.reduce((sum, { recordCount }) => sum + recordCount, 0)
      if (found !== RECORDS) throw new Error(name)
      kernel.lanes.release()
    }
  }
}

function bodyWork(name: string, bytes: Buffer, records: number): Work {
  const area = inKernel(bytes)
  return {
    name,
    bytes: bytes.length,
    records,
    run() {
      kernel.scanBody(area)
      if (kernel.unit(0).recordCount !== records) throw new Error(name)
    }
  }
}

for (const work of works) measure(work)
