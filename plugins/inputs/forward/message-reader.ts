// Steps 2 and 3. Runs on: ingest.
// Bytes of one connection -> scan -> units -> queue. Invariants: a message is taken whole or not at all; what finds no room
// stays here and holds this connection alone; nothing of one connection touches another. Limit: one unfinished message,
// counted with all others of the thread (HeldBytes).

import { MESSAGE_IN_MEMORY_BYTES_MAX } from '../../../src/core/limits.ts'
import { type ScanKernel, ScanProgress } from '../../../src/kernel/scan-kernel.ts'
import type { ScanUnit } from '../../../src/kernel/scan-unit.ts'
import type { InputContext } from '../../../src/plugin/input.ts'
import { PartialBytes, type ReadArea } from '../../../src/plugin/partial-bytes.ts'
import type { AckLine } from './ack-line.ts'
import { BodyStore } from './body-store.ts'
import { JsonStream } from './json-stream.ts'
import { LongMessages } from './long-messages.ts'
import { LongStore } from './long-store.ts'
import { readHead } from './message-walk.ts'
import type { ForwardOptions } from './options.ts'
import { TagRule } from './tag-rule.ts'
import { UnitStore } from './unit-store.ts'
import { HINTS, shownBytes, type WrongProtocol } from './wrong-protocol.ts'

/** Why what was read waits here: no room in the queue, a body that is inflated, a long message, no room for its spool. */
export type Hold = 'room' | 'inflate' | 'long' | 'spool'

/** What the connection does for its reader. */
export interface ReaderHost {
  /** The sender is gone; what it sent whole is still stored, unless it sends it again. */
  readonly isClosed: boolean
  /** The socket is not to be read. */
  hold(reason: Hold): void
  /** The reason is over. */
  unhold(reason: Hold): void
  /** What was held was gone through. */
  onProgress(): void
  reset(reason: 'protocol' | 'oversize' | 'rejected' | 'memory' | 'spool'): void
  /** It speaks another protocol. */
  refuse(protocol: WrongProtocol): void
  warn(fields: object, message: string): void
}

export interface MessageReaderOptions {
  readonly context: InputContext<ScanKernel>
  readonly options: ForwardOptions
  readonly area: ReadArea
  readonly line: AckLine
  readonly peer: string
  readonly host: ReaderHost
  /** Memory in use, for the sum over all connections. */
  setHeld(byteCount: number): void
}

export class MessageReader {
  readonly #options: MessageReaderOptions
  readonly #partial: PartialBytes
  readonly #progress: ScanProgress
  readonly #tags: TagRule
  readonly #store: UnitStore
  readonly #bodies: BodyStore
  readonly #long: LongMessages
  readonly #holds = new Set<Hold>()
  /** Length of the kept unit that waits for room; 0: none does. */
  #waitingBytes = 0
  /** The sender speaks JSON. */
  #json: JsonStream | null = null
  #hasAsked = false

  constructor(all: MessageReaderOptions) {
    const { area, context, host, line, options, peer } = all
    this.#options = all
    this.#partial = new PartialBytes(context.kernel, area)
    this.#tags = new TagRule({
      tag: options.tag,
      prefix: options.add_tag_prefix,
      rawPrefix: options.tag_prefix_raw,
      defaultTag: options.default_tag
    })
    this.#progress = new ScanProgress(options.max_frame_bytes)
    const isAddressStored = options.source_address || options.source_address_key !== null
    const source = { inputId: context.id, peer: isAddressStored ? peer : '' }
    const longStore = new LongStore({
      context,
      options,
      source,
      line,
      tags: this.#tags,
      isClosed: () => host.isClosed,
      onAsked: () => {
        this.#hasAsked = true
      },
      warn: (fields, text) => host.warn(fields, text)
    })
    this.#long = new LongMessages(context, options, longStore, {
      hold: (reason) => this.#hold(reason),
      unhold: (reason) => this.#goOn(reason),
      reset: (reason) => host.reset(reason),
      warn: (fields, text) => host.warn(fields, text)
    })
    this.#store = new UnitStore({
      context,
      source,
      line,
      dedupe: options.dedupe,
      tagOf: (received) => this.#tags.of(received)
    })
    this.#bodies = new BodyStore(context, options, this.#store, longStore, {
      isSentAgain: (ackCount) => this.#isSentAgain(ackCount),
      reset: (reason) => host.reset(reason),
      warn: (fields, text) => host.warn(fields, text),
      onInflated: (isStored) => {
        if (!isStored) this.#waitForRoom(0)
        this.#goOn('inflate')
      },
      onTrouble: (error) => {
        this.#long.fail(error)
        this.#goOn('inflate')
      }
    })
  }

  /** Stands between two messages with nothing to store. */
  get isEmpty(): boolean {
    return !this.hasBytes && this.#bodies.isEmpty
  }

  /** A message has begun to arrive, or waits. */
  get hasBytes(): boolean {
    return this.#partial.byteCount > 0 || this.#long.isOpen
  }

  /** What an unfinished message begins with, for the log. */
  shownBytes(): string {
    return shownBytes(this.#partial.bytes())
  }

  get missingBytes(): number {
    return this.#partial.missingBytes
  }

  /** A message asked for an ack. */
  get hasAsked(): boolean {
    return this.#hasAsked
  }

  get isJson(): boolean {
    return this.#json !== null
  }

  /** Something that was read waits for room or for its body; what comes behind it waits too. */
  get isBusy(): boolean {
    return this.#holds.size > 0
  }

  /** `byteCount` bytes lie in the read buffer. */
  read(byteCount: number): void {
    if (this.#long.isArriving && !this.isBusy) {
      this.#readLong(this.#options.area.behind(this.#long.carry, byteCount))
      return
    }
    if (this.isBusy || this.#partial.isShort(byteCount)) {
      if (this.#partial.add(byteCount) === 'kept') this.#countHeld()
      else this.#outOfMemory()
      return
    }
    const bytes = this.#partial.join(byteCount)
    if (bytes === 'no_memory') this.#outOfMemory()
    else this.#process(bytes, bytes.length)
  }

  /** The connection is gone and nothing is to be stored any more. */
  release(): void {
    this.#partial.release()
    this.#long.close()
    this.#options.setHeld(0)
  }

  /** Records of what waits here that nobody sends again: those of whole messages, or one where they cannot be told. */
  unconfirmedRecords(): number {
    const { kernel } = this.#options.context
    const bytes = this.#partial.bytes()
    const isHolding = !this.#bodies.isEmpty || this.#long.isOpen || this.#holds.has('inflate')
    let recordCount = isHolding && !this.#hasAsked ? 1 : 0
    if (this.#json !== null) {
      recordCount += this.#hasAsked || bytes.length === 0 ? 0 : 1
    } else if (bytes.length > 0) {
      kernel.scan(bytes, new ScanProgress())
      for (let index = 0; index < kernel.unitCount; index++) {
        recordCount += unconfirmedCount(kernel.unit(index))
      }
    }
    return recordCount
  }

  /** Scans and stores; the first `firstBytes` alone, when they are a unit that waited for room. */
  #process(bytes: Buffer, firstBytes: number): void {
    if (this.#json !== null) {
      this.#processJson(bytes, this.#json)
      return
    }
    const { kernel } = this.#options.context
    let rest = bytes
    let scanBytes = firstBytes
    for (;;) {
      const isPart = scanBytes < rest.length
      const status = kernel.scan(rest.subarray(0, scanBytes), this.#progress)
      const { consumedBytes, neededBytes } = kernel
      const takenBytes = this.#takeUnits(rest, consumedBytes)
      rest = rest.subarray(takenBytes)
      scanBytes = rest.length
      const isUnfinished =
        takenBytes < consumedBytes || status === 'full' || (status === 'done' && isPart)
      if (isUnfinished || this.isBusy) {
        this.#startOver()
        if (rest.length > 0 && !this.isBusy) continue
        this.#keep(rest, 0)
      } else if (status === 'done') {
        if (neededBytes > MESSAGE_IN_MEMORY_BYTES_MAX) this.#beginLong(rest, false)
        else this.#keep(rest, neededBytes)
      } else if (status === 'json') {
        this.#json = new JsonStream(kernel)
        this.#processJson(rest, this.#json)
      } else if (this.#isPassedOver(status)) {
        this.#beginLong(rest, true)
      } else {
        this.#keep(rest.subarray(0, 0), 0)
        this.#refuseStream(status, rest)
      }
      return
    }
  }

  /** The same with JSON text. A message that finds no room is converted anew when it is offered again. */
  #processJson(bytes: Buffer, json: JsonStream): void {
    const { kernel } = this.#options.context
    let rest = bytes
    while (rest.length > 0) {
      const next = json.next(rest)
      if (next.kind === 'more') break
      if (next.kind === 'failed') {
        this.#keep(rest.subarray(0, 0), 0)
        this.#refuseJson(next.reason, rest)
        return
      }
      const status = kernel.scan(next.block, new ScanProgress())
      const isMessage = status === 'done' && kernel.consumedBytes === next.block.length
      if (isMessage) this.#takeUnits(next.block, next.block.length)
      kernel.giveBack(next.block)
      if (!isMessage) {
        this.#keep(rest.subarray(0, 0), 0)
        this.#refuseJson('malformed', rest)
        return
      }
      // It is offered by its text, so its length as MessagePack says nothing.
      this.#waitingBytes = 0
      if (this.isBusy) break
      rest = rest.subarray(next.textBytes)
    }
    this.#keep(rest, 0)
  }

  #refuseJson(reason: 'malformed' | 'message_too_large' | 'no_memory', rest: Buffer): void {
    const { context, host } = this.#options
    if (reason === 'no_memory') this.#outOfMemory()
    else if (reason === 'message_too_large') this.#refuseLarge(rest.subarray(0, 0))
    else {
      context.counters.add('forward_protocol_mismatch_total/other', 1)
      const fields = { reason, first_bytes: shownBytes(rest) }
      host.warn(fields, 'JSON on a Forward port that is no message')
      host.reset('protocol')
    }
  }

  #refuseLarge(rest: Buffer): void {
    const { context, host } = this.#options
    context.counters.add('oversize_frames', 1)
    const tag = readHead(rest)?.tag.toString() ?? ''
    host.warn({ tag, first_bytes: shownBytes(rest) }, 'a message is too long: connection reset')
    host.reset('oversize')
  }

  /** It is too long, and its sender is told that it was taken. */
  #isPassedOver(status: string): boolean {
    const { context, options } = this.#options
    const isTooLong = status === 'error' && context.kernel.errorReason === 'message_too_large'
    return isTooLong && options.on_oversize === 'drop_and_ack'
  }

  /** The message that `rest` begins with is not held in memory from now on. */
  #beginLong(rest: Buffer, isPassedOver: boolean): void {
    this.#startOver()
    const head = readHead(rest)
    if (head === null) {
      this.#keep(rest.subarray(0, 0), 0)
      this.#refuseLarge(rest)
      return
    }
    const behind = this.#long.begin(head, rest, isPassedOver)
    if (behind === null) this.#keep(rest.subarray(0, 0), 0)
    else this.#readLong(behind)
  }

  /** Its bytes; what is behind it waits until it is stored. */
  #readLong(bytes: Buffer): void {
    const rest = this.#long.take(bytes)
    if (rest === 'too_large') {
      this.#keep(bytes.subarray(0, 0), 0)
      this.#refuseLarge(bytes)
    } else this.#keep(rest, 0)
  }

  #refuseStream(status: 'error' | WrongProtocol, rest: Buffer): void {
    const { context, host } = this.#options
    const { errorReason } = context.kernel
    if (errorReason === 'message_too_large') {
      this.#refuseLarge(rest)
      return
    }
    const protocol = status === 'error' ? 'other' : status
    context.counters.add(`forward_protocol_mismatch_total/${protocol}`, 1)
    const fields = { reason: errorReason ?? status, first_bytes: shownBytes(rest) }
    host.warn(fields, HINTS[protocol])
    host.refuse(protocol)
  }

  /** The next scan begins with a new message. */
  #startOver(): void {
    this.#progress.scannedBytes = 0
    this.#progress.valuesLeft = 0
  }

  /** Takes the units of the last scan. Gives the byte up to which all is taken, or in the hands of this object. */
  #takeUnits(bytes: Buffer, consumedBytes: number): number {
    const { kernel } = this.#options.context
    const { unitCount } = kernel
    for (let index = 0; index < unitCount; index++) {
      const unit = kernel.unit(index)
      const { startByte, endByte } = unit
      if (unit.ackCount > 0) this.#hasAsked = true
      const tag = this.#tagOf(unit, bytes)
      if (unit.kind === 'gzip' || unit.kind === 'zstd') {
        const outcome = this.#bodies.open(unit, bytes, tag)
        if (outcome === 'full') this.#waitForRoom(0)
        else if (outcome === 'inflating') this.#hold('inflate')
        return endByte
      }
      if (!this.#take(unit, bytes, tag)) {
        this.#waitForRoom(endByte - startByte)
        return startByte
      }
    }
    return consumedBytes
  }

  #tagOf(unit: ScanUnit, bytes: Buffer): Buffer {
    const start = unit.tagStartByte
    return this.#tags.of(bytes.subarray(start, start + unit.tagByteCount))
  }

  #take(unit: ScanUnit, bytes: Buffer, tag: Buffer): boolean {
    if (this.#isSentAgain(unit.ackCount)) return true
    const { counters } = this.#options.context
    const mode = unit.kind === 'messages' ? 'message' : 'batch'
    if (!this.#store.take(unit, bytes, tag)) return false
    counters.add(`input_received_messages_total/${mode}`, unit.messageCount)
    return true
  }

  /** The sender is gone and waited for an ack, so it sends again; what has begun goes on. */
  #isSentAgain(ackCount: number): boolean {
    return this.#options.host.isClosed && ackCount > 0 && !this.#store.isStarted
  }

  #hold(reason: Hold): void {
    this.#holds.add(reason)
    this.#options.host.hold(reason)
  }

  #waitForRoom(unitBytes: number): void {
    this.#waitingBytes = unitBytes
    this.#hold('room')
    this.#options.context.appender.onRoom(() => this.#onRoom())
  }

  #onRoom(): void {
    if (this.#bodies.retry()) this.#goOn('room')
    else this.#options.context.appender.onRoom(() => this.#onRoom())
  }

  /** Goes on with what is kept. */
  #goOn(reason: Hold): void {
    this.#holds.delete(reason)
    // A body that found no room, or a long message that is stored now: the connection stays held for that reason.
    if (this.isBusy) {
      this.#options.host.unhold(reason)
      return
    }
    const unitBytes = this.#waitingBytes
    this.#waitingBytes = 0
    const bytes = this.#partial.bytes()
    if (reason === 'spool' && this.#long.isArriving) {
      if (bytes.length > 0) this.#readLong(bytes)
      if (!this.#holds.has(reason)) this.#options.host.unhold(reason)
      return
    }
    this.#startOver()
    if (bytes.length > 0) this.#process(bytes, unitBytes > 0 ? unitBytes : bytes.length)
    // Held again for the same reason: the socket was not read in between.
    if (!this.#holds.has(reason)) this.#options.host.unhold(reason)
    this.#options.host.onProgress()
  }

  #keep(rest: Buffer, neededBytes: number): void {
    if (this.#partial.keep(rest, neededBytes) === 'no_memory') this.#outOfMemory()
    else this.#countHeld()
  }

  #countHeld(): void {
    this.#options.setHeld(this.#partial.heldBytes)
  }

  #outOfMemory(): void {
    const { host } = this.#options
    host.warn({}, 'no memory for an unfinished message: connection reset')
    host.reset('memory')
  }
}

/** Records of a unit that nobody sends again. */
function unconfirmedCount(unit: ScanUnit): number {
  const { ackCount, kind, recordCount } = unit
  if (kind === 'messages') return Math.max(0, recordCount - ackCount)
  if (ackCount > 0) return 0
  return kind === 'gzip' || kind === 'zstd' ? 1 : recordCount
}
