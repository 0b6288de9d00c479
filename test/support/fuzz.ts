// The parts of fuzzing: seeds that replay a run, damages that disks and bugs do, the corpus of golden bytes, and a bound on
// what a reader allocates.

import fs from 'node:fs'
import path from 'node:path'
import type { Test } from 'tap'
import { GOLDEN_STORES, readGolden } from './golden-stores.ts'
import { seededRandom } from './seeded-random.ts'

/** A run of one reader. */
export interface Dice {
  readonly below: (end: number) => number
  readonly oneOf: <T>(values: readonly T[]) => T
  readonly bytes: (count: number) => Buffer
}

export function diceOf(seed: number): Dice {
  const random = seededRandom(seed)
  const below = (end: number) => Math.floor(random() * end)
  return {
    below,
    // Never asked for one of nothing.
    oneOf: (values) => values[below(values.length)]!,
    bytes: (count) => Buffer.from(Array.from({ length: count }, () => below(256)))
  }
}

/** One to four of: a flipped bit, zeros, noise, a copy from elsewhere, a huge number, a cut end, an inserted piece. */
export function mutate(source: Buffer, dice: Dice): Buffer {
  let bytes = Buffer.from(source)
  for (let left = 1 + dice.below(4); left > 0 && bytes.length > 0; left--) {
    const at = dice.below(bytes.length)
    const kind = dice.below(8)
    if (kind <= 1) bytes[at] = bytes[at]! ^ (1 << dice.below(8))
    else if (kind === 2) bytes.fill(0, at, Math.min(bytes.length, at + dice.below(600)))
    else if (kind === 3) dice.bytes(Math.min(64, bytes.length - at)).copy(bytes, at)
    else if (kind === 4) bytes.copy(bytes, at & ~7, dice.below(bytes.length) & ~7, bytes.length)
    else if (kind === 5) {
      const number = dice.oneOf([0, 1, 15, 0x7fff_ffff, 0xffff_ffff, 16 * 2 ** 20 + 1])
      if (bytes.length >= 4) bytes.writeUInt32LE(number, Math.min(at, bytes.length - 4))
    } else if (kind === 6) bytes = bytes.subarray(0, at)
    else {
      const from = dice.below(bytes.length)
      const piece = bytes.subarray(from, from + dice.below(200))
      bytes = Buffer.concat([bytes.subarray(0, at), piece, bytes.subarray(at)])
    }
  }
  return bytes
}

/** Files of the golden stores by the end of their names. */
export function corpus(suffix: string): { readonly name: string; readonly bytes: Buffer }[] {
  return GOLDEN_STORES.flatMap((store) =>
    [...readGolden(store).storage.tree('/data')]
      .filter(([file]) => file.endsWith(suffix))
      .map(([file, text]) => ({ name: `${store} ${file}`, bytes: Buffer.from(text, 'latin1') }))
  )
}

/** Runs per reader, and the first seed: `MILLRACE_FUZZ_RUNS=100000 MILLRACE_FUZZ_SEED=7 node test/storage/fuzz.test.ts`. */
export const FUZZ_RUNS = Number(process.env['MILLRACE_FUZZ_RUNS'] ?? 400)
const FIRST_SEED = Number(process.env['MILLRACE_FUZZ_SEED'] ?? 3)
/** Readers whose name holds this; default: all. */
const ONLY = process.env['MILLRACE_FUZZ_READER'] ?? ''
/** Failures shown of one reader. */
const SHOWN_MAX = 5

/** Seeds that once failed, by reader; run first and for ever. */
const KEPT = JSON.parse(
  fs.readFileSync(path.join(import.meta.dirname, '../fixtures/fuzz/seeds.json'), 'utf8')
) as Record<string, readonly number[]>

/**
 * Runs a reader on kept seeds and new ones; a run fails by an exception or by the text that it returns. What failed is told
 * with its seed.
 */
export function fuzz(
  t: Test,
  reader: string,
  run: (dice: Dice) => string | undefined,
  factor = 1
): void {
  if (!reader.includes(ONLY)) return
  t.test(reader, (t) => {
    const seeds = [...(KEPT[reader] ?? [])]
    const count = Math.max(1, Math.floor(FUZZ_RUNS * factor))
    for (let index = 0; index < count; index++) seeds.push(FIRST_SEED * 1_000_003 + index)
    const wrong: string[] = []
    const allocated = largestAllocation(() => {
      for (const seed of seeds) {
        const fault = faultOf(run, seed)
        if (fault !== undefined) wrong.push(`seed ${seed}: ${fault}`)
        if (wrong.length >= SHOWN_MAX) return
      }
    })
    t.same(
      wrong,
      [],
      `MILLRACE_FUZZ_SEED names a first seed; add what failed to test/fixtures/fuzz/seeds.json`
    )
    t.ok(allocated <= ALLOCATION_BYTES_MAX, `${allocated} bytes at once`)
    t.end()
  })
}

function faultOf(run: (dice: Dice) => string | undefined, seed: number): string | undefined {
  try {
    return run(diceOf(seed))
  } catch (error) {
    return error instanceof Error ? (error.stack ?? error.message) : String(error)
  }
}

const ALLOCATION_BYTES_MAX = 64 * 1024 * 1024

/** The largest buffer that was made meanwhile, whoever made it. */
function largestAllocation(work: () => void): number {
  const original = {
    alloc: Buffer.alloc,
    allocUnsafe: Buffer.allocUnsafe,
    allocUnsafeSlow: Buffer.allocUnsafeSlow
  }
  let largest = 0
  for (const name of ['alloc', 'allocUnsafe', 'allocUnsafeSlow'] as const) {
    Buffer[name] = (size: number, ...rest: []) => {
      largest = Math.max(largest, size)
      return original[name](size, ...rest)
    }
  }
  try {
    work()
  } finally {
    Object.assign(Buffer, original)
  }
  return largest
}
