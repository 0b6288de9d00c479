// A lane over a queue of frames in memory, with a clock that moves when told and a pool that renders `<offset>\n`.

import { Circuit } from '../../src/delivery/circuit.ts'
import { DestinationKeys, type ParkRows } from '../../src/delivery/keys.ts'
import { Lane, type LaneOptions } from '../../src/delivery/lane.ts'
import type { Taken } from '../../src/delivery/lane-source.ts'
import { slotBytes } from '../../src/delivery/output-instance.ts'
import { DEFAULT_RETRY } from '../../src/delivery/retry.ts'
import { Slots } from '../../src/delivery/slots.ts'
import { type Fate, fateReason, type LetterRequest } from '../../src/delivery/task-settlement.ts'
import type { Batch, FlushOutcome, Output, OutputSizes } from '../../src/plugin/output.ts'
import type { TaskRequest, TaskResult } from '../../src/threads/messages.ts'
import { FakeClock } from './fake-clock.ts'

export const STORED: FlushOutcome = { kind: 'all', verdict: { kind: 'stored' } }

/** Bytes of the longest row. */
const ROW_BYTES_MAX = 16

export interface LaneSetup {
  frames: [firstOffset: number, recordCount: number][]
  sizes?: Partial<OutputSizes>
  flush?: (batch: Batch, call: number) => FlushOutcome | Promise<FlushOutcome>
  /** Changes what the pool answers. */
  result?: (result: TaskResult, task: TaskRequest, call: number) => TaskResult
  taken?: Taken[]
  /** Throws where a task fails. */
  fault?: (task: TaskRequest, deadlineMs: number) => void
  finished?: [number, number][]
  park?: ParkRows
  /** Key of a row; then bodies hold rows of many. */
  keyOf?: (row: Buffer) => string
}

/** A lane over frames of 100 bytes a record, whose pool writes `<offset>\n` for each record. */
export function lane(setup: LaneSetup) {
  const clock = new FakeClock()
  const sizes: OutputSizes = {
    bodyBytesMax: 4096,
    requestsMax: 2,
    lingerMs: 0,
    flushTimeoutMs: 1000,
    isOrderedPerTarget: false,
    slotExtraBytes: 0,
    ...setup.sizes
  }
  const slots = new Slots(sizes.requestsMax, slotBytes(sizes))
  const fates = new Map<number, string>()
  let low = 0
  const letters: LetterRequest[] = []
  const bodies: string[] = []
  const tasks: TaskRequest[] = []
  const trouble: unknown[] = []
  const queue: Taken[] = setup.taken ?? setup.frames.map(([first, count]) => frame(first, count))
  for (const [first, end] of setup.finished ?? []) {
    for (let offset = first; offset < end; offset++) fates.set(offset, 'before')
  }
  const logged: string[] = []
  const log = (fields: object) => void logged.push(String((fields as { event?: string }).event))
  let calls = 0
  const output: Output = {
    ...(setup.keyOf === undefined ? {} : { keyOf: setup.keyOf }),
    start: async () => {},
    stop: async () => {},
    async flush(batch) {
      bodies.push(batch.body.toString())
      return (await setup.flush?.(batch, ++calls)) ?? STORED
    }
  }
  const abort = new AbortController()
  const random = () => 1
  const circuit = new Circuit(clock, random, DEFAULT_RETRY)
  const keys = new DestinationKeys({
    destination: 'rest/search',
    parkAfterMs: 30_000,
    hasRoom: () => setup.park !== undefined,
    slots,
    retry: DEFAULT_RETRY,
    clock,
    random,
    log: { info: log, warn: log, error: log },
    onChange: () => made.wake()
  })
  circuit.onClose(() => keys.tryAll())
  const options: LaneOptions = {
    destination: 'rest/search',
    generation: 1,
    source: {
      next: () => queue.shift() ?? null,
      segment: () => ({ path: 'segment', salt: 0n, epoch: 1, firstOffset: 0 }),
      watermarkMs: 0,
      judge: (firstOffset, endOffset) => [
        { kind: 'hole', firstOffset, endOffset, reason: 'corrupt' }
      ],
      logId: new Uint8Array(8)
    },
    cursor: {
      get lowOffset() {
        while (fates.has(low)) low++
        return low
      },
      rangeCount: 0,
      passCount: 0,
      passReason: '',
      has: (offset) => fates.has(offset),
      finish(first, end, fate: Fate) {
        for (let offset = first; offset < end; offset++) {
          if (fates.has(offset)) throw new Error(`offset ${offset} is finished twice`)
          fates.set(offset, [fate.kind, fateReason(fate)].join(' ').trim())
        }
      },
      finishedWithin: (first, end) =>
        range(first, end)
          .filter((offset) => fates.has(offset))
          .map((offset) => [offset, offset + 1])
    },
    slots,
    sizes,
    output,
    targetTails: new Map(),
    keys,
    circuit,
    noteStuck: (slot, by) => slots.noteStuck(slot, by),
    parkRows: setup.park ?? null,
    pool: {
      async run(task, deadlineMs) {
        tasks.push(task)
        setup.fault?.(task, deadlineMs)
        const rendered = render(task, slots)
        const target = setup.keyOf === undefined ? 'a' : ''
        const bodies = rendered.bodies.map((body) => ({ ...body, target }))
        const result = { ...rendered, bodies }
        return setup.result?.(result, task, tasks.length) ?? result
      }
    },
    writeLetters: async (list) => void letters.push(...list),
    flight: {
      observer: { flushed: () => {}, retrying: () => {} },
      random,
      retry: DEFAULT_RETRY
    },
    clock,
    signal: abort.signal,
    onProgress: () => {},
    onTask: () => {},
    onTrouble: (error) => trouble.push(error)
  }
  const made = new Lane(options)
  const running = made.run()
  const stop = async () => {
    keys.stop()
    abort.abort()
    await running
  }
  return {
    lane: made,
    keys,
    circuit,
    logged,
    clock,
    queue,
    slots,
    fates,
    letters,
    bodies,
    tasks,
    trouble,
    stop
  }
}

export function frame(firstOffset: number, recordCount: number): Taken {
  const byteCount = recordCount * 100
  return {
    kind: 'frame',
    frame: {
      segment: 0,
      startByte: firstOffset * 100,
      byteCount,
      firstOffset,
      recordCount,
      appendTimeMs: 0
    }
  }
}

export function render(task: TaskRequest, slots: Slots): TaskResult {
  const slot = Buffer.from(slots.memory.buffer, task.slot.startByte, task.slot.byteCount)
  const rowIndexStartByte =
    task.slot.byteCount - task.rowsMax * 12 - ((task.slot.byteCount - task.rowsMax * 12) % 4)
  const words = new Uint32Array(
    slots.memory.buffer,
    task.slot.startByte + rowIndexStartByte,
    task.rowsMax * 3
  )
  let byte = 0
  let rowCount = 0
  let resumeOffset = task.fromOffset
  const hasRoom = () => rowCount < task.rowsMax && byte + ROW_BYTES_MAX < rowIndexStartByte
  for (const { firstOffset, recordCount } of task.frames) {
    for (let offset = firstOffset; offset < firstOffset + recordCount; offset++) {
      if (!hasRoom()) break
      resumeOffset = offset + 1
      if (offset < task.fromOffset) continue
      if (task.finished.some(([first, end]) => offset >= first && offset < end)) continue
      const count = slot.write(`${offset}\n`, byte)
      words.set([offset - task.fromOffset, byte, count], rowCount * 3)
      byte += count
      rowCount++
    }
  }
  return {
    kind: 'result',
    resumeOffset,
    bodies:
      rowCount === 0
        ? []
        : [
            {
              target: 'a',
              startByte: 0,
              byteCount: byte,
              rowStart: 0,
              rowCount,
              compressed: null,
              sha256: null
            }
          ],
    rowIndexStartByte,
    rowCount,
    dropped: [],
    joined: [],
    deadLetters: [],
    damaged: [],
    carry: null,
    open: [],
    dueMs: null,
    counters: {},
    stageMs: { read: 0, run: 0, finish: 0 }
  }
}

export const range = (first: number, end: number) =>
  Array.from({ length: end - first }, (_, index) => first + index)
export const lines = (bodies: string[]) =>
  bodies.flatMap((body) => body.trim().split('\n').map(Number))
