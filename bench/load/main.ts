// The load generator: `node bench/load/main.ts '<LoadOptions as JSON>'`. Prints one line, a LoadReport.

import { systemClock } from '../../src/core/clock.ts'
import { seededRandom } from './lines.ts'
import { isLoadOptions, type LoadOptions, type LoadReport } from './options.ts'
import { Sender } from './sender.ts'

/** How often the rate hands out numbers, milliseconds. */
const RATE_TICK_MS = 1

class Numbers {
  isOpen = true
  private next = 0
  private readonly options: LoadOptions
  private readonly startMs: number

  constructor(options: LoadOptions, startMs: number) {
    this.options = options
    this.startMs = startMs
  }

  take(count: number): number | null {
    if (!this.isOpen || this.next >= this.options.events) return null
    const { rate } = this.options
    if (rate > 0 && this.next > ((performance.now() - this.startMs) / 1000) * rate) return null
    const first = this.next
    this.next += count
    return first
  }

  isFinished(): boolean {
    return this.next >= this.options.events
  }

  get count(): number {
    return this.next
  }
}

export function percentile(sorted: Float64Array, share: number): number {
  if (sorted.length === 0) return 0
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0
}

async function run(options: LoadOptions): Promise<LoadReport> {
  const random = seededRandom(7)
  const latencies: number[] = []
  let bytes = 0
  let numbers = new Numbers(options, 0)
  const senders = Array.from(
    { length: options.connections },
    (_, index) =>
      new Sender(options, index, random, {
        take: (count) => numbers.take(count),
        isFinished: () => numbers.isFinished(),
        onAck: (latencyMs) => latencies.push(latencyMs),
        onSent: (byteCount) => {
          bytes += byteCount
        }
      })
  )
  await Promise.all(senders.map((sender) => sender.connected()))
  const startMs = performance.now()
  numbers = new Numbers(options, startMs)
  let firstSender = 0
  // With a rate numbers are handed out here alone, to each sender in its turn: all connections send alike.
  const pumpAll = () => {
    numbers.isOpen = true
    for (const sender of senders.slice(firstSender)) sender.pump()
    for (const sender of senders.slice(0, firstSender)) sender.pump()
    firstSender = numbers.count % senders.length
    numbers.isOpen = options.rate === 0
    if (options.rate > 0 && !numbers.isFinished()) systemClock.after(RATE_TICK_MS, pumpAll)
  }
  pumpAll()
  await Promise.all(senders.map((sender) => sender.finished()))
  const cpu = process.cpuUsage()
  const sorted = Float64Array.from(latencies).sort()
  return {
    events: numbers.count,
    bytes,
    seconds: (performance.now() - startMs) / 1000,
    ackedChunks: sorted.length,
    ackP50Ms: percentile(sorted, 0.5),
    ackP99Ms: percentile(sorted, 0.99),
    ackMaxMs: percentile(sorted, 1),
    cpuSeconds: (cpu.user + cpu.system) / 1e6
  }
}

const options: unknown = JSON.parse(process.argv[2] ?? 'null')
if (!isLoadOptions(options)) throw new Error("usage: main.ts '<LoadOptions as JSON>'")
console.log(JSON.stringify(await run(options)))
