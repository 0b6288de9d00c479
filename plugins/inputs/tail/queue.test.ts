// What the queue says to the tail input: full, given back, stored before a kill. Real files, a clock that the tests move.

import fs from 'node:fs'
import path from 'node:path'
import t, { type Test } from 'tap'
import { WORD } from '../../../src/threads/shared.ts'
import { type TailHost, TailPlace } from '../../../test/support/tail-host.ts'

const MORE = [{ id: 'all', goesOn: true }, { id: 'more' }] as const

t.test(
  'a full queue makes the file wait, the lag is visible, and nothing is lost or doubled',
  async (t) => {
    const place = new TailPlace(t)
    const tail = await place.start(t)
    const words = tail.host.words('routes/all')
    words[WORD.isFull] = 1n
    place.write('a.log', 'one\ntwo\n')
    await tail.until('the file waits', () => tail.counter('input_paused_total/room') > 0)
    place.write('a.log', 'three\n')
    await tail.pass(6000)
    t.equal(tail.host.recordCount(), 0)
    t.ok(tail.counter('file_lag_bytes') >= 8)
    words[WORD.isFull] = 0n
    t.same(await tail.untilLines(3), ['one', 'two', 'three'])
  }
)

t.test('a file that was truncated while it waited for room begins anew', async (t) => {
  const place = new TailPlace(t)
  const tail = await place.start(t)
  const words = tail.host.words('routes/all')
  words[WORD.isFull] = 1n
  place.write('a.log', 'one\ntwo\n')
  await tail.until('the file waits', () => tail.counter('input_paused_total/room') > 0)
  fs.writeFileSync(place.file('a.log'), 'new\n')
  words[WORD.isFull] = 0n
  t.same(await tail.untilLines(1), ['new'])
  t.equal(tail.counter('truncated_bytes'), 8)
})

t.test('a route that gives a chunk back gets it again, and the other route does not', async (t) => {
  const place = new TailPlace(t)
  const routes = [MORE[0], { ...MORE[1], overflow: 'drop_newest' as const }]
  const tail = await place.start(t, {}, { routes })
  const words = tail.host.words('routes/more')
  words[WORD.isFull] = 1n
  place.write('a.log', 'one\n')
  await tail.until('it was given back twice', () => tail.counter('file_retries') >= 2)
  place.write('a.log', 'two\n')
  words[WORD.isFull] = 0n
  await tail.until('both have both', () => tail.host.recordCount('routes/more') === 2)
  t.same(tail.lines('routes/more'), ['one', 'two'])
  t.same(tail.lines(), ['one', 'two'])
})

/** Chunk ids of a log as recovery hands them over. */
function idsOf(tail: TailHost, log = 'routes/all'): string[] {
  return tail.host
    .groups(log)
    .map(({ tag, ingestId }) => `${tag}\0${ingestId?.toString('latin1') ?? ''}`)
}

/** A life that was killed: the positions of its middle, and chunks behind them. */
async function killedLife(
  t: Test,
  place: TailPlace,
  routes?: readonly object[]
): Promise<TailHost> {
  const hostOptions = routes === undefined ? {} : { routes }
  const tail = await place.start(t, {}, hostOptions)
  place.write('a.log', 'one\n')
  await tail.untilLines(1)
  const file = path.join(place.data, 'inputs/files/positions')
  await tail.until('positions are written', () => /"position":4,/.test(textOf(file)))
  const kept = fs.readFileSync(file)
  for (const [i, line] of ['two', 'three', 'four'].entries()) {
    place.write('a.log', `${line}\n${line} again\n`)
    await tail.untilLines(3 + 2 * i)
  }
  await tail.stop()
  fs.writeFileSync(file, kept)
  return tail
}

const textOf = (file: string): string => {
  try {
    return fs.readFileSync(file, 'utf8')
  } catch {
    return ''
  }
}

t.test(
  'what was stored before a kill and is behind the written position is not stored twice',
  async (t) => {
    const place = new TailPlace(t)
    const before = await killedLife(t, place)
    place.write('a.log', 'five\n')
    const tail = await place.start(t, {}, { recoveredIngestIds: idsOf(before) })
    await tail.until('five is stored', () => tail.lines().includes('five'))
    t.same(tail.lines(), [
      'one',
      ...['two', 'three', 'four'].flatMap((line) => [line, `${line} again`]),
      'five'
    ])
    t.equal(tail.counter('recognised_chunks'), 3)
  }
)

t.test('a file that the first positions do not have yet is recognised too', async (t) => {
  const place = new TailPlace(t)
  const before = await killedLife(t, place)
  fs.rmSync(path.join(place.data, 'inputs'), { recursive: true })
  place.write('a.log', 'five\n')
  const tail = await place.start(t, {}, { recoveredIngestIds: idsOf(before) })
  await tail.until('five is stored', () => tail.lines().includes('five'))
  t.equal(tail.host.recordCount(), 8)
})

t.test('a file that the first search of a start misses is recognised too', async (t) => {
  const place = new TailPlace(t)
  const before = await killedLife(t, place)
  place.write('a.log', 'five\n')
  fs.renameSync(place.file('a.log'), place.file('hidden'))
  const tail = await place.start(t, {}, { recoveredIngestIds: idsOf(before) })
  fs.renameSync(place.file('hidden'), place.file('a.log'))
  await tail.until('five is stored', () => tail.lines().includes('five'))
  t.equal(tail.host.recordCount(), 8)
})

t.test('a chunk that only one of two routes has is stored in the other', async (t) => {
  const place = new TailPlace(t)
  const before = await killedLife(t, place, MORE)
  const ids = idsOf(before)
  const recoveredIngestIds = { 'routes/all': ids, 'routes/more': ids.slice(0, 2) }
  const tail = await place.start(t, {}, { routes: MORE, recoveredIngestIds })
  await tail.until('the other has them', () => tail.host.recordCount('routes/more') === 7 + 4)
  await tail.untilLines(7)
  t.equal(tail.host.recordCount(), 7)
  t.same(tail.lines('routes/more').slice(7), ['three', 'three again', 'four', 'four again'])
})

t.test('other text in the place of a stored chunk is stored', async (t) => {
  const place = new TailPlace(t)
  const before = await killedLife(t, place)
  // As long as before, in the same inode.
  const text = fs.readFileSync(place.file('a.log'), 'utf8')
  fs.writeFileSync(place.file('a.log'), text.toUpperCase())
  const tail = await place.start(t, {}, { recoveredIngestIds: idsOf(before) })
  await tail.untilLines(14)
  t.same(
    tail.lines().slice(7),
    tail
      .lines()
      .slice(0, 7)
      .map((line) => line.toUpperCase())
  )
})

t.test('without ids a kill doubles what is behind the written position, and no more', async (t) => {
  const place = new TailPlace(t)
  await killedLife(t, place)
  const tail = await place.start(t)
  await tail.untilLines(7 + 6)
  t.equal(tail.lines().filter((line) => line === 'one').length, 1)
  t.equal(tail.lines().filter((line) => line === 'four').length, 2)
})
