// Logs of dead letters on the real disk, without a server: what main writes of an output, and data directories that the
// commands read.

import { systemClock } from '../../src/core/clock.ts'
import type { DeadLetter } from '../../src/delivery/dead-letter-record.ts'
import { createFrameHash, type HashExports } from '../../src/kernel/frame-hash.ts'
import { instantiateKernel } from '../../src/kernel/instance.ts'
import { LetterLog } from '../../src/server/letters/log.ts'
import { scanLetters } from '../../src/server/letters/scan.ts'
import { openLetterShard, type StoreContext } from '../../src/server/store/open-shards.ts'
import { PayloadDecoder } from '../../src/storage/format/payload-decoder.ts'
import { nodeStorage } from '../../src/storage/storage.ts'
import { openMeta } from '../../src/storage/store/meta.ts'

const MIB = 2 ** 20

export interface LetterLogSettings {
  readonly dlqBytesMax: number
  readonly dlqOverflow: 'drop_oldest' | 'block'
  readonly segmentBytesMax: number
}

/** The log `out.search` of a data directory, which is made when it is not there. */
export function openLetterLog(
  dataDir: string,
  settings: Partial<LetterLogSettings> = {}
): LetterLog {
  const hash = createFrameHash(instantiateKernel<HashExports>({ memoryBytes: MIB }))
  const { meta } = openMeta(nodeStorage, dataDir, hash, Date.now())
  const store = { uuid: meta.uuid, secret: meta.secret, keys: null }
  const log = { info: () => {}, warn: () => {}, error: () => {} }
  const decoder = new PayloadDecoder(store)
  const shared = { storage: nodeStorage, hash, clock: systemClock, store, decoder, log }
  const context = { ...shared, dataDir, onRoom: () => {} } as unknown as StoreContext
  const defaults: LetterLogSettings = {
    dlqBytesMax: 64 * MIB,
    dlqOverflow: 'drop_oldest',
    segmentBytesMax: 64 * MIB
  }
  return new LetterLog({
    context,
    // Of the settings of the store only these three are read.
    queue: { ...defaults, ...settings } as never,
    opened: openLetterShard(context, 'dlq/out.search', 0),
    isWritten: true,
    isClosedHere: true,
    signal: new AbortController().signal
  })
}

/** `[1, {"log": "<number> xxx"}]`, refused by the destination. */
export function letterOf(number: number, paddingBytes = 0): DeadLetter {
  const text = Buffer.from(`${number} ${'x'.repeat(paddingBytes)}`)
  const head = Buffer.from('920181a36c6f67db00000000', 'hex')
  head.writeUInt32BE(text.length, head.length - 4)
  return {
    tag: 'app',
    shard: 'routes/app/shard-00',
    logId: Buffer.alloc(8, 3),
    epoch: 7,
    source: new Uint8Array(),
    members: [{ offset: number, form: 1, appendTimeMs: 1, bytes: Buffer.concat([head, text]) }],
    route: 'app',
    output: 'search',
    target: '',
    reason: number % 2 === 0 ? 'mapping' : 'too_large',
    step: '',
    status: 400,
    text: '',
    firstAttemptMs: 1,
    lastAttemptMs: 1,
    attempts: 1
  }
}

export const lettersFrom = (first: number, count: number, paddingBytes = 0): DeadLetter[] =>
  Array.from({ length: count }, (_, at) => letterOf(first + at, paddingBytes))

/** Numbers of the letters that a log still has, ascending. */
export async function numbersIn(letterLog: LetterLog): Promise<number[]> {
  const numbers: number[] = []
  for await (const found of scanLetters(letterLog, 0, letterLog.segments.endOffset)) {
    if (found.kind === 'letter') numbers.push(found.letter.members[0]?.offset ?? -1)
  }
  return numbers.sort((one, other) => one - other)
}
