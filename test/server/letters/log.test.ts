// The log of dead letters of one output: what leaves it, what is dropped, what is moved, and that the counts say so.

import { cpSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { CURSOR_RANGES_MAX } from '../../../src/core/limits.ts'
import type { LetterLog } from '../../../src/server/letters/log.ts'
import { keptLetter, type StoredLetter, scanLetters } from '../../../src/server/letters/scan.ts'
import { logStatus } from '../../../src/server/letters/views.ts'
import { letterOf, lettersFrom, numbersIn, openLetterLog } from '../../support/stored-letters.ts'

const MIB = 2 ** 20
const COUNT = 2 * CURSOR_RANGES_MAX + 1000

t.test(
  'every second letter leaves, more than a cursor has ranges for; the others stay, once',
  async (t) => {
    const folder = t.testdir()
    let letterLog = openLetterLog(folder)
    await letterLog.write(lettersFrom(0, COUNT))
    const end = letterLog.segments.endOffset
    t.equal(end, COUNT)
    for (let offset = 0; offset < end; offset += 2) {
      if (offset % 1000 === 0) await letterLog.makeRoom(500)
      t.ok(letterLog.remove(offset, 'dropped:operator') || letterLog.gone.has(offset))
    }
    const odd = Array.from({ length: COUNT / 2 }, (_, at) => 2 * at + 1)
    t.same(await numbersIn(letterLog), odd)
    const { appended, dropped, isExact, moved, pending } = letterLog.account
    t.same([dropped, pending, isExact], [{ operator: COUNT / 2 }, COUNT / 2, true])
    t.ok(moved > 0, 'letters were moved together')
    t.equal(appended - moved, COUNT)
    await letterLog.close()

    letterLog = openLetterLog(folder)
    t.same(await numbersIn(letterLog), odd, 'after a restart too')
    await letterLog.write([letterOf(1), letterOf(COUNT)])
    t.equal((await numbersIn(letterLog)).length, odd.length + 1, 'a letter is not written twice')
    await letterLog.close()
  }
)

t.test('bytes of a letter last until the next frame; a kept letter has its own', async (t) => {
  const letterLog = openLetterLog(t.testdir())
  await letterLog.write(lettersFrom(0, 1))
  await letterLog.write(lettersFrom(2, 1))
  const shown: StoredLetter[] = []
  const kept: StoredLetter[] = []
  const all: StoredLetter['letter'][] = []
  for await (const found of scanLetters(letterLog, 0, letterLog.segments.endOffset)) {
    if (found.kind === 'hole') continue
    shown.push(found)
    kept.push(keptLetter(found))
    all.push(letterOf(2 * all.length))
  }
  const textOf = (stored: StoredLetter | undefined) =>
    Buffer.from(stored?.letter.members[0]?.bytes ?? []).toString('latin1', 12)
  t.same(kept.map(textOf), ['0 ', '2 '])
  t.same(
    kept.map(({ letter }) => [...letter.logId]),
    all.map(({ logId }) => [...logId])
  )
  t.same(shown.map(textOf), ['2 ', '2 '], 'one frame in memory, whatever the log holds')
  await letterLog.close()
})

/** What lists and metrics say of a log; everything that was written has a place in it. */
function countsOf({ account, log, shardLog }: LetterLog) {
  return logStatus(log, [{ account, bytes: shardLog.heldBytes }])
}

const total = (counts: Readonly<Record<string, number>>): number =>
  Object.values(counts).reduce((sum, count) => sum + count, 0)

t.test(
  'drop_oldest: what was written is kept, removed by reason or lost, over flights, a kill and damage',
  async (t) => {
    const FLIGHTS = 4
    const EACH = 100
    const PADDING = 20_000
    const settings = { dlqBytesMax: 4 * MIB, segmentBytesMax: MIB }
    const folder = t.testdir()
    const first = openLetterLog(join(folder, 'one'), settings)
    const isExact = async (letterLog: LetterLog, written: number) => {
      const counts = countsOf(letterLog)
      const numbers = await numbersIn(letterLog)
      t.ok(letterLog.account.isExact, 'counts are those of the ranges')
      t.equal(numbers.length, counts.records, 'records are those that can be read')
      t.equal(new Set(numbers).size, numbers.length, 'each once')
      t.equal(counts.written, written)
      t.equal(counts.records + total(counts.removed) + total(counts.lost), written)
      return { ...counts, numbers }
    }
    // Lanes of several shards refuse at once, while housekeeping makes room.
    const flights = Array.from({ length: FLIGHTS }, async (_, flight) => {
      for (let at = 0; at < EACH; at += 20) {
        await first.write(lettersFrom(flight * EACH + at, 20, PADDING))
        await first.shardLog.dropOldestWhile(() => first.shardLog.heldBytes > settings.dlqBytesMax)
      }
    })
    await Promise.all(flights)
    await first.shardLog.dropOldestWhile(() => first.shardLog.heldBytes > settings.dlqBytesMax)
    let written = FLIGHTS * EACH
    const dropped = await isExact(first, written)
    t.same(Object.keys(dropped.removed), ['overflow_oldest'])
    t.ok(total(dropped.removed) > 100, `${total(dropped.removed)} letters were dropped`)
    t.ok(dropped.bytes <= settings.dlqBytesMax + MIB, `${dropped.bytes} bytes are held`)

    // Some leave by a replay and a purge, here and there; then the process is killed.
    const kept: number[] = []
    for await (const found of scanLetters(first, 0, first.segments.endOffset)) {
      if (found.kind === 'letter') kept.push(found.offset)
    }
    for (const offset of kept.slice(0, 10)) first.remove(offset, 'delivered')
    for (const offset of kept.slice(20, 40)) first.remove(offset, 'dropped:operator')
    await first.shardLog.settle()
    const left = await isExact(first, written)
    t.match(left.removed, { replayed: 10, operator: 20, ...dropped.removed })
    cpSync(join(folder, 'one'), join(folder, 'two'), { recursive: true })
    await first.close()

    const second = openLetterLog(join(folder, 'two'), settings)
    t.same(await isExact(second, written), left, 'the counts of before the kill')
    // Refused once more, since their own cursor was behind: those have a letter.
    await second.write([...left.numbers.slice(-5)].map((number) => letterOf(number, PADDING)))
    await second.write(lettersFrom(1000, 200, PADDING))
    written += 200
    await second.shardLog.dropOldestWhile(() => second.shardLog.heldBytes > settings.dlqBytesMax)
    const more = await isExact(second, written)
    t.ok(Number(more.removed['overflow_oldest']) > total(dropped.removed), 'across the restart')
    await second.close()

    const shard = join(folder, 'two/dlq/out.search/shard-00')
    const segment = readdirSync(shard)
      .filter((name) => name.endsWith('.seg'))
      .toSorted()[1]!
    const bytes = readFileSync(join(shard, segment))
    const at = bytes.length >> 1
    bytes[at] = (bytes[at] ?? 0) ^ 1
    writeFileSync(join(shard, segment), bytes)
    const third = openLetterLog(join(folder, 'two'), settings)
    t.match(countsOf(third), { lost: {}, written }, 'damage that nobody has passed is pending')
    for await (const found of scanLetters(third, 0, third.segments.endOffset)) {
      if (found.kind === 'hole') third.passHole(found)
    }
    const damaged = await isExact(third, written)
    const lost = more.numbers.filter((number) => !damaged.numbers.includes(number))
    t.ok(lost.length > 0, 'a frame is gone')
    t.same(damaged.lost, { corrupt: lost.length })
    t.same(damaged.removed, more.removed)
    await third.close()
  }
)
