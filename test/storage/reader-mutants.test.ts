// The tests of readers are tested: each of these changes to a reader must make them fail. The sources are copied, one line
// of the copy is changed, and the tests run on it. A line that is not found any more fails too, so that the list stays true.

import { execFile } from 'node:child_process'
import { cpSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'

const ROOT = join(import.meta.dirname, '../..')
const FUZZ = 'test/storage/fuzz.test.ts'
const CODEC = 'test/storage/payload-codec.test.ts'
const LETTERS = 'test/delivery/dead-letter-record.test.ts'
const RECOVERY = 'test/storage/recovery/recovery.test.ts'

interface Mutant {
  readonly name: string
  readonly file: string
  readonly from: string
  readonly to: string
  /** Tests that must notice. */
  readonly test: string
  /** Only this reader of the fuzzed ones. */
  readonly reader?: string
}

const MUTANTS: readonly Mutant[] = [
  {
    name: 'the hash of a payload is not checked',
    file: 'src/storage/format/frame.ts',
    from: 'payload.length === header.storedBytes && hash([payload], salt) === header.payloadHash',
    to: 'payload.length === header.storedBytes',
    test: FUZZ,
    reader: 'segments of a shard'
  },
  {
    name: 'recovery and scrub do not check the hash of a payload',
    file: 'src/storage/reader/segment-scan.ts',
    from: "if (hash([stored], this.#segment.salt) !== header.payloadHash) return 'damaged'",
    to: '',
    test: FUZZ,
    reader: 'scrub'
  },
  {
    name: 'the hash of a frame header is not checked',
    file: 'src/storage/format/frame.ts',
    from: 'if (hash([covered], salt) !== bytes.readBigUInt64LE(atByte + FRAME.hash)) return null',
    to: '',
    test: FUZZ,
    reader: 'frame headers of any bytes'
  },
  {
    name: 'a frame may begin before the offset that is expected',
    file: 'src/storage/reader/frame-search.ts',
    from: 'header.firstOffset < expectedOffset',
    to: 'false',
    test: FUZZ,
    reader: 'segments of a shard'
  },
  {
    name: 'a hole behind the last frame is not counted',
    file: 'src/storage/reader/shard-reader.ts',
    from: 'if (isMissing) this.#passHole(segment.endOffset)',
    to: 'if (isMissing) this.#offset = segment.endOffset',
    test: FUZZ,
    reader: 'segments of a shard'
  },
  {
    name: 'groups may reach beyond their payload',
    file: 'src/storage/format/frame.ts',
    from: 'if (end > payload.length || sourceEnd > end || recordCount === 0) return null',
    to: 'if (recordCount === 0) return null',
    test: FUZZ,
    reader: 'groups, entries'
  },
  {
    name: 'the raw length is believed',
    file: 'src/storage/format/payload-decoder.ts',
    from: "payload === null || payload.length !== header.rawBytes ? 'damaged' : payload",
    to: "payload === null ? 'damaged' : payload",
    test: FUZZ,
    reader: 'payloads of any bytes'
  },
  {
    name: 'a raw length above the frame cap is believed',
    file: 'src/storage/format/payload-decoder.ts',
    from: "if (header.rawBytes > FRAME_PAYLOAD_BYTES_MAX) return 'damaged'",
    to: '',
    test: FUZZ,
    reader: 'payloads of any bytes'
  },
  {
    name: 'zstd output has no bound',
    file: 'src/storage/format/payload-decoder.ts',
    from: 'maxOutputLength: rawBytes,',
    to: '',
    test: CODEC
  },
  {
    name: 'the header is not authenticated with the payload',
    file: 'src/storage/format/payload-decoder.ts',
    from: 'decipher.setAAD(frameFactsOf(header))',
    to: 'decipher.setAAD(Buffer.alloc(48))',
    test: CODEC
  },
  {
    name: 'the key of a segment does not depend on its place',
    file: 'src/storage/format/store-keys.ts',
    from: 'Buffer.concat([INFO, place.logId, tail])',
    to: 'INFO',
    test: CODEC
  },
  {
    name: 'what needs a key that is not here counts as damage',
    file: 'src/storage/reader/shard-reader.ts',
    from: 'if (!this.#segments.isOpen(segment, found)) return null',
    to: '',
    test: CODEC
  },
  {
    name: 'a wrong key counts as damage',
    file: 'src/storage/reader/shard-segments.ts',
    from: "const isOpen = this.decoder.decode(stored, header, walked) !== 'mismatch'",
    to: 'const isOpen = true',
    test: CODEC
  },
  {
    name: 'the hash of a cursor is not checked',
    file: 'src/storage/cursor/slot.ts',
    from: 'if (hash([used], salt) !== slot.readBigUInt64LE(usedBytes)) return null',
    to: '',
    test: FUZZ,
    reader: 'cursor slots of any bytes'
  },
  {
    name: 'the used length of a cursor is believed',
    file: 'src/storage/cursor/slot.ts',
    from: 'usedBytes < CURSOR_SLOT.headerBytes || usedBytes + HASH_BYTES > slot.length',
    to: 'false',
    test: FUZZ,
    reader: 'cursor slots of any bytes'
  },
  {
    name: 'the hash of META is not checked',
    file: 'src/storage/store/meta.ts',
    from: 'if (hash([bytes.subarray(0, AT.hash)], 0n) !== bytes.readBigUInt64LE(AT.hash)) return null',
    to: '',
    test: FUZZ,
    reader: 'META'
  },
  {
    name: 'the scrub tells no damaged payload',
    file: 'src/storage/recovery/segment-scrub.ts',
    from: "if (payloads.groups(found, hash) === 'damaged') addHole(endOffset, endByte)",
    to: '',
    test: FUZZ,
    reader: 'scrub'
  },
  {
    name: 'members of a dead letter are believed to be lists',
    file: 'src/delivery/dead-letter-record.ts',
    from: '!members.every(Array.isArray)',
    to: 'false',
    test: LETTERS
  },
  {
    name: 'damage within an acked message takes the parts before it',
    file: 'src/storage/reader/segment-scan.ts',
    from: 'cuts.find(isLast) ?? null',
    to: 'cuts[0] ?? null',
    test: RECOVERY
  },
  {
    name: 'an entry may end beyond its bytes',
    file: 'src/core/msgpack-skip.ts',
    from: 'if (place + open > bytes.length) return -1',
    to: '',
    test: FUZZ,
    reader: 'entries and messages'
  }
]

/** A reader that hangs is caught too. */
const CHILD_MS_MAX = 60_000
/** Half of the mutants at a time, each half in a copy of its own. */
const COPIES = 2

t.setTimeout(600_000)

function copyTree(to: string): string {
  const tests = ['test/support', 'test/storage', 'test/fixtures/formats', 'test/fixtures/fuzz']
  for (const part of ['src', 'plugins', ...tests, LETTERS, 'package.json']) {
    cpSync(join(ROOT, part), join(to, part), { recursive: true })
  }
  symlinkSync(join(ROOT, 'node_modules'), join(to, 'node_modules'))
  return to
}

/** Whether the tests of the copy pass. */
function passes(copy: string, { reader = '', test }: Pick<Mutant, 'reader' | 'test'>) {
  const env = { ...process.env, NODE_OPTIONS: '', MILLRACE_FUZZ_READER: reader }
  return promisify(execFile)(process.execPath, [join(copy, test)], {
    env,
    timeout: CHILD_MS_MAX
  }).then(
    () => true,
    () => false
  )
}

t.test('each mutant of a reader is caught', async (t) => {
  const folder = t.testdir()
  const asItIs = [
    [{ test: FUZZ, reader: 'META' }, { test: LETTERS }],
    [{ test: CODEC }, { test: RECOVERY }]
  ]
  await Promise.all(
    Array.from({ length: COPIES }, async (_, half) => {
      const copy = copyTree(join(folder, `copy-${half}`))
      for (const test of asItIs[half] ?? []) t.ok(await passes(copy, test), `${test.test} as it is`)
      for (const mutant of MUTANTS.filter((_, n) => n % COPIES === half)) {
        const { file, from, name, to } = mutant
        const target = join(copy, file)
        const source = readFileSync(target, 'utf8')
        t.ok(source.includes(from), `${file} has: ${from}`)
        writeFileSync(target, source.replace(from, to))
        t.notOk(await passes(copy, mutant), name)
        writeFileSync(target, source)
      }
    })
  )
})
