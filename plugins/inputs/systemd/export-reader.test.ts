// The reader of the export format against a plain one that has all bytes at once.

import t from 'tap'
import { type Dice, fuzz } from '../../../test/support/fuzz.ts'
import {
  ENTRY_BYTES_MAX,
  ExportReader,
  FIELD_BYTES_MAX,
  FIELDS_MAX,
  type JournalEntry
} from './export-reader.ts'

const isWanted = (name: string) => !name.startsWith('SKIP')

function textField(name: string, value: string | Buffer): Buffer {
  return Buffer.concat([Buffer.from(`${name}=`), Buffer.from(value), Buffer.from('\n')])
}

function binaryField(name: string, value: Buffer): Buffer {
  const size = Buffer.alloc(8)
  size.writeBigUInt64LE(BigInt(value.length))
  return Buffer.concat([Buffer.from(`${name}\n`), size, value, Buffer.from('\n')])
}

function readAll(pieces: readonly Buffer[]): JournalEntry[] {
  const reader = new ExportReader(isWanted)
  const entries: JournalEntry[] = []
  for (const piece of pieces) {
    reader.push(piece)
    for (let entry = reader.next(); entry !== null; entry = reader.next()) entries.push(entry)
  }
  return entries
}

const plain = (entries: readonly JournalEntry[]) =>
  entries.map(({ fields }) => [...fields].map(([name, value]) => [name, value.toString('latin1')]))

const END = Buffer.from('\n')

t.test('entries with text and binary fields are read, in pieces of every size', (t) => {
  const bytes = Buffer.concat([
    textField('__CURSOR', 's=1;i=2'),
    textField('MESSAGE', 'a=b'),
    textField('EMPTY', ''),
    END,
    binaryField('MESSAGE', Buffer.from('two\n\nlines=\0')),
    binaryField('NONE', Buffer.alloc(0)),
    binaryField('SKIPPED', Buffer.alloc(300, '\n')),
    END,
    END,
    textField('SKIPPED', 'x'),
    END,
    textField('MESSAGE', 'not whole')
  ])
  const expected = [
    [
      ['__CURSOR', 's=1;i=2'],
      ['MESSAGE', 'a=b'],
      ['EMPTY', '']
    ],
    [
      ['MESSAGE', 'two\n\nlines=\0'],
      ['NONE', '']
    ],
    []
  ]
  for (let size = 1; size <= bytes.length; size++) {
    const pieces: Buffer[] = []
    for (let at = 0; at < bytes.length; at += size) pieces.push(bytes.subarray(at, at + size))
    t.same(plain(readAll(pieces)), expected, `pieces of ${size}`)
  }
  t.end()
})

t.test('of a field that comes several times the first is kept', (t) => {
  const bytes = Buffer.concat([textField('A', 'one'), textField('A', 'two'), END])
  t.same(plain(readAll([bytes])), [[['A', 'one']]])
  t.end()
})

t.test('values over the limit are cut between two characters, and counted', (t) => {
  const value = Buffer.concat([Buffer.from('x'), Buffer.from('é'.repeat(FIELD_BYTES_MAX / 2 + 9))])
  for (const field of [textField('A', value), binaryField('A', value)]) {
    const [entry, next] = readAll([field, END, textField('B', 'after'), END])
    t.equal(entry?.fields.get('A')?.length, FIELD_BYTES_MAX - 1)
    t.ok(entry?.fields.get('A')?.equals(value.subarray(0, FIELD_BYTES_MAX - 1)))
    t.equal(entry?.cutCount, 1)
    t.equal(next?.fields.get('B')?.toString(), 'after')
    t.equal(next?.cutCount, 0)
  }
  t.end()
})

t.test('an entry keeps so many bytes and fields; others are left out and counted', (t) => {
  const long = 'x'.repeat(FIELD_BYTES_MAX)
  const [entry] = readAll([textField('A', long), textField('B', long), textField('C', 'c'), END])
  const bytes = [...(entry?.fields ?? [])].reduce((sum, [name, { length }]) => {
    return sum + name.length + 10 + length
  }, 0)
  t.equal(bytes, ENTRY_BYTES_MAX)
  t.same([...(entry?.fields.keys() ?? [])], ['A', 'B'])
  t.equal(entry?.cutCount, 2)
  const many = Array.from({ length: FIELDS_MAX + 3 }, (_, i) => textField(`F${i}`, ''))
  const [crowded] = readAll([...many, END])
  t.equal(crowded?.fields.size, FIELDS_MAX)
  t.equal(crowded?.cutCount, 3)
  t.end()
})

t.test('what is no export is an error', (t) => {
  const wrong = [
    Buffer.from('=value\n'),
    Buffer.alloc(256, 'N'),
    Buffer.concat([Buffer.from('A\n'), Buffer.alloc(8, 0xff)]),
    Buffer.concat([Buffer.from('A\n\x01'), Buffer.alloc(7), Buffer.from('ab')])
  ]
  for (const bytes of wrong) t.throws(() => readAll([bytes]), { code: 'MR_INPUT_MESSAGE' })
  t.end()
})

/** All bytes at once, no limits, entries as lists of pairs; the last one only when it is whole. */
function oracle(bytes: Buffer): [string, string][][] {
  const entries: [string, string][][] = []
  let fields: [string, string][] = []
  let hasFields = false
  let at = 0
  for (;;) {
    const lineEnd = bytes.indexOf('\n', at)
    if (lineEnd < 0) return entries
    const line = bytes.toString('latin1', at, lineEnd)
    at = lineEnd + 1
    if (line === '') {
      if (hasFields) entries.push(fields)
      fields = []
      hasFields = false
      continue
    }
    hasFields = true
    let [name, value] = [line, '']
    if (line.includes('=')) {
      name = line.slice(0, line.indexOf('='))
      value = line.slice(name.length + 1)
    } else {
      const byteCount = Number(bytes.readBigUInt64LE(at))
      value = bytes.toString('latin1', at + 8, at + 8 + byteCount)
      at += 8 + byteCount + 1
    }
    if (isWanted(name) && !fields.some(([known]) => known === name)) fields.push([name, value])
  }
}

function randomExport(dice: Dice): Buffer {
  const parts: Buffer[] = []
  for (let left = dice.below(8); left > 0; left--) {
    for (let fields = 1 + dice.below(6); fields > 0; fields--) {
      const name = dice.oneOf(['MESSAGE', '_PID', '__CURSOR', 'SKIP', 'SKIPPED', 'A'])
      const value = dice.bytes(dice.below(dice.oneOf([4, 40, 400])))
      const isText = dice.below(2) === 0 && !value.includes(10)
      parts.push(isText ? textField(name, value) : binaryField(name, value))
    }
    parts.push(END)
  }
  return Buffer.concat(parts)
}

function cutUp(bytes: Buffer, dice: Dice): Buffer[] {
  const pieces: Buffer[] = []
  const sizeEnd = dice.oneOf([2, 9, 100, 1000])
  for (let at = 0; at < bytes.length; ) {
    const end = at + 1 + dice.below(sizeEnd)
    pieces.push(bytes.subarray(at, end))
    at = end
  }
  return pieces
}

fuzz(t, 'exports of a journal cut anywhere read as they do whole', (dice) => {
  const bytes = randomExport(dice)
  const expected = JSON.stringify(oracle(bytes))
  const read = JSON.stringify(plain(readAll(cutUp(bytes, dice))))
  return read === expected ? undefined : `${read} instead of ${expected}`
})

fuzz(t, 'damaged exports of a journal are read or refused, alike in all pieces', (dice) => {
  const bytes = randomExport(dice)
  if (bytes.length === 0) return undefined
  for (let left = 1 + dice.below(3); left > 0; left--)
    bytes[dice.below(bytes.length)] = dice.below(256)
  const [whole, cut] = [[bytes], cutUp(bytes, dice)].map(outcomeOf)
  return whole === cut ? undefined : `${cut} instead of ${whole}`
})

function outcomeOf(pieces: readonly Buffer[]): string {
  try {
    return JSON.stringify(plain(readAll(pieces)))
  } catch (error) {
    return String(Object(error).code)
  }
}
