import t from 'tap'
import { positionId } from '../../src/core/position.ts'
import { FrameStore, LOG_ID } from '../support/frame-store.ts'
import { packEntry } from '../support/msgpack-objects.ts'
import { harness } from '../support/task-harness.ts'

const lines = (from: number, count: number) =>
  Array.from({ length: count }, (_, index) => packEntry({ log: `line ${from + index}` }))

function filled(): FrameStore {
  const store = new FrameStore(10)
  store.append([{ entries: lines(0, 3) }, { tag: 'other', entries: lines(3, 2) }], 1000)
  store.append([{ entries: lines(5, 4) }], 2000)
  store.roll()
  store.append([{ entries: lines(9, 1) }], 3000)
  return store
}

t.test('every record becomes a row with the id of its position', async (t) => {
  const store = filled()
  const { run, documents, ids } = harness(store)
  const result = run()
  t.equal(result.resumeOffset, 20)
  t.strictSame(
    documents(result).map((document) => document['log']),
    Array.from({ length: 10 }, (_, index) => `line ${index}`)
  )
  t.equal(ids(result)[0], positionId(LOG_ID, 100, 10))
  t.equal(ids(result)[9], positionId(LOG_ID, 101, 19), 'the epoch is that of the segment')
  t.equal(store.readCount, 2, 'frames that lie back to back come in one read')
})

t.test('S65 a task run twice and on another runner gives equal bytes and verdicts', async (t) => {
  const store = filled()
  const first = harness(store)
  const second = harness(store)
  const one = first.run()
  const bytes = Buffer.from(first.slot)
  t.strictSame(first.run(), one)
  t.ok(first.slot.equals(bytes))
  t.strictSame(second.run(), one)
  t.ok(second.slot.equals(bytes))
})

t.test('finished ranges and what lies below the first offset are passed over', async (t) => {
  const store = filled()
  const { run, documents } = harness(store)
  const result = run({
    fromOffset: 12,
    finished: [
      [13, 15],
      [15, 19]
    ]
  })
  t.strictSame(
    documents(result).map((document) => document['log']),
    ['line 2', 'line 9']
  )
  t.equal(store.readCount, 2, 'a frame that is finished as a whole is not read')
})

t.test('S12 the task ends at the record that finds no room and goes on there', async (t) => {
  const store = filled()
  const { run, documents } = harness(store)
  const first = run({ rowsMax: 4 })
  t.equal(first.resumeOffset, 14)
  t.equal(first.rowCount, 4)
  const rest = run({ fromOffset: first.resumeOffset })
  t.strictSame(
    documents(rest).map((document) => document['log']),
    ['line 4', 'line 5', 'line 6', 'line 7', 'line 8', 'line 9']
  )
})

t.test('S13 a record larger than an empty body goes to the dead letters', async (t) => {
  const store = new FrameStore()
  store.append([{ entries: [packEntry({ log: 'x'.repeat(5000) }), packEntry({ log: 'y' })] }], 1)
  const { run, documents } = harness(store)
  const first = run({ bodyBytesMax: 3000 })
  t.strictSame(first.deadLetters, [
    { offset: 0, members: null, step: '0:output', reason: 'too_large' }
  ])
  const rows = documents(first)
  const rest = run({ fromOffset: first.resumeOffset, bodyBytesMax: 3000 })
  t.match([...rows, ...documents(rest)], [{ log: 'y' }])
})

t.test(
  'a frame whose payload or header is damaged is lost, its neighbours are delivered',
  async (t) => {
    for (const byte of [0, 8, 30, 70, 100]) {
      const store = filled()
      store.damage(store.frames[1]!, byte)
      const { run, documents } = harness(store)
      const result = run()
      t.strictSame(result.damaged, [{ first: 15, end: 19, reason: 'corrupt' }])
      t.equal(documents(result).length, 6)
      t.equal(result.resumeOffset, 20)
    }
  }
)

t.test('a frame that a file cut short lacks is damaged', async (t) => {
  const store = filled()
  store.files.set('1.seg', store.files.get('1.seg')!.subarray(0, 100))
  const result = harness(store).run()
  t.strictSame(result.damaged, [{ first: 19, end: 20, reason: 'corrupt' }])
})

t.test('rows that the render half does not take are left for the next task', async (t) => {
  const store = filled()
  const plain = harness(store)
  const { run, documents } = harness(store, {
    renderHalf: {
      finish(area) {
        area.rendered.copy(area.slot)
        const rowsTaken = Math.min(3, area.rows.count)
        const last = rowsTaken - 1
        const byteCount = area.rows.startByte(last) + area.rows.byteCount(last)
        const body = { target: 'logs', startByte: 0, byteCount, rowStart: 0, rowCount: rowsTaken }
        return {
          bodies: [{ ...body, compressed: null, sha256: null }],
          order: null,
          places: null,
          rowsTaken
        }
      }
    }
  })
  const result = run()
  t.equal(result.rowCount, 3)
  t.equal(result.resumeOffset, 13)
  t.strictSame(documents(result), plain.documents(plain.run({ rowsMax: 3 })))
})

t.test('rows of several targets stand together, and the index names each one', async (t) => {
  const store = filled()
  const { run, bodies, documents, slot } = harness(store, {
    spec: {
      target: {
        source: '${tag}',
        parts: [{ kind: 'tag' }]
      }
    }
  })
  const result = run()
  t.strictSame(
    result.bodies.map(({ target, rowStart, rowCount }) => ({ target, rowStart, rowCount })),
    [
      { target: 'docker.web', rowStart: 0, rowCount: 8 },
      { target: 'other', rowStart: 8, rowCount: 2 }
    ]
  )
  t.match(bodies(result)[1], /line 3[\s\S]*line 4/)
  t.equal(documents(result).length, 10)
  t.equal(slot.readInt32LE(result.rowIndexStartByte + 8 * 12), 3, 'offset less the first')
})

t.test(
  'S62 a record that makes the kernel trap becomes a dead letter, its neighbours go out once',
  async (t) => {
    const store = filled()
    const { run, documents, kernels } = harness(store, { kernel: 'objects' })
    run({ frames: [] })
    const traps = new Set([13, 18])
    kernels[0]!.trapOffsets = traps
    const push = kernels.push.bind(kernels)
    kernels.push = (kernel) => {
      kernel.trapOffsets = traps
      return push(kernel)
    }
    const result = run()
    t.strictSame(result.deadLetters, [
      { offset: 13, members: null, step: '0:output', reason: 'kernel_trap' },
      { offset: 18, members: null, step: '0:output', reason: 'kernel_trap' }
    ])
    t.equal(documents(result).length, 8)
    t.ok(kernels.length > 2, 'an instance that trapped is not used again')
  }
)

t.test(
  'S13 a row that the render half cannot put into any body is refused, the others go on',
  async (t) => {
    const store = filled()
    const { run, documents } = harness(store, {
      renderHalf: {
        finish(area) {
          const isRefused = area.rendered
            .toString('utf8', 0, area.rows.byteCount(0))
            .includes('line 0')
          const rowsTaken = isRefused ? 0 : area.rows.count
          const last = rowsTaken - 1
          area.rendered.copy(area.slot)
          const byteCount = isRefused ? 0 : area.rows.startByte(last) + area.rows.byteCount(last)
          const body = { target: 'logs', startByte: 0, byteCount, rowStart: 0, rowCount: rowsTaken }
          return {
            bodies: isRefused ? [] : [{ ...body, compressed: null, sha256: null }],
            order: null,
            places: null,
            rowsTaken
          }
        }
      }
    })
    const result = run()
    t.strictSame(result.deadLetters, [
      { offset: 10, members: null, step: '0:output', reason: 'too_large' }
    ])
    t.equal(documents(result).length, 9)
    t.equal(result.resumeOffset, 20)
  }
)
