// Runs on: any.
// What table, steps and rendering cost: node bench/micro/kernel/render.bench.ts [part of a name]
// Figures are CPU seconds of the process per million records, the least of the rounds.

import * as codes from '../../../src/kernel/codes.ts'
import { ProgramWriter } from '../../../src/kernel/program.ts'
import type { RenderLayout } from '../../../src/kernel/program-header.ts'
import type { LoadedProgram } from '../../../src/kernel/render-face.ts'
import { RenderKernel } from '../../../src/kernel/render-kernel.ts'
import { type Shape, shapeEntries } from '../../shapes.ts'

const ROUNDS = 5
const ROUND_MS = 300
const RECORDS = 10_000
const TAG = Buffer.from('docker.web')
const SOURCE = Buffer.from('containers\u0000')

const LINES: RenderLayout = {
  framing: 'ndjson',
  target: { source: 'logs-${time:%Y.%m.%d}', parts: dayParts() },
  timeField: { key: '@timestamp', precision: 9 },
  timeConflict: 'overwrite',
  tagField: null,
  hasId: true,
  messageField: null,
  recordBytesMax: 1 << 24
}
const EVENTS: RenderLayout = { ...LINES, framing: 'log_events', timeField: null, hasId: false }

const kernel = new RenderKernel({
  imports: {
    target: (text) => ({
      kind: 'ok',
      prefix: Buffer.from(`{"create":{"_index":"${text}","_id":"`),
      afterId: Buffer.from('"}}\n')
    }),
    leaveJs: (_stage, json) => ({ kind: 'changes', json: `{"n":${JSON.parse(json).log.length}}` }),
    join: () => 'pass'
  }
})

function dayParts(): RenderLayout['target']['parts'] {
  return [
    { kind: 'text', text: 'logs-' },
    { kind: 'time', format: '%Y.%m.%d' }
  ]
}

function payloadOf(shape: Shape): Buffer {
  const body = Buffer.concat(shapeEntries(shape, RECORDS))
  const header = Buffer.alloc(16)
  header.writeUInt32LE(16 + TAG.length + SOURCE.length + body.length, 0)
  header.writeUInt32LE(RECORDS, 4)
  header.writeUInt16LE(TAG.length, 8)
  header.writeUInt16LE(SOURCE.length, 12)
  header.writeUInt8(1, 14)
  return Buffer.concat([header, TAG, SOURCE, body])
}

function programOf(layout: RenderLayout, write?: (writer: ProgramWriter) => void): LoadedProgram {
  const writer = new ProgramWriter()
  write?.(writer)
  return kernel.loadProgram(writer.finish(layout))
}

function cpuSeconds(): number {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1e6
}

/** The last shape that was copied into the input. */
let loaded: Shape | null = null
let payloadBytes = 0

function bench(name: string, shape: Shape, program: LoadedProgram): void {
  const wanted = process.argv[2]
  if (wanted !== undefined && !`${shape} ${name}`.includes(wanted)) return
  if (loaded !== shape) {
    const payload = payloadOf(shape)
    kernel.input.set(payload)
    payloadBytes = payload.length
    loaded = shape
  }
  const run = () => {
    kernel.begin(program, { outputBytesMax: kernel.output.length, rowsMax: RECORDS })
    kernel.setShard(new Uint8Array(8), 7)
    const stop = kernel.run({
      startByte: 0,
      endByte: payloadBytes,
      firstOffset: 1,
      appendTimeMs: 1
    })
    if (stop !== 'end') throw new Error(`${name}: stopped with ${stop}`)
  }
  for (let warmUp = 0; warmUp < 20; warmUp++) run()
  let best = Number.POSITIVE_INFINITY
  for (let round = 0; round < ROUNDS; round++) {
    const start = cpuSeconds()
    const startMs = performance.now()
    let count = 0
    do {
      run()
      count += RECORDS
    } while (performance.now() - startMs < ROUND_MS)
    best = Math.min(best, ((cpuSeconds() - start) / count) * 1e6)
  }
  console.log(`${shape.padEnd(11)} ${name.padEnd(44)} ${best.toFixed(3)}`)
}

const ACCESS = 'remote host user time method path code size referer agent rest'.split(' ')

function writeNginx(writer: ProgramWriter): void {
  const types = ['code', 'size'].map((key) => ({
    key: writer.key(key),
    type: codes.CONVERT_INTEGER
  }))
  const time = { key: writer.key('time'), format: '%d/%b/%Y:%H:%M:%S %z' }
  writer.parseAccess(
    writer.key('log'),
    { types, time },
    ACCESS.map((key) => writer.key(key))
  )
}

function writeDrop(writer: ProgramWriter, test: (label: { word: number }) => void): void {
  const kept = writer.label()
  test(kept)
  writer.drop()
  writer.place(kept)
}

function writeFilters(writer: ProgramWriter): void {
  writer.setJson(writer.key('cluster'), '"production"')
  writer.setText(writer.key('stream'), [
    { kind: 'record', path: ['container_name'], fallback: null },
    { kind: 'text', text: '-' },
    { kind: 'record', path: ['source'], fallback: null }
  ])
  writer.remove([writer.key('container_id')])
  writer.rename([[writer.key('log'), writer.key('message')]], false)
  const source = writer.key('source')
  writeDrop(writer, (kept) => writer.match(source, codes.MATCH_EQUAL, 'other', kept, false))
}

const plain = programOf(LINES)
for (const shape of ['plain', 'nginx', 'json', 'kubernetes', 'flat', 'new_keys'] as const) {
  bench('table, no steps', shape, plain)
}
bench('events of CloudWatch', 'plain', programOf(EVENTS))
bench('message field of CloudWatch', 'plain', programOf({ ...EVENTS, messageField: 'log' }))
bench(
  'join, no partial',
  'plain',
  programOf(LINES, (writer) =>
    writer.join({
      present: writer.key('partial_message'),
      text: writer.key('log'),
      clear: [],
      clearComplete: [],
      incomplete: 0,
      fields: [writer.key('container_id')]
    })
  )
)
bench('five filters', 'plain', programOf(LINES, writeFilters))
for (const [name, kind, text] of [
  ['equal', codes.MATCH_EQUAL, 'x'],
  ['contains', codes.MATCH_CONTAINS, 'healthcheck']
] as const) {
  bench(
    `grep ${name}`,
    'plain',
    programOf(LINES, (writer) =>
      writeDrop(writer, (kept) => writer.match(writer.key('log'), kind, text, kept, false))
    )
  )
}
bench(
  'grep regex by V8',
  'plain',
  programOf(LINES, (writer) =>
    writeDrop(writer, (kept) =>
      writer.regex(writer.key('log'), writer.pattern('error|fatal'), kept, false)
    )
  )
)
bench('nginx, types, record time', 'nginx', programOf(LINES, writeNginx))
bench(
  'regex of ten groups by V8',
  'nginx',
  programOf(LINES, (writer) => {
    const pattern = writer.pattern(
      '^(\\S+) (\\S+) (\\S+) \\[([^\\]]*)\\] "(\\S+) ([^"]*?) \\S*" (\\S+) (\\S+) "([^"]*)" "([^"]*)"$'
    )
    writer.parseRegex(
      writer.key('log'),
      {},
      pattern,
      ACCESS.slice(0, 10).map((key) => writer.key(key))
    )
  })
)
bench(
  'json',
  'json',
  programOf(LINES, (writer) => writer.parseJson(writer.key('log'), {}))
)
bench(
  'json and its time',
  'json',
  programOf(LINES, (writer) =>
    writer.parseJson(writer.key('log'), { time: { key: writer.key('ts'), format: 'iso8601' } })
  )
)
bench(
  'JavaScript step of one field',
  'plain',
  programOf(LINES, (writer) => writer.leaveJs(0, [writer.key('log')], {}))
)
