import t from 'tap'
import { runSteps } from '../../../test/support/task-harness.ts'

const kept = (
  grep: object,
  records: readonly { [key: string]: string | number | null | { [key: string]: string } }[]
) => runSteps([{ grep }], records).documents

t.test(
  'S28 a field that is missing or a map: include removes the record, exclude keeps it',
  (t) => {
    const records = [{ log: 'x' }, { other: 'y' }, { log: { a: 'x' } }]
    t.strictSame(kept({ include: { log: 'x' } }, records), [{ log: 'x' }])
    t.strictSame(kept({ exclude: { log: 'x' } }, records), [{ other: 'y' }, { log: { a: 'x' } }])
    t.end()
  }
)

t.test('S29 numbers are compared by the JSON grammar, in text and on the wire', (t) => {
  const records = [
    { code: '500' },
    { code: 500 },
    { code: '5e2' },
    { code: '499.9' },
    { code: '0x1f4' },
    { code: '500 ' },
    { code: '' },
    { code: 499 }
  ]
  t.strictSame(kept({ include: { code: { gte: 500 } } }, records), [
    { code: '500' },
    { code: 500 },
    { code: '5e2' }
  ])
  t.strictSame(kept({ include: { code: { lt: 500, gt: 499 } } }, records), [{ code: '499.9' }])
  t.strictSame(kept({ include: { code: { lte: 499 } } }, records), [{ code: 499 }])
  t.end()
})

t.test('S30 include, exclude, any and all hold together; lists are alternatives', (t) => {
  const records = [
    { level: 'error', app: 'a' },
    { level: 'warn', app: 'a' },
    { level: 'error', app: 'b' },
    { level: 'info', app: 'a' },
    { level: 'error', app: 'c', skip: '1' }
  ]
  t.strictSame(
    kept(
      {
        include: { level: ['error', 'warn'] },
        exclude: { skip: { exists: true } },
        any: [{ app: 'a' }, { app: 'b', level: 'error' }],
        all: [{ level: { prefix: 'e' } }, { app: { exists: true } }]
      },
      records
    ),
    [
      { level: 'error', app: 'a' },
      { level: 'error', app: 'b' }
    ]
  )
  t.strictSame(kept({ exclude: { level: 'error', app: 'a' } }, records.slice(0, 3)), [
    { level: 'warn', app: 'a' },
    { level: 'error', app: 'b' }
  ])
  t.end()
})

t.test('S31 contains finds a text at every place', (t) => {
  for (const length of [1, 2, 3, 4, 7, 8, 15, 16, 17, 20]) {
    const needle = 'abcdefghijklmnopqrst'.slice(0, length)
    const records = Array.from({ length: 41 }, (_, place) => ({
      log: `${'-'.repeat(place)}${needle}${'-'.repeat(40 - place)}`
    }))
    t.equal(kept({ include: { log: { contains: needle } } }, records).length, 41)
    t.equal(kept({ include: { log: { contains: `${needle}!` } } }, records).length, 0)
    const cut = records.map(({ log }) => ({ log: log.replace(needle, needle.slice(0, -1)) }))
    t.equal(kept({ include: { log: { contains: needle } } }, cut).length, 0)
  }
  t.end()
})

t.test('patterns, paths, and what a dropped record is counted as', (t) => {
  const records = [{ log: 'GET /healthz' }, { log: 'get /' }, { kubernetes: { pod: 'web-1' } }]
  const { documents, result } = runSteps(
    [{ grep: { exclude: { log: '/^GET \\/health/' } } }],
    records
  )
  t.strictSame(documents, [{ log: 'get /' }, { kubernetes: { pod: 'web-1' } }])
  t.strictSame(result.dropped, [{ first: 0, end: 1, reason: '1:grep' }])
  t.strictSame(kept({ include: { log: '/^get/i' } }, records), [
    { log: 'GET /healthz' },
    { log: 'get /' }
  ])
  t.strictSame(kept({ include: { 'kubernetes.pod': { prefix: 'web' } } }, records), [
    { kubernetes: { pod: 'web-1' } }
  ])
  t.end()
})

t.test('S51 a pattern that backtracks without end is over in time', (t) => {
  const records = [{ log: `${'a'.repeat(10_000)}!` }, { log: 'aaa' }]
  t.strictSame(kept({ include: { log: '/^(a+)+$/' } }, records), [{ log: 'aaa' }])
  t.end()
})
