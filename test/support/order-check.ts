// What must have happened before what, judged from the system calls of a whole run:
// - an ack is written only after a datasync that began after the write of its record has succeeded, and after a sync of the
//   directory that began after the file was created;
// - a failed sync of a file is never followed by trust in a later one;
// - a segment is deleted only when every cursor beside it says durably that it is past it;
// - nothing is written to a segment that this process did not create.

import { dirname } from 'node:path'
import { CURSOR_SLOT } from '../../src/storage/format/layout.ts'
import { parseSegmentName } from '../../src/storage/format/segment-names.ts'
import type { SystemCall } from './system-calls.ts'

interface DiskWrite {
  readonly endLine: number
  readonly text: string
  isDurable: boolean
}

interface DiskFile {
  /** Infinity: it was there before. */
  readonly createdLine: number
  isNameDurable: boolean
  isPoisoned: boolean
  readonly writes: DiskWrite[]
}

export interface OrderReport {
  readonly violations: readonly string[]
  readonly ackCount: number
  readonly unlinkCount: number
  readonly syncCount: number
}

const WRITES = new Set(['write', 'writev', 'pwrite64', 'pwritev', 'pwritev2', 'sendto', 'sendmsg'])
const QUOTED = /"([^"]*)"/

/**
 * `idPattern` finds the ids of chunks in what is written: to segments, where they are stored, and to sockets, as acks.
 * `before` are the calls of the process that was killed before: what it wrote to cursors is what this one found there.
 */
export function checkOrder(
  calls: readonly SystemCall[],
  idPattern: RegExp,
  before: readonly SystemCall[] = []
): OrderReport {
  return new OrderCheck(idPattern, cursorLows(before)).run(calls)
}

/** Highest low mark that was written to each cursor file. */
function cursorLows(calls: readonly SystemCall[]): ReadonlyMap<string, number> {
  const lows = new Map<string, number>()
  for (const { args, name, path, result } of calls) {
    if (!WRITES.has(name) || !path.endsWith('.cur') || (result ?? 0) <= 0) continue
    lows.set(path, Math.max(lows.get(path) ?? -1, lowOf(args)))
  }
  return lows
}

class OrderCheck {
  readonly #idPattern: RegExp
  /** Low marks that stood in cursor files at the start; the first sync makes them durable. */
  readonly #found: ReadonlyMap<string, number>
  readonly #files = new Map<string, DiskFile>()
  /** Durable low mark of each cursor file. */
  readonly #lows = new Map<string, number>()
  readonly #violations: string[] = []
  readonly #counts = { ackCount: 0, unlinkCount: 0, syncCount: 0 }

  constructor(idPattern: RegExp, found: ReadonlyMap<string, number>) {
    this.#idPattern = idPattern
    this.#found = found
  }

  run(calls: readonly SystemCall[]): OrderReport {
    const events = calls.flatMap((call) => [
      { line: call.startLine, isEnd: false, call },
      { line: call.endLine, isEnd: true, call }
    ])
    events.sort((one, other) => one.line - other.line || Number(one.isEnd) - Number(other.isEnd))
    for (const { call, isEnd } of events) {
      if (isEnd) this.#ended(call)
      else this.#began(call)
    }
    return { violations: this.#violations, ...this.#counts }
  }

  #began(call: SystemCall): void {
    const { name, path } = call
    if (WRITES.has(name) && path.startsWith('socket:')) this.#ack(call)
    if (name === 'unlink' || name === 'unlinkat') this.#unlink(call)
  }

  #ended(call: SystemCall): void {
    const { name, path, result } = call
    if (name === 'openat') this.#opened(call)
    else if (WRITES.has(name) && isOfQueue(path)) this.#written(call)
    else if (name === 'fdatasync' && isOfQueue(path)) this.#synced(call)
    else if (name === 'fsync' && result === 0) this.#directorySynced(call)
  }

  #opened(call: SystemCall): void {
    const path = QUOTED.exec(call.args)?.[1] ?? ''
    const isNew = call.args.includes('O_CREAT|O_EXCL')
    if (call.result === null || call.result < 0 || !isOfQueue(path) || !isNew) return
    this.#files.set(path, newFile(call.endLine))
  }

  #written(call: SystemCall): void {
    if (call.result === null || call.result <= 0) return
    const file = this.#fileOf(call.path)
    if (isSegment(call.path) && file.createdLine === Number.POSITIVE_INFINITY) {
      this.#violate(call, 'a write to a segment of an earlier process')
    }
    file.writes.push({ endLine: call.endLine, text: call.args, isDurable: false })
  }

  #synced(call: SystemCall): void {
    const file = this.#fileOf(call.path)
    if (call.result !== 0) {
      file.isPoisoned = true
      return
    }
    this.#counts.syncCount++
    // What a failed sync may have dropped is not made durable by a later one.
    if (file.isPoisoned) return
    for (const write of file.writes) if (write.endLine < call.startLine) write.isDurable = true
    if (!call.path.endsWith('.cur')) return
    const lows = file.writes.filter(({ isDurable }) => isDurable).map(({ text }) => lowOf(text))
    this.#lows.set(call.path, Math.max(this.#found.get(call.path) ?? -1, ...lows))
  }

  #directorySynced(call: SystemCall): void {
    for (const [path, file] of this.#files) {
      const isIn = dirname(path) === call.path
      if (isIn && file.createdLine < call.startLine) file.isNameDurable = true
    }
  }

  #ack(call: SystemCall): void {
    for (const [id] of call.args.matchAll(this.#idPattern)) {
      this.#counts.ackCount++
      const stored = [...this.#files].flatMap(([path, file]) =>
        file.writes.filter(({ text }) => text.includes(id)).map((write) => ({ path, file, write }))
      )
      const held = stored.filter(({ write }) => write.isDurable)
      if (stored.length === 0) this.#violate(call, `an ack of ${id}, which was never written`)
      else if (held.length === 0) this.#violate(call, `an ack of ${id} before its datasync`)
      else if (!held.some(({ file }) => file.isNameDurable)) {
        this.#violate(call, `an ack of ${id} before the sync of its directory`)
      }
    }
  }

  #unlink(call: SystemCall): void {
    const path = QUOTED.exec(call.args)?.[1] ?? ''
    if (!isSegment(path)) return
    this.#counts.unlinkCount++
    const firstOffset = offsetOf(path)
    const later = [...this.#files.keys()].filter(
      (other) =>
        dirname(other) === dirname(path) && isSegment(other) && offsetOf(other) > firstOffset
    )
    const endOffset = Math.min(...later.map(offsetOf))
    const cursors = [...this.#lows].filter(([cursor]) => dirname(cursor) === dirname(path))
    if (cursors.length === 0) this.#violate(call, `${path} deleted, and no cursor is durable`)
    for (const [cursor, low] of cursors) {
      if (low < endOffset) {
        this.#violate(call, `${path} deleted up to ${endOffset}, ${cursor} durable at ${low}`)
      }
    }
    this.#files.delete(path)
  }

  #fileOf(path: string): DiskFile {
    const known = this.#files.get(path)
    if (known !== undefined) return known
    const file = newFile(Number.POSITIVE_INFINITY)
    this.#files.set(path, file)
    return file
  }

  #violate(call: SystemCall, what: string): void {
    this.#violations.push(`line ${call.startLine + 1}: ${what}`)
  }
}

const newFile = (createdLine: number): DiskFile => ({
  createdLine,
  isNameDurable: false,
  isPoisoned: false,
  writes: []
})

const isSegment = (path: string): boolean => path.endsWith('.seg')
const isOfQueue = (path: string): boolean => isSegment(path) || path.endsWith('.cur')
const offsetOf = (path: string): number =>
  parseSegmentName(path.slice(path.lastIndexOf('/') + 1))?.firstOffset ?? -1

/** Low mark in the written bytes of a cursor slot; -1: none is in there. */
function lowOf(text: string): number {
  const start = text.indexOf('MRCU')
  if (start < 0) return -1
  const slot = Buffer.from(text.slice(start, start + CURSOR_SLOT.headerBytes), 'latin1')
  return slot.length < CURSOR_SLOT.headerBytes
    ? -1
    : Number(slot.readBigUInt64LE(CURSOR_SLOT.at.low))
}
