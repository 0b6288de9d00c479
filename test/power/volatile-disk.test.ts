import t from 'tap'
import { VolatileDisk } from './volatile-disk.ts'

const SECTOR = 512
const disk = () => new VolatileDisk(Buffer.alloc(4 * SECTOR))
const filled = (value: number, sectors = 1) => Buffer.alloc(sectors * SECTOR, value)
const firstBytes = (of: VolatileDisk) =>
  [0, 1, 2, 3].map((sector) => of.read(sector * SECTOR, 1)[0])

t.test('what was flushed survives, what was not may be gone', async (t) => {
  const subject = disk()
  subject.write(0, filled(1), false)
  subject.flush()
  subject.write(SECTOR, filled(2), false)
  t.same(firstBytes(subject), [1, 2, 0, 0], 'the machine reads what it wrote')
  t.same(
    subject.cut(() => 0),
    { cachedSectors: 1, keptSectors: 0 }
  )
  t.same(firstBytes(subject), [1, 0, 0, 0])
})

t.test('sectors of one write survive each by itself', async (t) => {
  const subject = disk()
  subject.write(0, filled(1, 4), false)
  // First the share of this cut, then one number for each sector.
  const numbers = [0.5, 0.1, 0.9, 0.1, 0.9]
  t.same(
    subject.cut(() => numbers.shift() ?? 1),
    { cachedSectors: 4, keptSectors: 2 }
  )
  t.same(firstBytes(subject), [1, 0, 1, 0])
})

t.test('a forced write survives, and an older one does not come after it', async (t) => {
  const subject = disk()
  subject.write(0, filled(1, 2), false)
  subject.write(0, filled(2), true)
  const numbers = [1, 0, 0]
  subject.cut(() => numbers.shift() ?? 1)
  t.same(firstBytes(subject), [2, 1, 0, 0])
})

t.test('a cut may be bound to a number of writes', async (t) => {
  const subject = disk()
  let count = 0
  subject.afterWrites(2, () => count++)
  for (const value of [1, 2, 3]) subject.write(0, filled(value), false)
  t.equal(count, 1)
})
