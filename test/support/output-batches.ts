// What delivery and the pool would hand to an output, made by hand: render areas, batches, contexts.

import { type Clock, systemClock } from '../../src/core/clock.ts'
import { compileTemplate } from '../../src/core/template.ts'
import type {
  Batch,
  FinishedBodies,
  FlushOutcome,
  OutputContext,
  RenderArea,
  RenderContext,
  Verdict
} from '../../src/plugin/output.ts'

export interface AreaRow {
  readonly target: string
  /** As the kernel would have rendered it. */
  readonly text: string
  readonly timeMs?: number
  /** `log_events` only. */
  readonly message?: string
}

/** Rows as the kernel leaves them, and shared memory as the slot. */
export function renderArea(rows: readonly AreaRow[], slotBytes = 64 * 1024): RenderArea {
  const targets = [...new Set(rows.map(({ target }) => target))]
  const numbers = new Map(targets.map((target, index) => [target, index]))
  const texts = rows.map(({ text }) => Buffer.from(text))
  // Five words a row, as quick to read as the kernel's own index.
  const words = new Float64Array(rows.length * 5)
  let startByte = 0
  rows.forEach(({ target, timeMs = 0, message = '' }, row) => {
    const byteCount = texts[row]?.length ?? 0
    const number = numbers.get(target) ?? 0
    words.set([startByte, byteCount, number, timeMs, Buffer.byteLength(message)], row * 5)
    startByte += byteCount
  })
  const word = (row: number, index: number) => words[row * 5 + index] ?? 0
  return {
    rendered: Buffer.concat(texts),
    rows: {
      count: rows.length,
      startByte: (row) => word(row, 0),
      byteCount: (row) => word(row, 1),
      target: (row) => word(row, 2),
      timeMs: (row) => word(row, 3),
      messageByteCount: (row) => word(row, 4)
    },
    targets,
    slot: Buffer.from(new SharedArrayBuffer(slotBytes))
  }
}

/** The batches that delivery makes of finished bodies. */
export function batchesOf(area: RenderArea, finished: FinishedBodies): Batch[] {
  return finished.bodies.map((body) => {
    const sent = body.compressed ?? body
    return {
      target: body.target,
      body: area.slot.subarray(sent.startByte, sent.startByte + sent.byteCount),
      isCompressed: body.compressed !== null,
      sha256: body.sha256,
      rowCount: body.rowCount,
      rawByteCount: body.byteCount,
      attempt: 1,
      rowBytes(row) {
        const place = body.rowStart + row
        const startByte = finished.places?.[place * 2] ?? area.rows.startByte(place)
        const byteCount = finished.places?.[place * 2 + 1] ?? area.rows.byteCount(place)
        return area.slot.subarray(startByte, startByte + byteCount)
      }
    }
  })
}

/** A batch of rows that stand back to back. */
export function batchOf(rows: readonly string[], overrides: Partial<Batch> = {}): Batch {
  const buffers = rows.map((row) => Buffer.from(row))
  const body = Buffer.concat(buffers)
  return {
    target: '',
    body,
    isCompressed: false,
    sha256: null,
    rowCount: rows.length,
    rawByteCount: body.length,
    attempt: 1,
    rowBytes: (row) => buffers[row] ?? Buffer.alloc(0),
    ...overrides
  }
}

export const TEST_CONSTANTS = { hostname: 'test-host', uuid: 'test-uuid', dataDir: '/data' }

export const renderContext: RenderContext = {
  hostname: TEST_CONSTANTS.hostname,
  template: (text) => compileTemplate(text, TEST_CONSTANTS)
}

export interface LogLine {
  readonly level: 'info' | 'warn' | 'error'
  readonly fields: Record<string, unknown>
  readonly message: string
}

/** A context that keeps what the output says. */
export function outputContext(clock: Clock = systemClock): OutputContext & { lines: LogLine[] } {
  const lines: LogLine[] = []
  const say = (level: LogLine['level']) => (fields: object, message: string) => {
    lines.push({ level, fields: { ...fields }, message })
  }
  return {
    id: 'test',
    clock,
    dataDir: '/data',
    log: { info: say('info'), warn: say('warn'), error: say('error') },
    lines
  }
}

/** A verdict per row, whatever the form of the outcome. */
export function verdictsOf(outcome: FlushOutcome, rowCount: number): readonly Verdict[] {
  switch (outcome.kind) {
    case 'all':
      return Array.from({ length: rowCount }, () => outcome.verdict)
    case 'rows':
      return outcome.verdicts
    case 'split':
      throw new Error(`the body was to be split: ${outcome.reason}`)
  }
}

export const never = new AbortController().signal
