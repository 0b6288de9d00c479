import t from 'tap'
import { MillraceError } from '../../src/core/errors.ts'
import type { FlushOutcome } from '../../src/plugin/output.ts'
import type { TaskRequest, TaskResult } from '../../src/threads/messages.ts'
import { settled } from '../support/fake-clock.ts'
import { frame, lane, lines, range, render, STORED } from '../support/lane-harness.ts'

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

/** Row of the line that began in the frame before: owner 4, with 5 joined into it. */
function joinedOver(result: TaskResult, task: TaskRequest, memory: ArrayBufferLike): TaskResult {
  const words = new Int32Array(memory, task.slot.startByte + result.rowIndexStartByte, 3)
  words[0] = 4 - task.fromOffset
  return { ...result, joined: [{ owner: 4, offsets: [5] }] }
}

for (const kind of ['retry', 'park'] as const) {
  t.test(
    `a row that began in an earlier frame, sent again after ${kind}, ends finished`,
    async (t) => {
      const l = lane({
        frames: [],
        taken: [frame(0, 5)],
        flush(batch, call) {
          const texts = batch.body.toString().trim().split('\n')
          if (call !== 2) return STORED
          return {
            kind: 'rows',
            verdicts: texts.map((_, row) =>
              row === 0 ? { kind, reason: 'not yet' } : { kind: 'stored' }
            )
          }
        },
        result(result, task, call) {
          // A body that cannot be cut in its slot.
          const bodies = result.bodies.map((body) => ({ ...body, sha256: 'of the whole' }))
          if (call === 1) {
            const without = render({ ...task, finished: [[4, 5]] }, l.slots)
            return { ...without, resumeOffset: 5, open: [4], carry: new Uint8Array([1]) }
          }
          if (call === 2) return { ...joinedOver(result, task, l.slots.memory.buffer), bodies }
          const alone = render({ ...task, finished: [...task.finished, [5, 6]] }, l.slots)
          return { ...alone, resumeOffset: 6, joined: [{ owner: 4, offsets: [5] }] }
        }
      })
      await settled()
      l.queue.push(frame(5, 5))
      l.lane.wake()
      for (let second = 0; second < 5; second++) {
        await settled()
        l.clock.advance(1000)
      }
      await settled()
      t.same(
        l.tasks[2]?.frames.map(({ firstOffset }) => firstOffset),
        [0, 5],
        'both frames are read again'
      )
      t.same(l.tasks[2]?.finished, [[6, 10]], 'nothing but its members')
      t.equal(l.fates.size, 10)
      t.same([...new Set(l.fates.values())], ['delivered'])
      t.ok(l.lane.isIdle, 'nothing is pending')
      t.same(l.trouble, [])
      await l.stop()
    }
  )
}
