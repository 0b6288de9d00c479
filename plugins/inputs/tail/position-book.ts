// Steps 1 and 5. Runs on: ingest.
// How far each file is stored, over starts: one small file of JSON, written whole, beside and renamed. Invariants: a
// position in it is never beyond what is durable; one write at a time, at most one per POSITIONS_WRITE_MS, the last one at
// the stop. Files that were not seen for a day are forgotten.

import type { Clock } from '../../../src/core/clock.ts'
import { errorText } from '../../../src/core/errors.ts'
import type { StateFile } from '../../../src/plugin/input.ts'
import type { OutputLog } from '../../../src/plugin/output.ts'
import { type Fingerprint, NO_FINGERPRINT } from './fingerprint.ts'

/** What a kill may leave behind the queue; ids of chunks close the gap (chunk-id.ts). */
const POSITIONS_WRITE_MS = 1000
const FORGET_MS = 24 * 3_600_000

export interface FilePosition {
  /** `device:inode` */
  readonly key: string
  /** Where it was found first; its tag follows from it. */
  readonly path: string
  readonly positionByte: number
  readonly fingerprint: Fingerprint
  /** Wall clock: when it was there last. */
  readonly seenMs: number
  /** Of the process before: chunks behind it may be stored. */
  readonly isFromBefore?: boolean
}

export interface PositionBookOptions {
  readonly clock: Clock
  readonly log: OutputLog
  readonly state: StateFile
  /** Positions of the files that are open. */
  current(): Iterable<FilePosition>
}

export class PositionBook {
  readonly #options: PositionBookOptions
  /** Of files that are not open. */
  readonly #closed = new Map<string, FilePosition>()
  /** Nothing was ever remembered here. */
  readonly isFirstStart: boolean
  #isChanged = false
  #cancel: (() => void) | null = null
  #writing: Promise<void> | null = null
  #isFailing = false
  #isStopped = false

  constructor(options: PositionBookOptions) {
    this.#options = options
    const bytes = options.state.read()
    this.isFirstStart = bytes === null
    if (bytes === null) return
    const positions = decode(bytes)
    if (positions === null) {
      options.log.error(
        { event: 'tail.positions' },
        'the positions of followed files cannot be read: all files are read from the beginning'
      )
    }
    for (const position of positions ?? []) this.#closed.set(position.key, position)
  }

  /** What is known of a file that is not open. Device numbers change with a restart of the machine; inodes do not. */
  find(key: string, path: string): FilePosition | null {
    const known = this.#closed.get(key)
    if (known !== undefined) return known
    for (const position of this.#closed.values()) {
      if (position.path !== path || inodeOf(position.key) !== inodeOf(key)) continue
      if (position.fingerprint.byteCount > 0) return position
    }
    return null
  }

  /** The file is open now, or begins anew. */
  take(position: FilePosition): void {
    this.#closed.delete(position.key)
    this.changed()
  }

  keep(position: FilePosition): void {
    this.#closed.set(position.key, position)
    this.changed()
  }

  /** Files that are there, of all that were looked for. */
  seen(keys: ReadonlySet<string> | ReadonlyMap<string, unknown>, nowMs: number): void {
    for (const [key, position] of this.#closed) {
      if (keys.has(key)) this.#closed.set(key, { ...position, seenMs: nowMs })
      else if (nowMs - position.seenMs > FORGET_MS) this.#closed.delete(key)
    }
  }

  /** A position moved: it is written soon. */
  changed(): void {
    this.#isChanged = true
    if (this.#cancel !== null || this.#isStopped) return
    this.#cancel = this.#options.clock.after(POSITIONS_WRITE_MS, () => {
      this.#cancel = null
      this.#writeSoon()
    })
  }

  /** Writes what is known now; to be called when nothing changes any more. */
  async stop(): Promise<void> {
    this.#isStopped = true
    this.#cancel?.()
    this.#cancel = null
    await this.#writing
    if (this.#isChanged) await this.#write()
  }

  #writeSoon(): void {
    if (this.#writing !== null || !this.#isChanged) return
    this.#writing = this.#write().finally(() => {
      this.#writing = null
      if (this.#isChanged) this.changed()
    })
  }

  async #write(): Promise<void> {
    const { current, log, state } = this.#options
    this.#isChanged = false
    const bytes = encode([...this.#closed.values(), ...current()])
    try {
      await state.write(bytes)
      this.#isFailing = false
    } catch (error) {
      this.#isChanged = true
      if (this.#isFailing) return
      this.#isFailing = true
      log.warn(
        { event: 'tail.positions', error: errorText(error) },
        'positions of followed files cannot be written: lines may come twice after a restart'
      )
    }
  }
}

const inodeOf = (key: string): string => key.slice(key.indexOf(':') + 1)

function encode(positions: readonly FilePosition[]): Buffer {
  const files = positions.map(({ key, path, positionByte, fingerprint, seenMs }) => ({
    file: key,
    path,
    position: positionByte,
    first_bytes: fingerprint.byteCount,
    first_crc: fingerprint.crc,
    seen: seenMs
  }))
  const lines = files.map((file) => JSON.stringify(file))
  return Buffer.from(`{"version":1,"files":[\n${lines.join(',\n')}\n]}\n`)
}

/** Null: not what `encode` wrote. */
function decode(bytes: Buffer): FilePosition[] | null {
  try {
    const { version, files } = Object(JSON.parse(bytes.toString()))
    return version === 1 && Array.isArray(files) ? files.map(positionOf) : null
  } catch {
    return null
  }
}

function positionOf(value: unknown): FilePosition {
  const { file, path, position, first_bytes, first_crc, seen } = Object(value)
  const fingerprint = { byteCount: Number(first_bytes), crc: Number(first_crc) }
  return {
    key: String(file),
    path: String(path),
    positionByte: Number(position),
    fingerprint: fingerprint.byteCount > 0 ? fingerprint : NO_FINGERPRINT,
    seenMs: Number(seen),
    isFromBefore: true
  }
}
