// The tail input over real files, with a clock that the tests move.

import fs from 'node:fs'
import path from 'node:path'
import t from 'tap'
import { TAIL_DEFAULTS, TailPlace } from '../../../test/support/tail-host.ts'
import definition from './index.ts'

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

t.test('a renamed file that the pattern takes too stays the same file, with its tag', async (t) => {
  const place = new TailPlace(t)
  place.write('a.log', 'one\n')
  const tail = await place.start(t, { paths: [place.file('a.log*')], path_key: 'file' })
  await tail.untilLines(1)
  fs.renameSync(place.file('a.log'), place.file('a.log.1'))
  place.write('a.log.1', 'two\n')
  await tail.untilLines(2)
  await tail.pass(20_000)
  place.write('a.log.1', 'three\n')
  t.same(await tail.untilLines(3), ['one', 'two', 'three'], 'it is opened again where it ended')
  const tags = new Set(tail.host.records().map(({ tag }) => tag))
  t.same([...tags], [`file.${place.file('a.log').slice(1).replaceAll('/', '.')}`])
  t.same(tail.host.records()[2]?.record, { file: place.file('a.log'), log: 'three' })
})

t.test('a last line without an end is stored when its file was renamed and rests', async (t) => {
  const place = new TailPlace(t)
  place.write('a.log', 'one\nbegun')
  const tail = await place.start(t)
  await tail.untilLines(1, 5)
  await tail.pass(20_000)
  t.equal(tail.host.recordCount(), 1, 'the line may go on')
  fs.renameSync(place.file('a.log'), place.file('a.old'))
  t.same(await tail.untilLines(2), ['one', 'begun'])
  await tail.until('it is closed', () => tail.counter('files_open') === 0)
})

t.test('a deleted file is read to its end, with its last line', async (t) => {
  const place = new TailPlace(t)
  place.write('a.log', 'one\n')
  const tail = await place.start(t)
  await tail.untilLines(1)
  const writer = fs.openSync(place.file('a.log'), 'a')
  fs.unlinkSync(place.file('a.log'))
  fs.writeSync(writer, 'two\nend')
  fs.closeSync(writer)
  t.same(await tail.untilLines(3), ['one', 'two', 'end'])
  await tail.until('it is closed', () => tail.counter('files_open') === 0)
  await tail.stop()
  t.notMatch(positionsOf(place), /a\.log/, 'nothing is remembered of it')
})

t.test('a truncated file is read from its beginning, and nothing is read twice', async (t) => {
  const place = new TailPlace(t)
  place.write('a.log', 'one\ntwo\n')
  const tail = await place.start(t)
  await tail.untilLines(2)
  fs.truncateSync(place.file('a.log'))
  await tail.until('it is noticed', () => tail.counter('file_truncations') === 1)
  place.write('a.log', 'three\n')
  t.same(await tail.untilLines(3), ['one', 'two', 'three'])
  t.equal(tail.counter('truncated_bytes'), 0)
})

t.test(
  'a file that was truncated and grew beyond its position is known by its first bytes',
  async (t) => {
    const place = new TailPlace(t)
    place.write('a.log', 'one\ntwo\nbeg')
    const tail = await place.start(t)
    await tail.untilLines(2, 3)
    fs.writeFileSync(place.file('a.log'), 'THREE\nFOUR\nFIVE\n')
    t.same(await tail.untilLines(5), ['one', 'two', 'THREE', 'FOUR', 'FIVE'])
    t.equal(tail.counter('file_truncations'), 1)
    t.equal(tail.counter('truncated_bytes'), 3)
  }
)

t.test('a stop keeps the position, and the next start goes on behind it', async (t) => {
  const place = new TailPlace(t)
  place.write('a.log', 'one\nbeg')
  const first = await place.start(t)
  await first.untilLines(1, 3)
  await first.stop()
  place.write('a.log', 'un\ntwo\n')
  place.write('b.log', 'other\n')
  const second = await place.start(t)
  await second.untilLines(4)
  t.same(second.lines().toSorted(), ['begun', 'one', 'other', 'two'])
})

t.test('a file that was renamed while the server was down is read to its end', async (t) => {
  const place = new TailPlace(t)
  const paths = [place.file('a.log*')]
  place.write('a.log', 'one\n')
  const first = await place.start(t, { paths })
  await first.untilLines(1)
  await first.stop()
  place.write('a.log', 'two\n')
  fs.renameSync(place.file('a.log'), place.file('a.log.1'))
  place.write('a.log', 'three\n')
  const second = await place.start(t, { paths })
  await second.untilLines(3)
  t.same(second.lines().toSorted(), ['one', 'three', 'two'])
})

t.test(
  'a file that was replaced while the server was down is read from its beginning',
  async (t) => {
    const place = new TailPlace(t)
    place.write('a.log', 'one\ntwo\n')
    const first = await place.start(t)
    await first.untilLines(2)
    await first.stop()
    // Whether it gets the inode of the old one is up to the file system; the other one is sure to keep it.
    fs.unlinkSync(place.file('a.log'))
    place.write('a.log', 'new\n')
    const second = await place.start(t)
    t.same(await second.untilLines(3), ['one', 'two', 'new'])
  }
)

t.test(
  'a file written anew in its inode while the server was down is read from its beginning',
  async (t) => {
    const place = new TailPlace(t)
    place.write('a.log', 'one\ntwo\n')
    const first = await place.start(t)
    await first.untilLines(2)
    await first.stop()
    fs.writeFileSync(place.file('a.log'), 'longer than before\nlast\n')
    const second = await place.start(t)
    t.same(await second.untilLines(4), ['one', 'two', 'longer than before', 'last'])
  }
)

t.test(
  'an inode that is used again under another name is another file with its own tag',
  async (t) => {
    const place = new TailPlace(t)
    place.write('a.log', 'one\ntwo\nthree\n')
    const first = await place.start(t)
    await first.untilLines(3)
    await first.stop()
    // The same inode under another name with other bytes, as a new file in a used inode has.
    fs.renameSync(place.file('a.log'), place.file('b.log'))
    fs.writeFileSync(place.file('b.log'), 'x\n')
    const second = await place.start(t)
    await second.untilLines(4)
    t.match(second.host.records()[3]?.tag, /b\.log$/)
  }
)

t.test(
  'of files that are there at the first start only what is new is read with start_at: end',
  async (t) => {
    const place = new TailPlace(t)
    place.write('a.log', 'one\ntwo\nbeg')
    const first = await place.start(t, { start_at: 'end' })
    place.write('a.log', 'un\n')
    place.write('b.log', 'other\n')
    await first.untilLines(2)
    t.same(first.lines().toSorted(), ['begun', 'other'], 'the line that is being written is whole')
    await first.stop()
    place.write('c.log', 'while down\n')
    const second = await place.start(t, { start_at: 'end' })
    await second.untilLines(3)
    t.equal(second.lines()[2], 'while down', 'a file that came between two starts is read whole')
  }
)

t.test('symbolic links are followed, also when they lead to a new file', async (t) => {
  const place = new TailPlace(t)
  place.write('pods/0.txt', 'one\n')
  fs.symlinkSync(place.file('pods/0.txt'), place.file('web.log'))
  const tail = await place.start(t)
  await tail.untilLines(1)
  fs.renameSync(place.file('pods/0.txt'), place.file('pods/0.txt.1'))
  place.write('pods/0.txt.1', 'two\n')
  place.write('pods/0.txt', 'three\n')
  await tail.untilLines(3)
  t.same(tail.lines().toSorted(), ['one', 'three', 'two'])
  t.match(tail.host.records()[0]?.tag, /web\.log$/)
})

t.test('two names of one file are one file', async (t) => {
  const place = new TailPlace(t)
  place.write('a.log', 'one\n')
  fs.linkSync(place.file('a.log'), place.file('b.log'))
  fs.symlinkSync(place.file('a.log'), place.file('c.log'))
  const tail = await place.start(t)
  await tail.pass(11_000)
  t.same(tail.lines(), ['one'])
  t.equal(tail.counter('files_open'), 1)
})

t.test(
  'compressed files and what exclude names are left out, and directories and pipes are no files',
  async (t) => {
    const place = new TailPlace(t)
    place.write('a.log', 'one\n')
    place.write('a.log.gz', 'no\n')
    place.write('b.log', 'no\n')
    place.write('deep/c.log', 'no\n')
    fs.mkdirSync(place.file('d.log'))
    const tail = await place.start(t, {
      paths: [path.join(place.logs, '**/*.log*')],
      exclude: ['*.gz', 'b.*', path.join(place.logs, 'deep/*')]
    })
    await tail.pass(6000)
    t.same(tail.lines(), ['one'])
  }
)

t.test('a line that comes in parts is stored once it is whole', async (t) => {
  const place = new TailPlace(t)
  const tail = await place.start(t)
  const parts = Array.from({ length: 40 }, (_, i) => String(i).padStart(9000, '-'))
  for (const part of parts) {
    place.write('a.log', part)
    await tail.pass(1000)
  }
  t.equal(tail.host.recordCount(), 0)
  place.write('a.log', '\nnext\n')
  t.same(await tail.untilLines(2), [parts.join(''), 'next'])
})

t.test(
  'a line over the limit goes on in the next record, whether its end is there or not',
  async (t) => {
    const place = new TailPlace(t)
    const tail = await place.start(t, { max_line_bytes: 1024 })
    place.write('a.log', 'x'.repeat(2500))
    t.same(
      (await tail.untilLines(2, 452)).map((line) => line.length),
      [1024, 1024]
    )
    place.write('a.log', '\n')
    t.same(
      (await tail.untilLines(3)).map((line) => line.length),
      [1024, 1024, 452]
    )
    t.equal(tail.counter('cut_lines'), 2)
  }
)

t.test(
  'lines of CRI bring their time and stream, and a line of another form is stored and counted',
  async (t) => {
    const place = new TailPlace(t)
    place.write('a.log', '2026-11-20T10:00:00.5Z stderr F hello\nno such line\n')
    const tail = await place.start(t, { format: 'cri' })
    await tail.untilLines(2)
    const [first, second] = tail.host.records()
    t.match(first?.record, { log: 'hello', stream: 'stderr' })
    t.match(second?.record, { log: 'no such line' })
    t.equal(tail.counter('unread_lines'), 1)
  }
)

t.test(
  'files are not opened when they are too old, and closed when they rest; what comes later is read',
  async (t) => {
    const place = new TailPlace(t)
    place.write('old.log', 'one\n')
    place.write('new.log', 'two\n')
    const hourAgo = place.clock.nowMs() / 1000 - 3600
    fs.utimesSync(place.file('old.log'), hourAgo, hourAgo)
    const tail = await place.start(t, { ignore_older: 600_000 })
    t.same(await tail.untilLines(1), ['two'])
    await tail.pass(620_000)
    t.equal(tail.counter('files_open'), 0)
    const nowSeconds = place.clock.nowMs() / 1000
    for (const name of ['old.log', 'new.log']) {
      place.write(name, 'more\n')
      fs.utimesSync(place.file(name), nowSeconds, nowSeconds)
    }
    t.same(await tail.untilLines(3), ['two', 'more', 'more'], 'old lines stay unread')
  }
)

t.test(
  'a file that cannot be read is logged once with the remedy, and read when it can be',
  async (t) => {
    const place = new TailPlace(t)
    fs.symlinkSync(place.file('a.log'), place.file('a.log'))
    const tail = await place.start(t)
    await tail.pass(20_000)
    t.equal(tail.counter('files_unreadable'), 1)
    t.same(tail.host.warnings, ['a file cannot be read'])
    const [line] = tail.host.messages.filter(({ kind }) => kind === 'log')
    t.match(line, { fields: { path: place.file('a.log'), hint: /circle/ } })
    fs.unlinkSync(place.file('a.log'))
    place.write('a.log', 'one\n')
    t.same(await tail.untilLines(1), ['one'])
    await tail.until('it is readable', () => tail.counter('files_unreadable') === 0)
  }
)

t.test(
  'positions that cannot be read are said, and everything is read from the beginning',
  async (t) => {
    const place = new TailPlace(t)
    place.write('a.log', 'one\n')
    fs.mkdirSync(path.join(place.data, 'inputs/files'), { recursive: true })
    fs.writeFileSync(path.join(place.data, 'inputs/files/positions'), '{"version":1,"fi')
    const tail = await place.start(t, { start_at: 'end' })
    t.same(await tail.untilLines(1), ['one'])
    t.match(tail.host.warnings, [
      'the positions of followed files cannot be read: all files are read from the beginning'
    ])
  }
)

t.test('only one ingest thread has the input', async (t) => {
  const place = new TailPlace(t)
  place.write('a.log', 'one\n')
  const tail = await place.start(t, {}, { thread: { index: 1, count: 2 } })
  await tail.pass(6000)
  t.equal(tail.counter('files_open'), 0)
})

function positionsOf(place: TailPlace): string {
  return fs.readFileSync(path.join(place.data, 'inputs/files/positions'), 'utf8')
}

t.test('options that cannot be meant are found before a start', (t) => {
  const check = (options: object) =>
    definition
      .check?.({ ...TAIL_DEFAULTS, paths: ['/var/log/*.log'], ...options } as never)
      .map(({ path, message }) => `${path.join('.')}: ${message}`)
  t.same(check({}), [])
  t.same(check({ paths: ['/a.log', 'logs/b.log'] }), ['paths.1: "logs/b.log" is no absolute path'])
  t.same(check({ format: 'cri', tag: 'kube' }), [
    'tag: parts of long lines of several files would be joined: all of them have the tag "kube"'
  ])
  t.same(check({ format: 'cri', tag: 'kube', paths: ['/a.log'] }), [])
  t.same(check({ format: 'docker', tag: 'kube.*' }), [])
  t.end()
})
