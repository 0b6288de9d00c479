// Runs on: any.
// What a task costs on a pool thread, from the page cache to a body in the slot: node bench/micro/steps/run-task.bench.ts
// Figures are CPU time of the thread; cpu-s/M is CPU seconds per million records.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import stepCompilers from '../../../plugins/steps.ts'
import { compileTemplate } from '../../../src/core/template.ts'
import { sharedMemory } from '../../../src/kernel/memory-copy.ts'
import { RenderKernel } from '../../../src/kernel/render-kernel.ts'
import { finishTogether, PLAIN } from '../../../src/plugin/finish-bodies.ts'
import type { RenderHalf } from '../../../src/plugin/output.ts'
import { compileSteps } from '../../../src/steps/compile.ts'
import type { Destination } from '../../../src/steps/destination.ts'
import { lowerPlan } from '../../../src/steps/lower.ts'
import { compileEnvironment } from '../../../src/steps/pool-runner.ts'
import { createTaskRunner } from '../../../src/steps/run-task.ts'
import { SegmentFiles } from '../../../src/steps/segment-files.ts'
import {
  encodeFrameHeader,
  encodeGroupPrefix,
  groupPrefixBytes
} from '../../../src/storage/format/frame.ts'
import { frameBytesOf } from '../../../src/storage/format/layout.ts'
import { KEYLESS_DECODER } from '../../../src/storage/format/payload-decoder.ts'
import type { FrameRef, TaskRequest } from '../../../src/threads/messages.ts'
import { dockerRecord, entries } from '../kernel/samples.ts'
import { accessRecord, jsonRecord } from './samples.ts'

const ROUNDS = 9
const TASKS_PER_ROUND = 40
const RECORDS_PER_FRAME = 1000
const FRAMES = 10
const SLOT_BYTES = 16 * 2 ** 20
const CONSTANTS = { hostname: 'host', uuid: 'uuid', dataDir: '/data' }
const SALT = 0x0123_4567_89ab_cdefn

const directory = mkdtempSync(join(tmpdir(), 'millrace-bench-'))
const hashKernel = new RenderKernel({ imports: { target: () => ({ kind: 'refuse', reason: '' }) } })

/** A segment of frames with one group each, as the appender writes them. */
function writeSegment(
  name: string,
  record: (index: number) => Record<string, unknown>
): TaskRequest {
  const frames: FrameRef[] = []
  const parts: Buffer[] = []
  let atByte = 0
  for (let number = 0; number < FRAMES; number++) {
    const first = number * RECORDS_PER_FRAME
    const frame = frameOf(
      first,
      entries((index) => record(first + index), RECORDS_PER_FRAME)
    )
    frames.push({
      segment: 0,
      startByte: atByte,
      byteCount: frame.length,
      firstOffset: first,
      recordCount: RECORDS_PER_FRAME,
      appendTimeMs: 1000
    })
    parts.push(frame)
    atByte += frame.length
  }
  const path = join(directory, `${name}.seg`)
  writeFileSync(path, Buffer.concat(parts))
  return {
    kind: 'task',
    generation: 1,
    destination: name,
    logId: Buffer.alloc(8, 7),
    segments: [{ path, salt: SALT, epoch: 1, firstOffset: 0 }],
    frames,
    fromOffset: 0,
    finished: [],
    slot: { startByte: 0, byteCount: SLOT_BYTES },
    bodyBytesMax: SLOT_BYTES - 2 ** 20,
    rowsMax: 100_000,
    carry: null,
    watermarkMs: 1000,
    isAtEnd: true
  }
}

function frameOf(firstOffset: number, body: Buffer): Buffer {
  const labels = { tag: Buffer.from('docker.web'), ingestId: null, source: Buffer.from('in\0') }
  const payload = Buffer.alloc(groupPrefixBytes(labels) + body.length)
  const at = encodeGroupPrefix(payload, 0, labels, {
    byteCount: body.length,
    recordCount: RECORDS_PER_FRAME,
    form: 1,
    flags: 0
  })
  body.copy(payload, at)
  const frame = Buffer.alloc(frameBytesOf(payload.length))
  payload.copy(frame, 72)
  const header = {
    storedBytes: payload.length,
    payloadHash: hashKernel.hash([payload], SALT),
    firstOffset,
    recordCount: RECORDS_PER_FRAME,
    epoch: 1,
    durableOffset: 0,
    appendTimeMs: 1000,
    rawBytes: payload.length,
    codec: 0,
    schema: 1,
    flags: 0,
    minTimeDelta: 0,
    maxTimeDelta: 0
  }
  encodeFrameHeader(frame, 0, header, hashKernel.hash, SALT)
  return frame
}

function cpuMs(): number {
  const { user, system } = process.threadCpuUsage()
  return (user + system) / 1000
}

function destinationOf(name: string, steps: readonly unknown[]): Destination {
  const environment = compileEnvironment(stepCompilers, CONSTANTS, 'file:///')
  const { plan, findings } = compileSteps(steps, environment)
  if (findings.length > 0) throw new Error(JSON.stringify(findings))
  const renderHalf: RenderHalf = {
    spec: {
      framing: 'ndjson',
      target: compileTemplate('logs-${time:%Y.%m.%d}', CONSTANTS),
      timeField: { key: '@timestamp', precision: 3 },
      timeConflict: 'keep',
      tagField: null,
      hasId: true,
      messageField: null,
      recordBytesMax: 2 ** 20
    },
    targetText: (target) => ({
      kind: 'ok',
      prefix: Buffer.from(`{"create":{"_index":"${target}","_id":"`),
      afterId: Buffer.from('"}}\n')
    }),
    finish: (area) => finishTogether(area, PLAIN)
  }
  return {
    key: name,
    route: name,
    lowered: lowerPlan(plan, [], renderHalf.spec),
    renderHalf,
    scripts: [],
    slotMemory: sharedMemory(SLOT_BYTES)
  }
}

/** Best of some rounds: the machine's other work only ever adds. */
function measure(
  name: string,
  record: (index: number) => Record<string, unknown>,
  steps: readonly unknown[]
): void {
  const task = writeSegment(name, record)
  const destination = destinationOf(name, steps)
  const runner = createTaskRunner({
    createKernel(imports) {
      const face = new RenderKernel({ imports })
      return { face, hash: face.hash }
    },
    destination: () => destination,
    files: new SegmentFiles(),
    decoder: KEYLESS_DECODER,
    clockMs: cpuMs,
    deadlineMs: null
  })
  let best = Number.POSITIVE_INFINITY
  let stages = ''
  for (let round = 0; round < ROUNDS; round++) {
    const startMs = cpuMs()
    let read = 0
    let run = 0
    let finish = 0
    for (let index = 0; index < TASKS_PER_ROUND; index++) {
      const { stageMs, resumeOffset } = runner.run(task)
      if (resumeOffset !== FRAMES * RECORDS_PER_FRAME) throw new Error(`${name}: ${resumeOffset}`)
      read += stageMs.read
      run += stageMs.run
      finish += stageMs.finish
    }
    const records = TASKS_PER_ROUND * FRAMES * RECORDS_PER_FRAME
    const perMillion = ((cpuMs() - startMs) * 1000) / records
    if (perMillion >= best) continue
    best = perMillion
    const parts = [read, run, finish].map((ms) => ((ms * 1000) / records).toFixed(3))
    stages = `read ${parts[0]} run ${parts[1]} finish ${parts[2]}`
  }
  console.log(`${name.padEnd(28)} ${best.toFixed(3)} cpu-s/M  ${stages}`)
}

measure('plain', dockerRecord, [{ docker_partial: { mode: 'pass' } }])
measure('plain with join', dockerRecord, [])
measure('five filters', dockerRecord, [
  { grep: { exclude: { log: { contains: 'nothing like it' } } } },
  { set: { cluster: 'prod', stream: '${record.container_name}-${record.source}' } },
  { remove: ['container_id'] },
  { rename: { source: 'stream_name' } },
  { grep: { include: { stream_name: { prefix: 'std' } } } }
])
measure('grep pattern', dockerRecord, [{ grep: { exclude: { log: '/^nothing/' } } }])
measure('nginx', accessRecord, [{ parse: { type: 'nginx' } }])
measure('json', jsonRecord, [{ parse: { type: 'json' } }])
measure('regexp, 5 groups', accessRecord, [
  {
    parse: {
      type: 'regexp',
      expression:
        '^(?<remote>\\S+) \\S+ (?<user>\\S+) \\[(?<at>[^\\]]+)\\] "(?<request>[^"]*)" (?<code>\\d+)'
    }
  }
])

rmSync(directory, { recursive: true })
