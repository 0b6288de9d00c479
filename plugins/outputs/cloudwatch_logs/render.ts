// Step 7. Runs on: pool.
// Records -> bodies of PutLogEvents, one or more per stream, hashed for the signature. An empty message is no event: its
// row has no bytes, and counts as stored.

import type { Template } from '../../../src/core/template.ts'
import {
  type BodyPlace,
  type BodyTreatment,
  groupRows,
  treatBodies
} from '../../../src/plugin/finish-bodies.ts'
import type {
  CreateRender,
  FinishedBodies,
  RenderArea,
  RenderHalf
} from '../../../src/plugin/output.ts'
import { type BatchPlan, type BatchRules, planBatches, type RowGroup } from './batches.ts'
import { createTargetNames } from './names.ts'
import {
  BATCH_EVENTS_MAX,
  type CloudWatchOptions,
  MESSAGE_BYTES_MAX,
  parseTarget,
  ROW_BYTES_MAX,
  TARGET_SEPARATOR
} from './options.ts'

const NOTHING = new Uint8Array(0)
const TAIL = Buffer.from(']}')

const createRender: CreateRender<CloudWatchOptions> = (options, context): RenderHalf => {
  const nameOf = createTargetNames(options)
  const treatment = { isCompressed: options.compression === 'gzip', isHashed: true }
  const rules: BatchRules = {
    eventsMax: Math.min(options.batch_events, BATCH_EVENTS_MAX),
    messageBytesMax: Math.min(options.max_event_bytes, MESSAGE_BYTES_MAX),
    truncateSuffix: options.oversize === 'truncate' ? options.truncate_suffix : null
  }
  const group = context.template(options.log_group_name)
  const stream = context.template(options.log_stream_name)
  return {
    spec: {
      framing: 'log_events',
      target: joinTemplates(group, stream),
      timeField: null,
      timeConflict: 'keep',
      tagField: options.include_tag_key ? options.tag_key : null,
      hasId: false,
      messageField: options.log_key ?? null,
      recordBytesMax: ROW_BYTES_MAX
    },
    targetText: () => ({ kind: 'ok', prefix: NOTHING, afterId: NOTHING }),
    finish: (area) => finish(area, nameOf, rules, treatment)
  }
}

export default createRender

function finish(
  area: RenderArea,
  nameOf: (target: string) => string,
  rules: BatchRules,
  treatment: BodyTreatment
): FinishedBodies {
  // Many streams need room for as many heads; what does not fit is rendered again.
  for (let rowCount = area.rows.count; ; rowCount = rowCount >> 1) {
    const plan = planBatches(area, groupsOf(area, rowCount, nameOf), rules)
    const heads = plan.batches.map(({ target }) => headOf(target))
    if (rowCount > 1 && neededBytes(area, rowCount, heads) > area.slot.length) continue
    const places = new Uint32Array(plan.order.length * 2)
    const { bodies, endByte } = writeBodies(area, plan, heads, places)
    return {
      bodies: treatBodies(area.slot, bodies, endByte, treatment),
      order: plan.order,
      places,
      rowsTaken: rowCount
    }
  }
}

function groupsOf(
  area: RenderArea,
  rowCount: number,
  nameOf: (target: string) => string
): RowGroup[] {
  const { order, names, starts } = groupRows(area, rowCount, nameOf)
  return names.map((target, group) => ({
    target,
    rows: order.subarray(starts[group], starts[group + 1] ?? rowCount)
  }))
}

function neededBytes(area: RenderArea, rowCount: number, heads: readonly Buffer[]): number {
  const last = rowCount - 1
  const rowBytes = area.rows.startByte(last) + area.rows.byteCount(last)
  return heads.reduce((sum, head) => sum + head.length + TAIL.length, rowBytes)
}

function writeBodies(
  area: RenderArea,
  plan: BatchPlan,
  heads: readonly Buffer[],
  places: Uint32Array
): { bodies: BodyPlace[]; endByte: number } {
  const bodies: BodyPlace[] = []
  let toByte = 0
  plan.batches.forEach(({ target, start, end }, index) => {
    const startByte = toByte
    toByte += heads[index]?.copy(area.slot, toByte) ?? 0
    const eventsEndByte = writeEvents(area, plan, start, end, toByte, places)
    const isEmpty = eventsEndByte === toByte
    // The comma behind the last event becomes the bracket that closes the list.
    if (isEmpty) toByte = startByte
    else toByte = eventsEndByte - 1 + TAIL.copy(area.slot, eventsEndByte - 1)
    bodies.push({
      target,
      startByte,
      byteCount: toByte - startByte,
      rowStart: start,
      rowCount: end - start
    })
  })
  return { bodies, endByte: toByte }
}

/** Copies rows [start, end) of the plan and notes where each went. Neighbours are copied in one piece. */
function writeEvents(
  area: RenderArea,
  plan: BatchPlan,
  start: number,
  end: number,
  firstByte: number,
  places: Uint32Array
): number {
  const { order, replaced } = plan
  let toByte = firstByte
  let runFrom = 0
  let runEnd = 0
  const copyRun = () => {
    area.rendered.copy(area.slot, toByte - (runEnd - runFrom), runFrom, runEnd)
  }
  for (let i = start; i < end; i++) {
    const row = order[i] ?? 0
    const byteCount = area.rows.byteCount(row)
    const cut = replaced.get(row)
    if (area.rows.messageByteCount(row) === 0) continue
    const fromByte = area.rows.startByte(row)
    if (cut !== undefined || fromByte !== runEnd) {
      copyRun()
      runFrom = cut === undefined ? fromByte : 0
      runEnd = runFrom
    }
    const writtenBytes = cut?.copy(area.slot, toByte) ?? byteCount
    places[i * 2] = toByte
    places[i * 2 + 1] = writtenBytes - 1
    toByte += writtenBytes
    if (cut === undefined) runEnd += byteCount
  }
  copyRun()
  return toByte
}

function headOf(target: string): Buffer {
  const { group, stream } = parseTarget(target)
  return Buffer.from(
    `{"logGroupName":${JSON.stringify(group)},"logStreamName":${JSON.stringify(stream)},"logEvents":[`
  )
}

function joinTemplates(group: Template, stream: Template): Template {
  const parts = [...group.parts, { kind: 'text', text: TARGET_SEPARATOR } as const, ...stream.parts]
  return {
    source: `${group.source} ${stream.source}`,
    parts: parts.map((part) =>
      part.kind === 'record' || part.kind === 'meta'
        ? { ...part, fallback: part.fallback ?? 'unknown' }
        : part
    )
  }
}
