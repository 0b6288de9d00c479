// Runs on: main.
// CPU time per MB of what an output does, and sinks in processes of their own.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import type { Batch, Output } from '../../../src/plugin/output.ts'
import { batchOf } from '../../../test/support/output-batches.ts'

const ROUNDS = 5
const ROUND_MS = 1500
const WARM_UP_MS = 1500

/** Prints the best and the median round: the machine may be busy with something else. */
export async function measure(
  name: string,
  bytes: number,
  rows: number,
  run: () => Promise<void>
): Promise<void> {
  await repeat(run, WARM_UP_MS)
  const rounds: number[] = []
  for (let round = 0; round < ROUNDS; round++) {
    const before = process.cpuUsage()
    const count = await repeat(run, ROUND_MS)
    const { user, system } = process.cpuUsage(before)
    rounds.push((user + system) / 1000 / count)
  }
  rounds.sort((one, other) => one - other)
  const perMb = (ms: number) => ((ms / bytes) * 1e6).toFixed(3)
  const best = rounds[0] ?? 0
  const median = rounds[ROUNDS >> 1] ?? 0
  console.log(
    `${name.padEnd(44)} ${perMb(best)} cpu-ms/MB (median ${perMb(median)}), ${((best * 1000) / rows).toFixed(3)} cpu-s/M`
  )
}

async function repeat(run: () => Promise<void>, forMs: number): Promise<number> {
  const untilMs = performance.now() + forMs
  let count = 0
  do {
    await run()
    count++
  } while (performance.now() < untilMs)
  return count
}

/** Flushes one body of these rows, several at a time, out of shared memory as delivery does. */
export async function measureFlushes(
  name: string,
  output: Output,
  rows: readonly string[],
  inFlight: number
): Promise<void> {
  const plain = batchOf(rows)
  const body = Buffer.from(new SharedArrayBuffer(plain.body.length))
  body.set(plain.body)
  await measureBatches(name, output, [{ ...plain, body }], inFlight)
}

/** Flushes all of these, `inFlight` sets at a time. */
export async function measureBatches(
  name: string,
  output: Output,
  batches: readonly Batch[],
  inFlight: number
): Promise<void> {
  const { signal } = new AbortController()
  const bytes = batches.reduce((sum, { rawByteCount }) => sum + rawByteCount, 0)
  const rows = batches.reduce((sum, { rowCount }) => sum + rowCount, 0)
  await measure(name, bytes * inFlight, rows * inFlight, async () => {
    await Promise.all(
      Array.from({ length: inFlight }, async () => {
        for (const batch of batches) {
          const outcome = await output.flush(batch, signal)
          if (outcome.kind !== 'all' || outcome.verdict.kind !== 'stored') {
            throw new Error(`${name}: ${JSON.stringify(outcome)}`)
          }
        }
      })
    )
  })
}

/** Starts a stand-in of test/support as a sink; it prints its port. */
export async function startSink(
  file: string,
  ...flags: string[]
): Promise<{ port: number; stop: () => void }> {
  const path = fileURLToPath(new URL(`../../../test/support/${file}`, import.meta.url))
  const child = spawn(process.execPath, [path, '--port', '0', ...flags], {
    stdio: ['ignore', 'pipe', 'inherit']
  })
  const [chunk] = await once(child.stdout, 'data')
  return { port: Number(String(chunk)), stop: () => child.kill() }
}
