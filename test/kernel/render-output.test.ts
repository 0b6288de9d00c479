import t from 'tap'
import { positionId } from '../../src/core/position.ts'
import { joinedIdSuffix } from '../../src/kernel/joined-id.ts'
import type { ProgramWriter } from '../../src/kernel/program.ts'
import type { JoinEntry, TargetBytes } from '../../src/kernel/render-face.ts'
import {
  APPEND_TIME_MS,
  EPOCH,
  entryOf,
  groupOf,
  LOG_ID,
  runGroups,
  runRecords
} from './support/render-fixture.ts'

const EVENTS = { framing: 'log_events' } as const

t.test('events hold the record as text with its exact length', async (t) => {
  const records = [
    { log: 'he"llo\n\\ \u0001 가나다 😀', n: { x: [1, 2.5, null] } },
    { 'key"\\': '\t\r\u007f', e: '' },
    {}
  ]
  const result = runRecords(records, { layout: { ...EVENTS, tagField: 'tag' } })
  for (const [index, line] of result.lines.entries()) {
    t.ok(line.endsWith(',') && !line.includes('\n'))
    const { message, timestamp } = JSON.parse(line.slice(0, -1))
    t.equal(message, JSON.stringify({ tag: 'app.web', ...records[index] }))
    t.equal(timestamp, 1_795_194_309_123)
    t.equal(result.kernel.rows.messageByteCount(index), Buffer.byteLength(message))
    t.equal(result.kernel.rows.timeMs(index), 1_795_194_309_123)
  }
})

t.test('events of one field hold its text alone', async (t) => {
  const records = [
    { log: 'a"\n\u0002가' },
    { log: 5 },
    { log: { a: 'x"' } },
    { log: '' },
    { other: 1 }
  ]
  const result = runRecords(records, { layout: { ...EVENTS, messageField: 'log' } })
  const messages = result.lines.map((line) => JSON.parse(line.slice(0, -1)).message)
  t.same(messages, ['a"\n\u0002가', '5', '{"a":"x\\""}', '{"other":1}'])
  t.match(result.verdicts[1], { fate: 'dropped', step: 0, reason: 'empty' })
  for (const [row, message] of messages.entries()) {
    t.equal(result.kernel.rows.messageByteCount(row), Buffer.byteLength(message))
  }
})

t.test('ids are the positions, and targets are asked for once per text', async (t) => {
  const asked: string[] = []
  const target = (text: string): TargetBytes => {
    asked.push(text)
    if (text === 'refused') return { kind: 'refuse', reason: 'bad_index' }
    return { kind: 'ok', prefix: Buffer.from(`${text}:`), afterId: Buffer.from(' ') }
  }
  const template = {
    source: '',
    parts: [{ kind: 'record', path: ['i'], fallback: null }] as const
  }
  const records = ['a', 'a', 'b', 'refused', 'a', 'refused', 'b'].map((i) => ({ i }))
  const result = runRecords(records, { layout: { hasId: true, target: template }, target })
  t.same(asked, ['a', 'b', 'refused'])
  t.same(
    result.lines,
    [0, 1, 2, 4, 6].map((index) => {
      const i = records[index]?.i
      return `${i}:${positionId(LOG_ID, EPOCH, 1000 + index)} {"i":"${i}"}\n`
    })
  )
  t.same(
    [0, 1, 2, 3, 4].map((row) => result.kernel.targets[result.kernel.rows.target(row)]),
    ['a', 'a', 'b', 'a', 'b']
  )
  t.match(result.verdicts[1], { fate: 'dead_letter', step: 0, reason: 'bad_index' })
})

t.test('ids hold offsets of 48 bits', async (t) => {
  const firstOffset = 2 ** 47 + 12_345
  const target = () => ({ kind: 'ok', prefix: Buffer.alloc(0), afterId: Buffer.from(' ') }) as const
  const result = runRecords([{}, {}], { layout: { hasId: true }, target, firstOffset })
  t.equal(result.lines[1], `${positionId(LOG_ID, EPOCH, firstOffset + 1)} {}\n`)
  t.equal(result.kernel.rows.offset(1), firstOffset + 1)
})

t.test('a target by day changes with the day, by tag with the tag', async (t) => {
  const day = {
    source: '',
    parts: [{ kind: 'tag' }, { kind: 'time', format: '-%Y.%m.%d' }] as const
  }
  const target = (text: string): TargetBytes => ({
    kind: 'ok',
    prefix: Buffer.from(text),
    afterId: Buffer.alloc(0)
  })
  const times = [86_399, 86_400, 86_401, 86_399]
  const groups = ['x', 'y'].map((tag) =>
    groupOf(
      times.map((seconds) => entryOf({}, Buffer.from([0xce, ...be32(seconds)]))),
      { tag }
    )
  )
  t.same(
    runGroups(groups, { layout: { target: day }, target }).lines,
    ['x', 'y'].flatMap((tag) =>
      ['01', '02', '02', '01'].map((date) => `${tag}-1970.01.${date}{}\n`)
    )
  )
})

function be32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes
}

t.test('more targets than a task holds end it at the record', async (t) => {
  const template = { source: '', parts: [{ kind: 'record', path: ['i'], fallback: null }] as const }
  const result = runRecords(
    Array.from({ length: 5000 }, (_, i) => ({ i })),
    { layout: { target: template } }
  )
  t.equal(result.stop, 'tables')
  t.equal(result.lines.length, 4096)
  t.equal(result.resumeOffset, 1000 + 4096)
})

function writeJoin(writer: ProgramWriter): void {
  writer.join({
    present: writer.key('partial_message'),
    text: writer.key('log'),
    clear: [writer.key('partial_message'), writer.key('partial_last')],
    clearComplete: [writer.key('partial_id')],
    incomplete: writer.key('partial_incomplete'),
    fields: [writer.key('partial_id'), writer.key('log')]
  })
  writer.step = 2
  writer.setJson(writer.key('behind'), 'true')
}

t.test(
  'a join sees partial records only, holds them, and lays its text over the first',
  async (t) => {
    const part = {
      log: 'part one ',
      partial_message: 'true',
      partial_id: 'p1',
      partial_last: 'false',
      n: 1
    }
    const shown: unknown[] = []
    const join = (entry: JoinEntry) => {
      const text = (index: number) => entry.field(index)?.toString() ?? null
      shown.push([
        entry.offset,
        entry.epoch,
        entry.appendTimeMs,
        entry.tag.toString(),
        text(0),
        text(1),
        entry.entry.length > 50
      ])
      return text(1) === 'end' ? 'held_stop' : 'held'
    }
    const records = [
      { log: 'whole' },
      part,
      { log: 'between' },
      { ...part, log: 'end' },
      { log: 'after' }
    ]
    const layout = { hasId: true } as const
    const target = () =>
      ({ kind: 'ok', prefix: Buffer.alloc(0), afterId: Buffer.from(' ') }) as const
    const result = runRecords(records, { write: writeJoin, join, layout, target })
    t.equal(result.stop, 'join')
    t.same(shown, [
      [1001, EPOCH, APPEND_TIME_MS, 'app.web', 'p1', 'part one ', true],
      [1003, EPOCH, APPEND_TIME_MS, 'app.web', 'p1', 'end', true]
    ])
    const { kernel } = result
    const record = {
      form: 1,
      entry: entryOf(part),
      tag: Buffer.from('app.web'),
      source: Buffer.from('x\u0000'),
      appendTimeMs: APPEND_TIME_MS,
      epoch: EPOCH,
      offset: 1001,
      text: Buffer.from('part one end'),
      isIncomplete: false,
      idSuffix: 'abcd',
      memberList: 5
    } as const
    t.same(kernel.renderJoined(record), { kind: 'out' })
    t.same(kernel.renderJoined({ ...record, isIncomplete: true, epoch: 8 }), { kind: 'out' })
    t.equal(kernel.resume(), 'end')
    const lines = Array.from({ length: kernel.rows.count }, (_, row) =>
      kernel.output.toString(
        'utf8',
        kernel.rows.startByte(row),
        kernel.rows.startByte(row) + kernel.rows.byteCount(row)
      )
    )
    const id = (offset: number, epoch = EPOCH) => positionId(LOG_ID, epoch, offset)
    t.same(lines, [
      `${id(1000)} {"log":"whole","behind":true}\n`,
      `${id(1002)} {"log":"between","behind":true}\n`,
      `${id(1001)}.abcd {"log":"part one end","n":1,"behind":true}\n`,
      `${id(1001, 8)}.abcd {"log":"part one end","partial_id":"p1","n":1,"partial_incomplete":true,"behind":true}\n`,
      `${id(1004)} {"log":"after","behind":true}\n`
    ])
    t.same([kernel.rows.memberList(2), kernel.rows.memberList(4)], [5, 0])
    t.same(
      kernel.verdicts().map(({ fate, count }) => [fate, count]),
      [
        ['out', 1],
        ['held', 1],
        ['out', 1],
        ['held', 1],
        ['out', 1]
      ]
    )
  }
)

t.test(
  'with open groups every record is shown, finished ones too, and a stop comes before the record',
  async (t) => {
    const answers = ['stop', 'pass', 'pass', 'held'] as const
    const shown: [number, boolean][] = []
    const { kernel } = runRecords([], {
      write: writeJoin,
      join: (entry) => {
        shown.push([entry.offset, entry.isFinished])
        return answers[shown.length - 1] ?? 'pass'
      }
    })
    const payload = groupOf([entryOf({ a: 1 }), entryOf({ a: 2 }), entryOf({ a: 3 })])
    kernel.input.set(payload)
    kernel.setFinished(0, [[1001, 1002]])
    kernel.setOpenGroups(true)
    t.equal(
      kernel.run({ startByte: 0, endByte: payload.length, firstOffset: 1000, appendTimeMs: 1 }),
      'join'
    )
    t.equal(kernel.resumeOffset, 1000)
    t.equal(kernel.resume(), 'end')
    kernel.setOpenGroups(false)
    t.same(shown, [
      [1000, false],
      [1000, false],
      [1001, true],
      [1002, false]
    ])
    t.same(
      kernel.verdicts().map(({ fate }) => fate),
      ['out', 'finished', 'held']
    )
  }
)

t.test('the suffix of a joined id covers all members', async (t) => {
  const one = joinedIdSuffix(Buffer.alloc(36, 1))
  t.match(one, /^[\w-]{4}$/)
  t.not(one, joinedIdSuffix(Buffer.alloc(54, 1)))
})
