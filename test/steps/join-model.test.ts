// The model of joins (steps 11.2) with the real task function: random streams, frames, task cuts, orders of delivery and
// crashes. The sink refuses ids that it has. Question: is every line stored exactly once, and never cut otherwise than
// without any trouble?

import t from 'tap'
import { JOIN_STREAMS_MAX } from '../../src/core/limits.ts'
import type { TaskResult } from '../../src/threads/messages.ts'
import { FrameStore } from '../support/frame-store.ts'
import { packEntry } from '../support/msgpack-objects.ts'
import { type Harness, harness } from '../support/task-harness.ts'

const WORLDS = 120
const LINES = 70

/** mulberry32: the same worlds in every run. */
function randomOf(seed: number): (below: number) => number {
  let state = seed
  return (below) => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below
  }
}

/** Streams that cut lines, stop in the middle, repeat a part, or send plain lines; of engines with and without ids. */
function worldOf(random: (below: number) => number): FrameStore {
  const store = new FrameStore(random(1000), 2000)
  const streamCount = 1 + random(6)
  const left = new Map<string, { id: string; next: number; last: number }>()
  let nowMs = 1_000_000
  let entries: Buffer[] = []
  for (let line = 0; line < LINES; line++) {
    const stream = `c${random(streamCount)}`
    const isOld = stream === 'c5'
    const base = { container_id: stream, source: 'stdout', log: `<${line}>` }
    let open = left.get(stream)
    if (open === undefined && random(3) === 0) {
      open = { id: `id${line}`, next: 1, last: 2 + random(3) }
      left.set(stream, open)
    } else if (open !== undefined && random(9) === 0) {
      left.delete(stream)
      open = undefined
    }
    if (open === undefined) entries.push(packEntry(base))
    else if (isOld) {
      const isLast = open.next === open.last
      entries.push(packEntry(isLast ? base : { ...base, partial_message: 'true' }))
    } else {
      const part = {
        ...base,
        partial_message: 'true',
        partial_id: open.id,
        partial_ordinal: String(open.next),
        partial_last: String(open.next === open.last)
      }
      entries.push(packEntry(part))
      if (random(12) === 0) entries.push(packEntry(part))
      // A plain line in between ends the group, though its parts go on.
      if (random(6) === 0) entries.push(packEntry(base))
    }
    if (open !== undefined && open.next++ === open.last) left.delete(stream)
    if (random(3) === 0) {
      store.append([{ entries }], nowMs)
      entries = []
      nowMs += random(6) === 0 ? random(9000) : random(300)
    }
  }
  if (entries.length > 0) store.append([{ entries }], nowMs)
  return store
}

interface Sent {
  readonly id: string
  readonly text: string
  readonly offsets: readonly number[]
}

/** What a task would send: id, text and the entries that are finished with it. */
function sentOf(result: TaskResult, { slot, documents, ids }: Harness, fromOffset: number): Sent[] {
  const members = new Map(result.joined.map(({ owner, offsets }) => [owner, [owner, ...offsets]]))
  const texts = documents(result)
  return ids(result).map((id, row) => {
    const offset = fromOffset + slot.readInt32LE(result.rowIndexStartByte + row * 12)
    return { id, text: String(texts[row]!['log']), offsets: members.get(offset) ?? [offset] }
  })
}

/** One task over all frames, and the end of time: what comes out without any trouble. */
function undisturbed(store: FrameStore, options: object): Sent[] {
  const runner = harness(store, { steps: [{ docker_partial: options }] })
  const result = runner.run({ isAtEnd: true, watermarkMs: Number.MAX_SAFE_INTEGER })
  return sentOf(result, runner, store.frames[0]!.firstOffset)
}

interface Outcome {
  readonly sink: ReadonlyMap<string, Sent>
  readonly crashes: number
  readonly sentAgain: number
}

function disturbed(store: FrameStore, random: (below: number) => number, options: object): Outcome {
  const runner = harness(store, { steps: [{ docker_partial: options }] })
  const origin = store.frames[0]!.firstOffset
  const end = store.nextOffset
  const finished = new Set<number>()
  const sink = new Map<string, Sent>()
  let crashes = 0
  let sentAgain = 0
  let visible = 0
  while (finished.size < end - origin) {
    let nextOffset = origin
    while (finished.has(nextOffset)) nextOffset++
    let carry: Uint8Array | null = null
    let flight: Sent[] = []
    let isAlive = true
    let turns = 0
    while (isAlive && finished.size < end - origin) {
      if (turns++ > 2000) throw new Error('the model is stuck')
      // The watermark is read before the visible end.
      const watermarkMs = store.frames[visible]?.appendTimeMs ?? Number.MAX_SAFE_INTEGER
      visible = Math.min(store.frames.length, visible + random(4))
      const frames = store.frames
        .slice(0, visible)
        .filter(({ firstOffset, recordCount }) => firstOffset + recordCount > nextOffset)
      const cut = frames.slice(0, random(5))
      const result = runner.run({
        frames: cut,
        fromOffset: nextOffset,
        finished: [...finished]
          .sort((a, b) => a - b)
          .map((offset) => [offset, offset + 1] as const),
        carry,
        watermarkMs,
        isAtEnd: cut.length === frames.length,
        rowsMax: 1 + random(6)
      })
      flight.push(...sentOf(result, runner, nextOffset))
      carry = result.carry
      nextOffset = result.resumeOffset
      while (flight.length > 0 && random(3) > 0) {
        const [one] = flight.splice(random(flight.length), 1)
        if (sink.has(one!.id)) sentAgain++
        else sink.set(one!.id, one!)
        // The crash between the destination's answer and the cursor.
        if (random(60) === 0) {
          isAlive = false
          break
        }
        for (const offset of one!.offsets) finished.add(offset)
      }
      if (random(40) === 0) isAlive = false
    }
    if (!isAlive) {
      crashes++
      flight = []
    }
  }
  return { sink, crashes, sentAgain }
}

t.test(
  'S77 S78 S79 crashes, repeats and any order of delivery: no line lost, none twice, no other groups',
  (t) => {
    let lost = 0
    let twice = 0
    let otherGroups = 0
    let crashes = 0
    let sentAgain = 0
    let joined = 0
    for (let seed = 1; seed <= WORLDS; seed++) {
      const random = randomOf(seed)
      const store = worldOf(random)
      const expected = new Map(undisturbed(store, {}).map((sent) => [sent.id, sent]))
      const outcome = disturbed(store, random, {})
      crashes += outcome.crashes
      sentAgain += outcome.sentAgain
      const seen = new Map<number, number>()
      for (const { id, text, offsets } of outcome.sink.values()) {
        if (expected.get(id)?.text !== text) otherGroups++
        if (offsets.length > 1) joined++
        for (const offset of offsets) seen.set(offset, (seen.get(offset) ?? 0) + 1)
      }
      for (let offset = store.frames[0]!.firstOffset; offset < store.nextOffset; offset++) {
        if (!seen.has(offset)) lost++
        else if (seen.get(offset) !== 1) twice++
      }
    }
    t.strictSame({ lost, twice, otherGroups }, { lost: 0, twice: 0, otherGroups: 0 })
    t.ok(crashes > WORLDS / 2, `the model crashed ${crashes} times`)
    t.ok(sentAgain > 10, `${sentAgain} records were sent again`)
    t.ok(joined > WORLDS, `${joined} records were joined`)
    t.end()
  }
)

t.test(
  'eviction at two open streams may cut lines otherwise after a crash, and loses none',
  (t) => {
    let lost = 0
    let crashes = 0
    for (let seed = 1; seed <= WORLDS / 2; seed++) {
      const random = randomOf(seed)
      const store = worldOf(random)
      const outcome = disturbed(store, random, { max_streams: 2 })
      crashes += outcome.crashes
      const seen = new Set<number>()
      for (const { offsets } of outcome.sink.values())
        for (const offset of offsets) seen.add(offset)
      lost += store.nextOffset - store.frames[0]!.firstOffset - seen.size
    }
    t.equal(lost, 0)
    t.ok(crashes > 10)
    t.ok(JOIN_STREAMS_MAX >= 2)
    t.end()
  }
)
