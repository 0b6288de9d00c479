// Step 7. Runs on: pool.
// Bodies for outputs that need no grouping beyond the target: one body per target, rows in the order in which they were
// rendered, compressed and hashed where the output asks. Pure: the same rows give the same bytes.

import { createHash } from 'node:crypto'
import { gzipSync } from 'node:zlib'
import type { FinishedBodies, RenderArea, RenderedBody } from './output.ts'

export interface FinishPlainOptions {
  /** gzip level 1 to 9; null: sent as it is. */
  readonly gzipLevel: number | null
  /** Whether the hex SHA-256 of what is sent goes with the body. */
  readonly hasSha256: boolean
}

/** zlib hands out its result in pieces of this size; one piece is one copy less. */
const GZIP_CHUNK_BYTES = 1024 * 1024

/** Puts bodies, and behind each its compressed copy, into the slot as far as there is room. */
export function finishPlain(area: RenderArea, options: FinishPlainOptions): FinishedBodies {
  const target = area.rows.count === 0 ? -1 : area.rows.target(0)
  for (let row = 1; row < area.rows.count; row++) {
    if (area.rows.target(row) !== target) return finishByTarget(area, options)
  }
  return finishOne(area, options)
}

/** All rows have one target: they stand back to back as rendered, and one copy moves them. */
function finishOne(area: RenderArea, options: FinishPlainOptions): FinishedBodies {
  const { rendered, rows, slot } = area
  let rowsTaken = rows.count
  while (rowsTaken > 0) {
    const lastRow = rowsTaken - 1
    const byteCount = rows.startByte(lastRow) + rows.byteCount(lastRow) - rows.startByte(0)
    if (byteCount <= slot.length) {
      rendered.copy(slot, 0, rows.startByte(0), rows.startByte(0) + byteCount)
      const place = { target: rows.target(0), startByte: 0, byteCount, rowStart: 0, rowCount: rowsTaken }
      const body = seal(area, place, byteCount, options)
      if (body !== null) {
        return { bodies: [body], order: null, places: null, rowsTaken }
      }
    }
    rowsTaken = Math.floor(rowsTaken / 2)
  }
  return { bodies: [], order: null, places: null, rowsTaken: 0 }
}

interface BodyPlace {
  readonly target: number
  readonly startByte: number
  readonly byteCount: number
  readonly rowStart: number
  readonly rowCount: number
}

/** Rows of each target together, targets in the order in which they first appear. */
function finishByTarget(area: RenderArea, options: FinishPlainOptions): FinishedBodies {
  let rowsTaken = area.rows.count
  while (rowsTaken > 0) {
    const finished = gather(area, rowsTaken, options)
    if (finished !== null) return finished
    rowsTaken = Math.floor(rowsTaken / 2)
  }
  return { bodies: [], order: null, places: null, rowsTaken: 0 }
}

/** Null: the slot has no room for so many rows. */
function gather(
  area: RenderArea,
  rowsTaken: number,
  options: FinishPlainOptions
): FinishedBodies | null {
  const { rendered, rows, slot } = area
  const order = orderByTarget(area, rowsTaken)
  const places = new Uint32Array(rowsTaken * 2)
  const bodies: RenderedBody[] = []
  let atByte = 0
  let index = 0
  while (index < rowsTaken) {
    const target = rows.target(order[index] ?? 0)
    const startByte = atByte
    const rowStart = index
    for (; index < rowsTaken; index++) {
      const row = order[index] ?? 0
      if (rows.target(row) !== target) break
      const byteCount = rows.byteCount(row)
      if (atByte + byteCount > slot.length) return null
      rendered.copy(slot, atByte, rows.startByte(row), rows.startByte(row) + byteCount)
      places[index * 2] = atByte
      places[index * 2 + 1] = byteCount
      atByte += byteCount
    }
    const place = {
      target,
      startByte,
      byteCount: atByte - startByte,
      rowStart,
      rowCount: index - rowStart
    }
    const body = seal(area, place, atByte, options)
    if (body === null) return null
    bodies.push(body)
    if (body.compressed !== null) atByte = body.compressed.startByte + body.compressed.byteCount
  }
  return { bodies, order, places, rowsTaken }
}

/** A stable counting sort: row numbers by target. */
function orderByTarget(area: RenderArea, rowsTaken: number): Uint32Array {
  const rank = new Map<number, number>()
  const counts: number[] = []
  for (let row = 0; row < rowsTaken; row++) {
    const target = area.rows.target(row)
    const known = rank.get(target)
    if (known === undefined) {
      rank.set(target, counts.length)
      counts.push(1)
    } else counts[known] = (counts[known] ?? 0) + 1
  }
  const next: number[] = []
  let sum = 0
  for (const count of counts) {
    next.push(sum)
    sum += count
  }
  const order = new Uint32Array(rowsTaken)
  for (let row = 0; row < rowsTaken; row++) {
    const known = rank.get(area.rows.target(row)) ?? 0
    const place = next[known] ?? 0
    order[place] = row
    next[known] = place + 1
  }
  return order
}

/** Adds the compressed copy at `freeByte` and the hash; null: no room for the copy. */
function seal(
  area: RenderArea,
  place: BodyPlace,
  freeByte: number,
  options: FinishPlainOptions
): RenderedBody | null {
  const { slot, targets } = area
  const plain = slot.subarray(place.startByte, place.startByte + place.byteCount)
  let sent = plain
  let compressed: RenderedBody['compressed'] = null
  if (options.gzipLevel !== null) {
    const packed = gzipSync(plain, { level: options.gzipLevel, chunkSize: GZIP_CHUNK_BYTES })
    if (freeByte + packed.length > slot.length) return null
    packed.copy(slot, freeByte)
    compressed = { startByte: freeByte, byteCount: packed.length }
    sent = packed
  }
  const sha256 = options.hasSha256 ? createHash('sha256').update(sent).digest('hex') : null
  return {
    target: targets[place.target] ?? '',
    startByte: place.startByte,
    byteCount: place.byteCount,
    rowStart: place.rowStart,
    rowCount: place.rowCount,
    compressed,
    sha256
  }
}
