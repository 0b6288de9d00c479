import t from 'tap'
import { systemClock } from '../../src/core/clock.ts'
import { CURSOR_RANGES_MAX } from '../../src/core/limits.ts'
import type { DeadLetter } from '../../src/delivery/dead-letter-record.ts'
import { createFrameHash, type HashExports } from '../../src/kernel/frame-hash.ts'
import { instantiateKernel } from '../../src/kernel/instance.ts'
import { LetterLog } from '../../src/server/letter-log.ts'
import { scanLetters } from '../../src/server/letter-scan.ts'
import { openLetterShard, type StoreContext } from '../../src/server/open-shards.ts'
import { PayloadDecoder } from '../../src/storage/payload-decoder.ts'
import { nodeStorage } from '../../src/storage/storage.ts'

const MIB = 2 ** 20
const COUNT = 2 * CURSOR_RANGES_MAX + 1000

function open(dataDir: string): LetterLog {
  const store = { uuid: Buffer.alloc(16, 1), secret: Buffer.alloc(16, 2), keys: null }
  const hash = createFrameHash(instantiateKernel<HashExports>({ memoryBytes: MIB }))
  const log = { info: () => {}, warn: () => {}, error: () => {} }
  const decoder = new PayloadDecoder(store)
  const shared = { storage: nodeStorage, hash, clock: systemClock, store, decoder, log }
  const context = { ...shared, dataDir, onRoom: () => {} } as unknown as StoreContext
  // Of the settings of the store only these three are read.
  const queue = { dlqBytesMax: 64 * MIB, dlqOverflow: 'drop_oldest', segmentBytesMax: 64 * MIB }
  return new LetterLog({
    context,
    queue: queue as never,
    opened: openLetterShard(context, 'dlq/out.search', 0),
    isWritten: true,
    isClosedHere: true,
    signal: new AbortController().signal
  })
}

const letterOf = (offset: number): DeadLetter => ({
  tag: 'app',
  shard: 'routes/app/shard-00',
  logId: Buffer.alloc(8, 3),
  epoch: 7,
  source: new Uint8Array(),
  members: [{ offset, form: 1, appendTimeMs: 1, bytes: Uint8Array.from([0x92, 1, 0x80]) }],
  route: 'app',
  output: 'search',
  target: '',
  reason: 'mapping',
  step: '',
  status: 400,
  text: '',
  firstAttemptMs: 1,
  lastAttemptMs: 1,
  attempts: 1
})

async function numbersIn(letterLog: LetterLog): Promise<number[]> {
  const numbers: number[] = []
  for await (const found of scanLetters(letterLog, 0, letterLog.segments.endOffset)) {
    if (found.kind === 'letter') numbers.push(found.letter.members[0]?.offset ?? -1)
  }
  return numbers.sort((one, other) => one - other)
}

t.test(
  'every second letter leaves, more than a cursor has ranges for; the others stay, once',
  async (t) => {
    const folder = t.testdir()
    let letterLog = open(folder)
    await letterLog.write(Array.from({ length: COUNT }, (_, number) => letterOf(number)))
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

    letterLog = open(folder)
    t.same(await numbersIn(letterLog), odd, 'after a restart too')
    await letterLog.write([letterOf(1), letterOf(COUNT)])
    t.equal((await numbersIn(letterLog)).length, odd.length + 1, 'a letter is not written twice')
    await letterLog.close()
  }
)
