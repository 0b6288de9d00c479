// D01: what clients sent when they were captured, stored and written: values and times of the manifest.

import fs from 'node:fs'
import { encode } from '@msgpack/msgpack'
import t from 'tap'
import { groupOf, runGroups } from '../../../test/kernel/support/render-fixture.ts'
import { ForwardClient } from '../../../test/support/forward-client.ts'
import { forwardHost } from '../../../test/support/forward-host.ts'

const WIRE = new URL('../../../test/fixtures/wire/', import.meta.url)
const PROBE = Buffer.from(encode(['probe', [[1_700_000_000, { p: 1 }]], { chunk: 'probe' }]))
const JSON_PROBE = Buffer.from(' ["probe",[[1700000000,{"p":1}]],{"chunk":"probe"}]')

const GROUP_MARKER = 0xffff_ffff

interface Time {
  readonly type: string
  readonly sec?: number
  readonly nsec?: number
}

interface Frame {
  readonly kind: string
  readonly text?: string
  readonly logRecords?: number
  readonly time?: Time
  readonly record?: unknown
  readonly firstRecord?: unknown
  readonly firstTime?: Time & { readonly time?: Time }
}

const captures: Record<string, { readonly format: string; readonly frames: readonly Frame[] }> =
  JSON.parse(fs.readFileSync(new URL('manifest.json', WIRE), 'utf8'))

/** Values that the manifest holds whole, as outputs write them; undefined: it does not hold this one. */
function written(value: unknown): unknown {
  if (typeof value === 'string') {
    if (/^-?\d+n$/.test(value)) return Number(value.slice(0, -1))
    return value.includes('…') ? undefined : value
  }
  if (typeof value !== 'object' || value === null) return value
  if (Array.isArray(value)) return value.map(written)
  const { bytesHex, ext } = Object(value)
  if (typeof bytesHex === 'string') return Buffer.from(bytesHex, 'hex').toString('utf8')
  if (ext !== undefined) return undefined
  const pairs = Object.entries(value).map(
    ([key, inner]) => [key.replace(/^(int|bin):/, ''), written(inner)] as const
  )
  return Object.fromEntries(pairs.filter(([, inner]) => inner !== undefined))
}

/** `2023-11-14T22:13:20.000000000Z`; null: the manifest holds none, or none that outputs can take. */
function isoTime(time: Time | undefined): string | null {
  // A group marker of Fluent Bit stands before its records, with the seconds -1.
  if (time?.sec === undefined || time.sec <= 0 || time.sec === GROUP_MARKER) return null
  if (!['int', 'ext0'].includes(time.type)) return null
  const nanos = String(time.nsec ?? 0).padStart(9, '0')
  return `${new Date(time.sec * 1000).toISOString().slice(0, 20)}${nanos}Z`
}

/** The first record of each frame with its place among all records. */
function expectations(frames: readonly Frame[]) {
  let at = 0
  const expected: { at: number; record: unknown; time: string | null }[] = []
  for (const frame of frames) {
    if (frame.text !== undefined) {
      const [, sec, record] = JSON.parse(frame.text)
      expected.push({ at: at++, record, time: isoTime({ type: 'int', sec }) })
      continue
    }
    if (frame.logRecords === undefined || frame.logRecords === 0) continue
    const record = written(frame.record ?? frame.firstRecord)
    const time = isoTime(frame.time ?? frame.firstTime?.time ?? frame.firstTime)
    if (record !== undefined) expected.push({ at, record, time })
    at += frame.logRecords
  }
  return expected
}

for (const [name, { format, frames }] of Object.entries(captures)) {
  if (frames.some(({ kind }) => kind === 'PING')) continue
  t.test(`D01 ${name}: values and times as captured`, async (t) => {
    const { address, host } = await forwardHost(t)
    const client = await ForwardClient.connect(address)
    client.send(fs.readFileSync(new URL(`${name}.c2s.bin`, WIRE)))
    client.send(format === 'msgpack' ? PROBE : JSON_PROBE)
    for (let count = 1; client.received.indexOf('probe') < 0; count++) await client.receive(count)
    client.destroy()
    const groups = host.groups().filter(({ tag }) => tag !== 'probe')
    const layout = { timeField: { key: '@time', precision: 9 } } as const
    const stored = groups.map(({ entries, form, recordCount, tag }) =>
      groupOf([entries], { tag, form: form === 2 ? 2 : 1, count: recordCount })
    )
    const lines = stored.length === 0 ? [] : runGroups(stored, { layout }).lines
    const expected = expectations(frames)
    for (const { at, record, time } of expected) {
      const { '@time': storedTime, ...fields } = JSON.parse(lines[at] ?? '{}')
      const known = Object.keys(Object(record)).map((key) => [key, fields[key]] as const)
      t.same(Object.fromEntries(known), record, `record ${at}`)
      if (time !== null) t.equal(storedTime, time, `time of record ${at}`)
    }
    const count = frames.reduce((sum, frame) => {
      return sum + (frame.text === undefined ? (frame.logRecords ?? 0) : 1)
    }, 0)
    t.equal(lines.length, count)
  })
}
