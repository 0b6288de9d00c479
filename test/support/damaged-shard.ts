// Shards on a simulated disk, one record per frame, and ways to damage them.

import { FakeClock, settled } from './fake-clock.ts'
import { DIRECTORY, entryOf, groupOf, ShardHarness } from './shard-harness.ts'
import { SimulatedStorage } from './simulated-storage.ts'

export const range = (first: number, count: number) =>
  Array.from({ length: count }, (_, at) => first + at)

/** A shard on a simulated disk. */
export interface Built {
  readonly storage: SimulatedStorage
  readonly ids: readonly number[]
  /** Files oldest first. */
  readonly files: readonly string[]
}

/** One record per frame; `isClosed` leaves the footer of a clean stop. */
export async function build(
  frameCount: number,
  options: { segmentBytes?: number; paddingBytes?: number; isClosed?: boolean } = {}
): Promise<Built> {
  const storage = new SimulatedStorage()
  const { segmentBytes = 1024 * 1024, paddingBytes = 40, isClosed = false } = options
  const shard = new ShardHarness({ storage, clock: new FakeClock(), segmentBytes })
  for (const id of range(0, frameCount)) {
    shard.append([id], { paddingBytes })
    shard.writer.commit()
    await settled()
  }
  if (isClosed) await shard.writer.close()
  storage.kill()
  return { storage, ids: shard.acked, files: filesOf(storage) }
}

export function filesOf(storage: SimulatedStorage): string[] {
  return storage
    .readdir(DIRECTORY)
    .filter((name) => name.endsWith('.seg'))
    .sort()
    .map((name) => `${DIRECTORY}/${name}`)
}

export function reopen(storage: SimulatedStorage): ShardHarness {
  return new ShardHarness({ storage, clock: new FakeClock(1_700_000_100_000) })
}

/** A copy of the disk on which one file is changed. */
export function damaged(
  built: Built,
  file: string,
  change: (bytes: Buffer) => Buffer
): SimulatedStorage {
  const storage = built.storage.clone()
  storage.put(file, change(built.storage.bytesOf(file)))
  return storage
}

/** Places of the frames in a file of frames that are all intact. */
export function framesOf(bytes: Buffer): { startByte: number; endByte: number }[] {
  const frames: { startByte: number; endByte: number }[] = []
  let at = 64
  while (at + 72 <= bytes.length && bytes.toString('latin1', at, at + 4) === 'MRB1') {
    const endByte = at + 72 + Math.ceil(bytes.readUInt32LE(at + 4) / 8) * 8
    frames.push({ startByte: at, endByte })
    at = endByte
  }
  return frames
}

/** A shard of one frame whose header is gone, and whose one record holds intact frames of the same store and shard. */
export async function withFrameInLine(): Promise<SimulatedStorage> {
  const built = await build(3)
  const donor = built.storage.bytesOf(built.files[0]!)
  const inner = framesOf(donor)[1]!
  const storage = new SimulatedStorage()
  // Another start of the same shard: same store and log, another segment.
  const shard = new ShardHarness({ storage, clock: new FakeClock(1_700_000_500_000) })
  const donated = donor.subarray(inner.startByte, inner.endByte)
  // Once at each byte of the grid where a reader searches.
  const copies = Array.from({ length: 8 }, () => [Buffer.from([0xc0]), donated]).flat()
  const entries = Buffer.concat([entryOf(7), ...copies])
  shard.writer.append({ ...groupOf([7]), entries }, null)
  shard.append([99])
  await shard.writer.close()
  const [file] = filesOf(storage)
  if (file === undefined) throw new Error('no segment')
  const bytes = storage.bytesOf(file)
  const [outer] = framesOf(bytes)
  if (outer === undefined) throw new Error('no frame')
  bytes.fill(0, outer.startByte, outer.startByte + 72)
  storage.put(file, bytes)
  return storage
}
