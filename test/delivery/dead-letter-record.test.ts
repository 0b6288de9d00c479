import t from 'tap'
import { encodeValue } from '../../src/codec/msgpack-value.ts'
import {
  type DeadLetter,
  decodeLetter,
  encodeLetter
} from '../../src/delivery/dead-letter-record.ts'

const LETTER: DeadLetter = {
  tag: 'app.web',
  shard: 'routes/app/shard-00',
  logId: Uint8Array.from([1, 2, 3, 4, 5, 6, 7, 8]),
  epoch: 1_763_640_000,
  source: Uint8Array.from([119, 101, 98]),
  members: [
    { offset: 7, form: 1, appendTimeMs: 1000, bytes: Uint8Array.from([0x92, 1, 0x80]) },
    { offset: 2 ** 40, form: 2, appendTimeMs: 1001, bytes: new Uint8Array() }
  ],
  route: 'app',
  output: 'search',
  target: 'logs-2026',
  reason: 'mapping',
  step: '',
  status: 400,
  text: 'failed to parse',
  firstAttemptMs: 5000,
  lastAttemptMs: 7777,
  attempts: 3
}

t.test('a letter is read back as it was written', (t) => {
  t.same(decodeLetter('app.web', encodeLetter(LETTER)), LETTER)
  const bare = { ...LETTER, status: null, step: '2:parse', members: [] }
  t.same(decodeLetter('app.web', encodeLetter(bare)), bare)
  t.end()
})

t.test('the answer of a destination is cut to 2 KiB, never within a character', (t) => {
  for (const [text, length] of [
    ['x'.repeat(5000), 2048],
    ['x'.repeat(2048), 2048],
    [`${'x'.repeat(2047)}äöü`, 2047],
    ['😀'.repeat(600), 2048],
    [`x${'😀'.repeat(600)}`, 2045]
  ] as const) {
    const cut = decodeLetter('t', encodeLetter({ ...LETTER, text }))?.text ?? ''
    t.equal(Buffer.byteLength(cut), length)
    t.ok(text.startsWith(cut))
  }
  t.end()
})

t.test('a letter of a release without attempts counts as one attempt', (t) => {
  const old = encodeValue([0, { members: [], log_id: new Uint8Array(8), reason: 'mapping' }])
  t.match(decodeLetter('t', old), { attempts: 1, reason: 'mapping', status: Number.NaN })
  t.end()
})

t.test('what is no letter is none: other records, cut bytes, anything', (t) => {
  const whole = encodeLetter(LETTER)
  t.equal(decodeLetter('t', encodeValue([0, { log: 'a line' }])), null)
  t.equal(decodeLetter('t', encodeValue({ members: [] })), null)
  for (const member of [null, 7, 'text', {}]) {
    t.equal(decodeLetter('t', encodeValue([0, { members: [member] }])), null)
  }
  for (let end = 0; end < whole.length; end++) {
    t.equal(decodeLetter('t', whole.subarray(0, end)), null)
  }
  t.end()
})
