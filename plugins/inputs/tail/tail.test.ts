// The tail input over real files, with a clock that the tests move.

import fs from 'node:fs'
import t from 'tap'
import { TailPlace } from '../../../test/support/tail-host.ts'

t.test(
  'files that are there are read from their beginning, and what is added is read too',
  async (t) => {
    const place = new TailPlace(t)
    place.write('a.log', 'one\ntwo\n')
    const tail = await place.start(t)
    t.same(await tail.untilLines(2), ['one', 'two'])
    place.write('a.log', 'three\n')
    t.same(await tail.untilLines(3), ['one', 'two', 'three'])
    const [record] = tail.host.records()
    t.equal(record?.tag, `file.${place.file('a.log').slice(1).replaceAll('/', '.')}`)
    t.same(record?.record, { log: 'one' })
    t.equal(tail.counter('files_open'), 1)
    await tail.until('nothing is left to read', () => tail.counter('file_lag_bytes') === 0)
    t.equal(tail.counter('received_bytes'), 14)
  }
)

t.test(
  'a file that is renamed is read to its end, and the new one from its beginning',
  async (t) => {
    const place = new TailPlace(t)
    place.write('a.log', 'one\n')
    const tail = await place.start(t)
    await tail.untilLines(1)
    fs.renameSync(place.file('a.log'), place.file('a.log.1'))
    place.write('a.log.1', 'two\n')
    place.write('a.log', 'three\n')
    t.same((await tail.untilLines(3)).toSorted(), ['one', 'three', 'two'])
    await tail.until('the old file is closed', () => tail.counter('files_open') === 1)
    t.equal(tail.counter('file_rotations'), 1)
  }
)
