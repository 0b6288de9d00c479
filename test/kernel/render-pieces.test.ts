import t from 'tap'
import { sharedMemory } from '../../src/kernel/memory-copy.ts'
import { ProgramWriter } from '../../src/kernel/program.ts'
import { RenderKernel } from '../../src/kernel/render-kernel.ts'
import {
  APPEND_TIME_MS,
  EPOCH,
  entryOf,
  groupOf,
  LOG_ID,
  okTarget,
  PLAIN_LAYOUT
} from './support/render-fixture.ts'

const kernel = new RenderKernel({ imports: { target: okTarget } })
const FRAMES = 7
const RECORDS = 40

function frame(number: number): Buffer {
  const records = Array.from({ length: RECORDS }, (_, index) =>
    entryOf({ log: `${'x'.repeat((number * 31 + index * 7) % 200)}"${number}.${index}` })
  )
  return groupOf(records)
}

/** Renders the frames; after those that `takesAfter` names the output is taken. */
function render(outputBytesMax: number, takesAfter: (frame: number) => boolean) {
  const program = kernel.loadProgram(new ProgramWriter().finish(PLAIN_LAYOUT))
  kernel.begin(program, { outputBytesMax, rowsMax: 100_000 })
  kernel.setShard(LOG_ID, EPOCH)
  const slot = sharedMemory(outputBytesMax + 4096)
  let takenBytes = 0
  let stop = 'end'
  for (let number = 0; number < FRAMES && stop === 'end'; number++) {
    const payload = frame(number)
    kernel.input.set(payload)
    const firstOffset = 1000 + number * RECORDS
    const place = {
      startByte: 0,
      endByte: payload.length,
      firstOffset,
      appendTimeMs: APPEND_TIME_MS
    }
    stop = kernel.run(place)
    if (takesAfter(number)) takenBytes += kernel.takeOutput(slot, takenBytes)
  }
  takenBytes += kernel.takeOutput(slot, takenBytes)
  const bytes = Buffer.from(Buffer.from(slot.buffer, 0, takenBytes))
  const rows = Array.from({ length: kernel.rows.count }, (_, row) => [
    kernel.rows.startByte(row),
    kernel.rows.byteCount(row),
    kernel.rows.offset(row)
  ])
  return { bytes, rows, stop, resumeOffset: kernel.resumeOffset, left: kernel.outputByteCount }
}

t.test('taken in pieces the output is what it is in one piece, row by row', async (t) => {
  const whole = render(1_000_000, () => false)
  t.equal(whole.rows.length, FRAMES * RECORDS)
  t.strictSame(
    render(1_000_000, () => true),
    whole
  )
  t.strictSame(
    render(1_000_000, (number) => number % 3 === 1),
    whole
  )
  const [start = 0, byteCount = 0] = whole.rows.at(-1) ?? []
  t.equal(start + byteCount, whole.bytes.length, 'places count from the first byte of the task')
})

t.test('the limit of a task holds over all its pieces', async (t) => {
  for (const limit of [5000, 20_000, 33_333]) {
    const whole = render(limit, () => false)
    t.equal(whole.stop, 'full', `${limit} bytes are too few`)
    t.ok(whole.bytes.length <= limit)
    t.strictSame(
      render(limit, () => true),
      whole
    )
  }
})

t.test(
  'a record that fits only an empty output is not tried behind pieces that were taken',
  async (t) => {
    const program = kernel.loadProgram(new ProgramWriter().finish(PLAIN_LAYOUT))
    kernel.begin(program, { outputBytesMax: 10_000, rowsMax: 100 })
    const slot = sharedMemory(16_384)
    const run = (payload: Buffer, firstOffset: number) => {
      kernel.input.set(payload)
      return kernel.run({
        startByte: 0,
        endByte: payload.length,
        firstOffset,
        appendTimeMs: APPEND_TIME_MS
      })
    }
    t.equal(run(groupOf([entryOf({ log: 'small' })]), 1000), 'end')
    t.ok(kernel.takeOutput(slot, 0) > 0)
    t.equal(run(groupOf([entryOf({ log: 'y'.repeat(9900) })]), 1001), 'full')
    t.equal(kernel.resumeOffset, 1001)
  }
)
