import { appendFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { FrameWindow } from '../../src/steps/frame-window.ts'
import { covers, mergeRanges } from '../../src/steps/offset-set.ts'
import { SegmentFiles } from '../../src/steps/segment-files.ts'
import { KEYLESS_DECODER } from '../../src/storage/format/payload-decoder.ts'
import { FrameStore } from '../support/frame-store.ts'
import { packEntry } from '../support/msgpack-objects.ts'
import { xxh64 } from '../support/xxh64.ts'

t.test('reads what is there, fewer bytes at the end, and opens a file anew for each task', (t) => {
  const directory = t.testdir({})
  const path = join(directory, 'a.seg')
  writeFileSync(path, 'hello world')
  const files = new SegmentFiles()
  const into = Buffer.alloc(5)
  t.equal(files.read(path, into, 6), 5)
  t.equal(into.toString(), 'world')
  t.equal(files.read(path, into, 9), 2)
  appendFileSync(path, '!')
  t.equal(files.read(path, into, 11), 1, 'bytes that came after the open')
  rmSync(path)
  t.equal(files.read(path, into, 0), 5, 'an open file outlives its name')
  files.release()
  t.throws(() => files.read(path, into, 0), { code: 'ENOENT' })
  files.release()
  t.end()
})

t.test('a frame larger than the input area fails the task instead of reading a part of it', (t) => {
  const store = new FrameStore()
  store.append([{ entries: [packEntry({ log: 'x'.repeat(500) })] }], 1)
  const input = Buffer.alloc(256)
  const window = new FrameWindow(
    { input, files: store, hash: xxh64, decoder: KEYLESS_DECODER, clockMs: () => 0 },
    store
  )
  t.throws(() => window.place(0), { code: 'MR_TASK' })
  t.throws(() => window.segmentOf({ ...store.frames[0]!, segment: 7 }), { code: 'MR_TASK' })
  t.end()
})

t.test('a reference that is not the frame it names counts as damage', (t) => {
  const store = new FrameStore()
  const frame = store.append([{ entries: [packEntry({ log: 'x' })] }], 1)
  const input = Buffer.alloc(4096)
  const place = (part: object) => {
    const frames = [{ ...frame, ...part }]
    return new FrameWindow(
      { input, files: store, hash: xxh64, decoder: KEYLESS_DECODER, clockMs: () => 0 },
      { segments: store.segments, frames, logId: store.logId }
    ).place(0)
  }
  t.match(place({}), { firstOffset: 0, appendTimeMs: 1 })
  t.equal(place({ firstOffset: 1 }), null)
  t.equal(place({ recordCount: 2 }), null)
  t.equal(place({ startByte: frame.startByte + 8 }), null)
  t.equal(place({ byteCount: frame.byteCount - 16 }), null)
  t.end()
})

t.test('ranges and single offsets become ascending ranges without overlap', (t) => {
  t.strictSame(
    mergeRanges(
      [
        [5, 8],
        [1, 3]
      ],
      [3, 9, 6]
    ),
    [
      [1, 4],
      [5, 8],
      [9, 10]
    ]
  )
  t.ok(covers([[1, 4]], 1, 4))
  t.notOk(
    covers(
      [
        [1, 4],
        [4, 8]
      ],
      3,
      5
    )
  )
  t.end()
})
