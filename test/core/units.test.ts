import fc from 'fast-check'
import t from 'tap'
import { formatBytes, formatDuration, parseBytes, parseDuration } from '../../src/core/units.ts'

t.test('sizes are read with binary units, as Fluentd does', (t) => {
  const cases: [string | number, number | null][] = [
    ['512KiB', 524_288],
    ['2MiB', 2_097_152],
    ['1GiB', 2 ** 30],
    ['2m', 2_097_152],
    ['64M', 67_108_864],
    ['1g', 2 ** 30],
    ['5MB', 5_242_880],
    ['9.5MiB', 9_961_472],
    ['1 TiB', 2 ** 40],
    ['100b', 100],
    [4096, 4096],
    ['4096', 4096],
    ['0', 0],
    ['', null],
    ['-1', null],
    ['1.2.3k', null],
    ['5 apples', null],
    ['MiB', null],
    [1.5, 2],
    ['9007199254740993', null],
    ['99999999TiB', null]
  ]
  for (const [text, byteCount] of cases) t.equal(parseBytes(text), byteCount, String(text))
  t.end()
})

t.test('durations are read as sums of units, plain numbers as seconds', (t) => {
  const cases: [string | number, number | null][] = [
    ['250ms', 250],
    ['5s', 5000],
    ['2m', 120_000],
    ['1h30m', 5_400_000],
    ['30d', 2_592_000_000],
    ['1.5s', 1500],
    [5, 5000],
    ['0.2', 200],
    [0, 0],
    ['', null],
    ['5 s', null],
    ['-5s', null],
    ['5y', null],
    ['m', null],
    ['1e9', null],
    ['99999999999d', null]
  ]
  for (const [text, durationMs] of cases) t.equal(parseDuration(text), durationMs, String(text))
  t.end()
})

t.test('sizes are printed in the largest unit', (t) => {
  t.same([0, 1023, 1024, 9_961_472, 2 ** 30, 2 ** 40 * 1.5].map(formatBytes), [
    '0B',
    '1023B',
    '1KiB',
    '9.5MiB',
    '1GiB',
    '1.5TiB'
  ])
  t.end()
})

t.test('durations are printed in all their units', (t) => {
  t.same([0, 250, 5000, 5_400_000, 86_400_000, 90_061_001].map(formatDuration), [
    '0s',
    '250ms',
    '5s',
    '1h30m',
    '1d',
    '1d1h1m1s1ms'
  ])
  t.end()
})

t.test('what is printed is read back', (t) => {
  const safe = fc.integer({ min: 0, max: 2 ** 31 })
  fc.assert(fc.property(safe, (value) => parseDuration(formatDuration(value)) === value))
  fc.assert(
    fc.property(safe, (value) => {
      const back = parseBytes(formatBytes(value))
      return back !== null && Math.abs(back - value) <= value * 0.01
    })
  )
  t.end()
})
