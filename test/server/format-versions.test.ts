// A whole server that finds segments of other releases.

import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { logIdOf } from '../../src/core/position.ts'
import { parseSegmentName, segmentSalt } from '../../src/storage/format/segment-names.ts'
import { decodeMeta } from '../../src/storage/store/meta.ts'
import {
  counted,
  down,
  EXIT_IO,
  filesBelow,
  setUpKeyed,
  treeHash
} from '../support/keyed-router.ts'
import { xxh64 } from '../support/xxh64.ts'

t.setTimeout(180_000)

/** Changes a field of the newest segment's header and puts the right hash over it. */
function changeHeader(data: string, change: (bytes: Buffer) => void): void {
  const path = 'routes/app/shard-00'
  const name = readdirSync(join(data, path))
    .filter((file) => file.endsWith('.seg'))
    .toSorted()
    .at(-1)!
  const meta = decodeMeta(readFileSync(join(data, 'META')), xxh64)!
  const { epoch, firstOffset } = parseSegmentName(name)!
  const salt = segmentSalt(meta.secret, logIdOf(meta.uuid, path), epoch, firstOffset)
  const bytes = readFileSync(join(data, path, name))
  change(bytes)
  bytes.writeBigUInt64LE(xxh64([bytes.subarray(0, 56)], salt), 56)
  writeFileSync(join(data, path, name), bytes)
}

t.test('Q13 a later major or an unknown feature is refused, a later minor is read', async (t) => {
  const { data, post, refusal, search, start } = await setUpKeyed(t)
  search.plan(...Array.from({ length: 5000 }, () => down))
  let router = await start('')
  await post('app.a', [1, 2])
  await router.stop()
  for (const [name, change] of [
    ['major 2', (bytes: Buffer) => void bytes.writeUInt8(2, 4)],
    ['a feature', (bytes: Buffer) => void bytes.writeUInt16LE(4, 6)]
  ] as const) {
    const file = filesBelow(data)
      .filter((each) => each.endsWith('.seg'))
      .at(-1)!
    const original = readFileSync(file)
    changeHeader(data, change)
    const before = treeHash(data)
    t.equal(await refusal(''), EXIT_IO, name)
    t.equal(treeHash(data), before, name)
    writeFileSync(file, original)
  }
  changeHeader(data, (bytes) => void bytes.writeUInt8(9, 5))
  search.reset()
  router = await start('')
  t.match(await counted(router, { appended: 2, pending: 0 }), { delivered: 2 })
  t.equal(await router.stop(), 0)
})
