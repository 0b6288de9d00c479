// Step 7. Runs on: pool.
// Rows of one stream -> requests within the rules of PutLogEvents: in the order of time, at most 10,000 events, at most
// 1 MiB as the service counts, less than 24 hours from first to last. Equal times keep the order of the queue.

import type { RenderArea } from '../../../src/plugin/output.ts'
import { truncateRow } from './event-rows.ts'
import { BATCH_BYTES_MAX, BATCH_SPAN_MS, EVENT_OVERHEAD_BYTES } from './options.ts'

export interface BatchRules {
  readonly eventsMax: number
  readonly messageBytesMax: number
  /** null: too long messages travel alone, for the client to refuse. */
  readonly truncateSuffix: string | null
}

/** Rows [start, end) of `order` that make one request. */
export interface PlannedBatch {
  readonly target: string
  readonly start: number
  readonly end: number
}

export interface BatchPlan {
  readonly batches: PlannedBatch[]
  /** Rows by request, as rendered; index into the rendered rows. */
  readonly order: Uint32Array
  /** Rows that were cut. */
  readonly replaced: Map<number, Buffer>
}

export interface RowGroup {
  readonly target: string
  readonly rows: Uint32Array
}

export function planBatches(
  area: RenderArea,
  groups: readonly RowGroup[],
  rules: BatchRules
): BatchPlan {
  const rowCount = groups.reduce((sum, { rows }) => sum + rows.length, 0)
  const plan: BatchPlan = { batches: [], order: new Uint32Array(rowCount), replaced: new Map() }
  let start = 0
  for (const { target, rows } of groups) {
    plan.order.set(sortByTime(area, rows), start)
    const end = start + rows.length
    cutBatches(area, plan, { target, start, end }, rules)
    start = end
  }
  return plan
}

/** In place; a stream that arrived in order, the usual case, costs one pass. */
function sortByTime(area: RenderArea, rows: Uint32Array): Uint32Array {
  let lastMs = Number.NEGATIVE_INFINITY
  let isSorted = true
  for (const row of rows) {
    const timeMs = area.rows.timeMs(row)
    if (timeMs < lastMs) isSorted = false
    lastMs = timeMs
  }
  return isSorted
    ? rows
    : rows.sort((one, other) => area.rows.timeMs(one) - area.rows.timeMs(other) || one - other)
}

function cutBatches(
  area: RenderArea,
  plan: BatchPlan,
  stream: PlannedBatch,
  rules: BatchRules
): void {
  let start = stream.start
  let counted = 0
  let eventCount = 0
  let firstMs = 0
  const close = (end: number) => {
    if (end > start) plan.batches.push({ target: stream.target, start, end })
    start = end
    counted = 0
    eventCount = 0
  }
  for (let i = stream.start; i < stream.end; i++) {
    const row = plan.order[i] ?? 0
    const timeMs = area.rows.timeMs(row)
    const messageBytes = measure(area, plan, row, timeMs, rules)
    if (messageBytes === 0) continue
    if (messageBytes > rules.messageBytesMax) {
      close(i)
      close(i + 1)
      continue
    }
    const bytes = messageBytes + EVENT_OVERHEAD_BYTES
    const isFull = counted + bytes > BATCH_BYTES_MAX || eventCount === rules.eventsMax
    if (isFull || (eventCount > 0 && timeMs - firstMs >= BATCH_SPAN_MS)) close(i)
    if (eventCount === 0) firstMs = timeMs
    counted += bytes
    eventCount++
  }
  close(stream.end)
}

/** Bytes of a row's message; one that is too long is cut first, where it may be. */
function measure(
  area: RenderArea,
  plan: BatchPlan,
  row: number,
  timeMs: number,
  rules: BatchRules
): number {
  const messageBytes = area.rows.messageByteCount(row)
  if (messageBytes <= rules.messageBytesMax || rules.truncateSuffix === null) return messageBytes
  const startByte = area.rows.startByte(row)
  const bytes = area.rendered.subarray(startByte, startByte + area.rows.byteCount(row))
  plan.replaced.set(row, truncateRow(bytes, timeMs, rules.messageBytesMax, rules.truncateSuffix))
  return rules.messageBytesMax
}
