// Runs on: any.
// Long bodies in parts against the same bodies scanned at once: what is found must not depend on where a part ends.

import fc from 'fast-check'
import t from 'tap'
import { PartProgress, type ScanKernel } from '../../src/kernel/scan-kernel.ts'
import { INVALID_REASONS } from '../../src/kernel/scan-unit.ts'
import { FUZZ_RUNS } from '../support/fuzz.ts'
import { newKernel } from './scan-harness.ts'

const RUNS = FUZZ_RUNS
const kernel = newKernel()
const hex = (text: string) => Buffer.from(text, 'hex')

const entry = fc.oneof(
  { weight: 8, arbitrary: fc.constant(hex('92d7006553f100075bcd1581a16101')) },
  {
    weight: 3,
    arbitrary: fc.constantFrom(
      ...[
        '9292d7006553f100075bcd158081a161a0',
        'dd00000002d7006553f100075bcd1581a16101',
        '92c081a16101',
        '93d7006553f100075bcd158001',
        '92d7006553f10000000001de0001a161c4020102'
      ].map(hex)
    )
  },
  {
    weight: 3,
    arbitrary: fc.constantFrom(
      hex('9292d700ffffffff0000000081a17201' + '81a1780a'),
      hex('9292d700fffffffe000000008080')
    )
  },
  {
    weight: 2,
    arbitrary: fc.constantFrom(
      ...['05', 'c0', '90', '91c0', '92d7006553f100000000010a', 'c1'].map(hex)
    )
  }
)

interface Found {
  records: number
  markers: number
  badTimes: number
  arrivals: number
  invalid: number[]
  giveUp: string | null
  /** Bytes of the records with the marker that is open for them. */
  entries: string
}

function newFound(): Found {
  const invalid = INVALID_REASONS.map(() => 0)
  return { records: 0, markers: 0, badTimes: 0, arrivals: 0, invalid, giveUp: null, entries: '' }
}

/** Adds unit 0 of the last scan; a marker is told once, where it changes. */
function add(found: Found, bytes: Buffer, state: { marker: string }): void {
  const unit = kernel.unit(0)
  found.records += unit.recordCount
  found.markers += unit.markerCount
  found.badTimes += unit.badTimeCount
  found.arrivals += unit.arrivalTimeCount
  for (const [at, reason] of INVALID_REASONS.entries()) {
    found.invalid[at] = (found.invalid[at] ?? 0) + unit.invalidCount(reason)
  }
  found.giveUp ??= unit.giveUpReason
  for (let span = 0; span < unit.spanCount; span++) {
    const marker = bytes.toString(
      'hex',
      unit.spanMarkerStartByte(span),
      unit.spanMarkerEndByte(span)
    )
    if (marker !== state.marker) found.entries += `<${marker}>`
    state.marker = marker
    found.entries += bytes.toString('hex', unit.spanStartByte(span), unit.spanEndByte(span))
  }
}

function inParts(kernel: ScanKernel, body: Buffer, cuts: readonly number[]): Found {
  const found = newFound()
  const progress = new PartProgress(Number.POSITIVE_INFINITY, false)
  const block = kernel.borrow(body.length * 2 + 4096)
  if (block === null) throw new Error('no block')
  let marker = Buffer.alloc(0)
  let rest = Buffer.alloc(0)
  let taken = 0
  for (const end of [...cuts, body.length]) {
    const bytes = Buffer.concat([marker, rest, body.subarray(taken, end)])
    taken = end
    block.set(bytes)
    block.fill(0x92, bytes.length, bytes.length + 64)
    const view = block.subarray(0, bytes.length)
    if (!kernel.scanPart(view, marker.length, progress))
      throw new Error('a body never ends a stream')
    addPart(found, view)
    rest = Buffer.from(view.subarray(kernel.consumedBytes))
    marker = Buffer.from(kernel.openMarker(view))
    if (found.giveUp !== null) break
  }
  if (found.giveUp === null && rest.length > 0) {
    const cut = INVALID_REASONS.indexOf('cut_short')
    found.invalid[cut] = (found.invalid[cut] ?? 0) + 1
  }
  kernel.giveBack(block)
  return found
}

/** Bytes without markers: where a part ends, a span does. */
function addPart(found: Found, bytes: Buffer): void {
  add(found, bytes, { marker: '' })
}

const plain = (found: Found): Found => ({ ...found, entries: withoutMarkers(found.entries) })

/** Markers within spans are bytes of them, those that are repeated in front are not. */
const withoutMarkers = (text: string): string =>
  text
    .replace(/<[0-9a-f]*>/g, '')
    .replaceAll('9292d700ffffffff0000000081a1720181a1780a', '')
    .replaceAll('9292d700fffffffe000000008080', '')

t.test('a body in parts is found to be what it is as a whole', (t) => {
  fc.assert(
    fc.property(
      fc.array(entry, { maxLength: 40 }),
      fc.array(fc.nat(2000), { maxLength: 12 }),
      fc.nat(20),
      (entries, places, missing) => {
        const joined = Buffer.concat(entries)
        const body = joined.subarray(
          0,
          Math.max(0, joined.length - (missing > 10 ? missing - 10 : 0))
        )
        const cuts = [...new Set(places.map((place) => place % (body.length + 1)))].sort(
          (a, b) => a - b
        )
        const block = kernel.borrow(body.length + 64)
        if (block === null) return false
        block.set(body)
        kernel.scanBody(block.subarray(0, body.length))
        const whole = newFound()
        add(whole, block.subarray(0, body.length), { marker: '' })
        kernel.giveBack(block)
        t.strictSame(plain(inParts(kernel, body, cuts)), plain(whole))
        return true
      }
    ),
    { numRuns: RUNS, seed: 20261121 }
  )
  t.end()
})

t.test('an open group marker is repeated in front of what follows it in the next part', (t) => {
  const open = hex('9292d700ffffffff0000000081a1720181a1780a')
  const record = hex('92d7006553f100075bcd1581a16101')
  const body = Buffer.concat([open, record, record])
  const found = inParts(kernel, body, [open.length + record.length])
  t.equal(found.records, 2)
  t.equal(
    found.entries,
    `${open.toString('hex')}${record.toString('hex')}<${open.toString('hex')}>${record.toString('hex')}`
  )
  t.end()
})

t.test('entries in a row that are none count over parts', (t) => {
  const body = Buffer.alloc(3000, 0)
  const found = inParts(kernel, body, [400, 999])
  t.equal(found.giveUp, 'consecutive_invalid')
  t.equal(found.invalid[INVALID_REASONS.indexOf('not_an_entry')], 1000)
  t.end()
})

t.test('values are passed over in pieces of any length', (t) => {
  const value = hex('93' + '82a161a178a162d903787878' + 'c50003010203' + 'd7006553f100075bcd15')
  const block = kernel.borrow(4096)
  if (block === null) throw new Error('no block')
  for (let cut = 1; cut < value.length; cut++) {
    let rest = value.subarray(0, cut)
    let left = 1
    let skip = 0
    let at = 0
    for (const end of [cut, value.length]) {
      rest = value.subarray(at, end)
      const passed = Math.min(skip, rest.length)
      block.set(rest)
      const result = kernel.skip(block.subarray(passed, rest.length), left, 1000)
      const there = Math.min(result.byteCount, rest.length - passed)
      skip = skip - passed + result.byteCount - there
      left = result.valuesLeft
      at += passed + there
    }
    if (at !== value.length || left !== 0) t.fail(`cut at ${cut}: ${at} bytes, ${left} values`)
  }
  block.set(hex('dd0000ffff'))
  t.equal(kernel.skip(block.subarray(0, 5), 1, 1000).status, 'wrong', 'more values than may come')
  kernel.giveBack(block)
  t.end()
})
