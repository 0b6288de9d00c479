import t from 'tap'
import { MillraceError } from '../../src/core/errors.ts'
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
import { FakeClock, settled } from '../support/fake-clock.ts'

const STORED: FlushOutcome = { kind: 'all', verdict: { kind: 'stored' } }

interface Setup {
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
}

/** A lane over frames of 100 bytes a record, whose pool writes `<offset>\n` for each record. */
function lane(setup: Setup) {
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
        let low = 0
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
        [...fates.keys()]
          .filter((offset) => offset >= first && offset < end)
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
        const result = render(task, slots)
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

function frame(firstOffset: number, recordCount: number): Taken {
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

function render(task: TaskRequest, slots: Slots): TaskResult {
  const slot = Buffer.from(slots.memory, task.slot.startByte, task.slot.byteCount)
  const rowIndexStartByte =
    task.slot.byteCount - task.rowsMax * 12 - ((task.slot.byteCount - task.rowsMax * 12) % 4)
  const words = new Uint32Array(
    slots.memory,
    task.slot.startByte + rowIndexStartByte,
    task.rowsMax * 3
  )
  let byte = 0
  let rowCount = 0
  let resumeOffset = task.fromOffset
  for (const { firstOffset, recordCount } of task.frames) {
    for (let offset = firstOffset; offset < firstOffset + recordCount; offset++) {
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

const range = (first: number, end: number) =>
  Array.from({ length: end - first }, (_, index) => first + index)
const lines = (bodies: string[]) => bodies.flatMap((body) => body.trim().split('\n').map(Number))

t.test('frames become bodies, every record once, slots come back', async (t) => {
  const l = lane({
    frames: [
      [0, 10],
      [10, 10],
      [20, 10],
      [30, 10]
    ]
  })
  await settled()
  t.same(
    lines(l.bodies).sort((one, other) => one - other),
    range(0, 40)
  )
  t.ok(l.tasks.length > 1, 'input is cut by what a body can hold')
  t.ok(l.lane.isIdle)
  t.equal(l.slots.inUse, 0)
  l.queue.push(frame(40, 5))
  l.lane.wake()
  await settled()
  t.equal(l.fates.size, 45)
  await l.stop()
  t.same(l.trouble, [])
})

t.test('a task that fills its slot goes on where it stopped', async (t) => {
  const l = lane({
    frames: [[0, 20]],
    result(result, task) {
      const rowCount = Math.min(result.rowCount, 7)
      const body = result.bodies[0]
      if (body === undefined) return result
      const byteCount = range(task.fromOffset, task.fromOffset + rowCount).reduce(
        (sum, offset) => sum + `${offset}\n`.length,
        0
      )
      return {
        ...result,
        rowCount,
        resumeOffset: task.fromOffset + rowCount,
        bodies: [{ ...body, rowCount, byteCount }]
      }
    }
  })
  await settled()
  t.same(lines(l.bodies), range(0, 20))
  t.same(
    l.tasks.map(({ fromOffset }) => fromOffset),
    [0, 7, 14]
  )
  await l.stop()
})

t.test('what a crash left finished is passed over', async (t) => {
  const l = lane({
    frames: [[0, 10]],
    finished: [
      [0, 3],
      [5, 7]
    ]
  })
  await settled()
  t.same(lines(l.bodies), [3, 4, 7, 8, 9])
  await l.stop()
})

t.test('steps drop, refuse and join; damage and holes are lost with a reason', async (t) => {
  const l = lane({
    frames: [],
    taken: [{ kind: 'hole', firstOffset: 0, endOffset: 2, reason: 'corrupt' }, frame(2, 8)],
    result: (result, task, call) =>
      call > 1
        ? result
        : {
            ...render(
              {
                ...task,
                finished: [
                  [2, 5],
                  [6, 9]
                ]
              },
              l.slots
            ),
            resumeOffset: 10,
            dropped: [{ first: 2, end: 3, reason: 'grep' }],
            deadLetters: [{ offset: 3, members: null, step: '1:parse', reason: 'not_json' }],
            damaged: [{ first: 4, end: 5, reason: 'corrupt' }],
            joined: [{ owner: 5, offsets: [6, 7] }],
            carry: new Uint8Array([1]),
            open: [8],
            dueMs: 5000
          }
  })
  await settled()
  t.same(Object.fromEntries(l.fates), {
    0: 'lost corrupt',
    1: 'lost corrupt',
    2: 'dropped filtered',
    3: 'dead_lettered',
    4: 'lost corrupt',
    5: 'delivered',
    6: 'delivered',
    7: 'delivered',
    9: 'delivered'
  })
  t.match(l.letters, [{ offsets: [3], step: '1:parse', reason: 'not_json' }])
  l.queue.push(frame(10, 1))
  l.lane.wake()
  await settled()
  t.same(l.tasks[1]?.carry, new Uint8Array([1]), 'the next task begins with the open groups')
  await l.stop()
})

t.test('members of a refused joined record go to the dead letters with it', async (t) => {
  const l = lane({
    frames: [[0, 2]],
    flush: () => ({ kind: 'all', verdict: { kind: 'refuse', reason: 'mapping', text: 'no' } }),
    result: (_, task) => ({
      ...render({ ...task, finished: [[1, 2]] }, l.slots),
      resumeOffset: 2,
      joined: [{ owner: 0, offsets: [1] }]
    })
  })
  await settled()
  t.match(l.letters, [{ offsets: [0, 1], reason: 'mapping', text: 'no', target: 'a' }])
  t.same([...l.fates.values()], ['dead_lettered', 'dead_lettered'])
  await l.stop()
})

t.test('bodies of one target go in order, one after another', async (t) => {
  const gate = Promise.withResolvers<FlushOutcome>()
  const l = lane({
    frames: [
      [0, 30],
      [30, 30],
      [60, 30]
    ],
    sizes: { isOrderedPerTarget: true, requestsMax: 3 },
    flush: (_, call) => (call === 1 ? gate.promise : STORED)
  })
  await settled()
  t.equal(l.bodies.length, 1, 'the second waits for the first')
  gate.resolve(STORED)
  await settled()
  t.same(lines(l.bodies), range(0, 90))
  await l.stop()
})

t.test('without order bodies fly at once, as many as there are slots', async (t) => {
  const gate = Promise.withResolvers<FlushOutcome>()
  const l = lane({
    frames: [
      [0, 30],
      [30, 30],
      [60, 30]
    ],
    flush: () => gate.promise
  })
  await settled()
  t.equal(l.bodies.length, 2)
  t.equal(l.slots.inUse, 2)
  gate.resolve(STORED)
  await settled()
  t.same(lines(l.bodies), range(0, 90))
  await l.stop()
})

t.test('records wait for more up to the linger, a full body does not', async (t) => {
  const l = lane({ frames: [[0, 1]], sizes: { lingerMs: 200 } })
  await settled()
  t.same(l.bodies, [])
  l.clock.advance(200)
  await settled()
  t.same(lines(l.bodies), [0])
  l.queue.push(frame(1, 40))
  l.lane.wake()
  await settled()
  t.equal(l.bodies.length, 2)
  await l.stop()
  t.equal(l.clock.timerCount, 0)
})

t.test('a task that fails is repeated and nothing of it is finished', async (t) => {
  const l = lane({
    frames: [[0, 5]],
    result(result, _, call) {
      if (call === 1) throw new Error('thread died')
      return result
    }
  })
  await settled()
  t.equal(l.fates.size, 0)
  t.equal(l.slots.inUse, 0)
  l.clock.advance(1000)
  await settled()
  t.same(lines(l.bodies), range(0, 5))
  t.match(l.trouble, [{ message: 'thread died' }])
  await l.stop()
})

t.test('shutdown during a retry leaves records pending and gives the slot back', async (t) => {
  const l = lane({
    frames: [[0, 5]],
    flush: () => ({ kind: 'all', verdict: { kind: 'retry', reason: 'down' } })
  })
  await settled()
  t.equal(l.slots.inUse, 1)
  await l.stop()
  await settled()
  t.equal(l.fates.size, 0)
  t.equal(l.slots.inUse, 0)
})

const looksAt = ({ finished, frames, fromOffset }: TaskRequest, offset: number) =>
  offset >= fromOffset &&
  frames.some(
    (each) => offset >= each.firstOffset && offset < each.firstOffset + each.recordCount
  ) &&
  !finished.some(([first, end]) => offset >= first && offset < end)

t.test('S64 a record that makes every task late becomes a dead letter, alone', async (t) => {
  const deadlines: number[] = []
  const l = lane({
    frames: [
      [0, 10],
      [10, 10],
      [20, 12]
    ],
    sizes: { bodyBytesMax: 65_536 },
    fault(task, deadlineMs) {
      if (!looksAt(task, 13)) return
      deadlines.push(deadlineMs)
      throw new MillraceError('MR_TASK_LATE', `not done within ${deadlineMs} ms`)
    }
  })
  await settled()
  t.match(l.letters, [{ offsets: [13], reason: 'task_failed', text: /not done within/ }])
  t.equal(l.fates.get(13), 'dead_lettered')
  t.same(
    lines(l.bodies).sort((one, other) => one - other),
    range(0, 32).filter((offset) => offset !== 13)
  )
  t.equal(deadlines[0], 60_000, 'the whole task has all the time')
  t.ok(
    deadlines.slice(1, -1).every((each) => each === 5000),
    'its parts have little'
  )
  t.equal(deadlines.at(-1), 60_000, 'what is alone has all the time again')
  t.equal(l.trouble.length, 1, 'logged once')
  t.equal(l.slots.inUse, 0)
  await l.stop()
})

t.test('a task that throws is repeated before a record is blamed', async (t) => {
  let failures = 0
  const l = lane({
    frames: [[0, 4]],
    fault() {
      if (failures++ < 2) throw new Error('a hiccup')
    }
  })
  for (let second = 0; second < 3; second++) {
    await settled()
    l.clock.advance(1000)
  }
  await settled()
  t.same(l.letters, [])
  t.same(lines(l.bodies), [0, 1, 2, 3])
  await l.stop()
})

t.test("trouble of the system is no record's fault, however long it lasts", async (t) => {
  let failures = 0
  const l = lane({
    frames: [[0, 4]],
    fault() {
      if (failures++ < 50) throw new Error('EIO: i/o error, read')
    }
  })
  for (let second = 0; second < 51; second++) {
    await settled()
    l.clock.advance(1000)
  }
  await settled()
  t.same(l.letters, [])
  t.same(lines(l.bodies), [0, 1, 2, 3])
  await l.stop()
})

t.test('two records that always throw are found one after the other', async (t) => {
  const l = lane({
    frames: [[0, 16]],
    fault(task) {
      if (looksAt(task, 3) || looksAt(task, 11)) throw new Error('broken')
    }
  })
  for (let second = 0; second < 20; second++) {
    await settled()
    l.clock.advance(1000)
  }
  await settled()
  t.same(
    l.letters.map(({ offsets }) => offsets),
    [[3], [11]]
  )
  t.equal(l.fates.size, 16, 'all are finished')
  await l.stop()
})

t.test('Q35 rows of a refused key hold no slot, and are parked after park_after', async (t) => {
  const parked: number[] = []
  const l = lane({
    frames: [[0, 10]],
    sizes: { requestsMax: 1 },
    flush: () => ({ kind: 'all', verdict: { kind: 'park', reason: 'denied' } }),
    park: async (_, rows) => {
      parked.push(...rows.flat())
      return true
    }
  })
  await settled()
  t.equal(l.slots.inUse, 0, 'the rows left their slot')
  t.equal(l.fates.size, 0)
  for (let second = 0; second < 32; second++) {
    l.clock.advance(1000)
    await settled()
  }
  t.same(parked, range(0, 10), 'in order')
  t.same([...new Set(l.fates.values())], ['moved'])
  t.match(l.logged, ['key.parked'])
  await l.stop()
})
