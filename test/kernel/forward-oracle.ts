// Runs on: any.
// A plain reader of Forward streams, written for clarity: it builds a tree of every value and judges by the tree. The
// kernel's scanner builds nothing; both must tell the same of the same bytes.

export type NodeKind =
  | 'int'
  | 'float'
  | 'nil'
  | 'bool'
  | 'text'
  | 'ext'
  | 'array'
  | 'map'
  | 'reserved'

export interface Node {
  readonly kind: NodeKind
  readonly start: number
  readonly end: number
  /** Elements; keys and values of a map in turn. */
  readonly items: readonly Node[]
  readonly number: number | bigint
  /** Payload of text and ext. */
  readonly payload: Uint8Array
  readonly extType: number
}

/** The value is not there to its end. */
export class CutError extends Error {}

const NO_BYTES = new Uint8Array(0)

export function readNode(bytes: Buffer, start: number): Node {
  const c = byteAt(bytes, start)
  const plain = { start, items: [], number: 0, payload: NO_BYTES, extType: 0 }
  const int = (byteCount: number, number: number | bigint): Node => {
    return { ...plain, kind: 'int', end: start + 1 + byteCount, number }
  }
  const text = (at: number, length: number): Node => {
    return { ...plain, kind: 'text', end: at + length, payload: slice(bytes, at, length) }
  }
  const ext = (at: number, length: number): Node => {
    const extType = bytes.readInt8(need(bytes, at - 1, 1))
    return { ...plain, kind: 'ext', end: at + length, payload: slice(bytes, at, length), extType }
  }
  const group = (kind: 'array' | 'map', at: number, count: number): Node => {
    const items: Node[] = []
    let end = at
    for (let index = 0; index < count * (kind === 'map' ? 2 : 1); index += 1) {
      const item = readNode(bytes, end)
      items.push(item)
      end = item.end
    }
    return { ...plain, kind, end, items }
  }
  const u = (width: number) => bytes.readUIntBE(need(bytes, start + 1, width), width)
  if (c < 0x80) return int(0, c)
  if (c >= 0xe0) return int(0, c - 256)
  if (c < 0x90) return group('map', start + 1, c & 15)
  if (c < 0xa0) return group('array', start + 1, c & 15)
  if (c < 0xc0) return text(start + 1, c & 31)
  switch (c) {
    case 0xc0:
      return { ...plain, kind: 'nil', end: start + 1 }
    case 0xc1:
      return { ...plain, kind: 'reserved', end: start + 1 }
    case 0xc2:
    case 0xc3:
      return { ...plain, kind: 'bool', end: start + 1 }
    case 0xc4:
    case 0xd9:
      return text(start + 2, u(1))
    case 0xc5:
    case 0xda:
      return text(start + 3, u(2))
    case 0xc6:
    case 0xdb:
      return text(start + 5, u(4))
    case 0xc7:
      return ext(start + 3, u(1))
    case 0xc8:
      return ext(start + 4, u(2))
    case 0xc9:
      return ext(start + 6, u(4))
    case 0xca: {
      const number = bytes.readFloatBE(need(bytes, start + 1, 4))
      return { ...plain, kind: 'float', end: start + 5, number }
    }
    case 0xcb: {
      const number = bytes.readDoubleBE(need(bytes, start + 1, 8))
      return { ...plain, kind: 'float', end: start + 9, number }
    }
    case 0xcc:
      return int(1, u(1))
    case 0xcd:
      return int(2, u(2))
    case 0xce:
      return int(4, u(4))
    case 0xcf:
      return int(8, bytes.readBigUInt64BE(need(bytes, start + 1, 8)))
    case 0xd0:
      return int(1, bytes.readInt8(need(bytes, start + 1, 1)))
    case 0xd1:
      return int(2, bytes.readInt16BE(need(bytes, start + 1, 2)))
    case 0xd2:
      return int(4, bytes.readInt32BE(need(bytes, start + 1, 4)))
    case 0xd3:
      return int(8, bytes.readBigInt64BE(need(bytes, start + 1, 8)))
    case 0xdc:
      return group('array', start + 3, u(2))
    case 0xdd:
      return group('array', start + 5, u(4))
    case 0xde:
      return group('map', start + 3, u(2))
    case 0xdf:
      return group('map', start + 5, u(4))
  }
  return ext(start + 2, 2 ** (c - 0xd4))
}

function byteAt(bytes: Buffer, at: number): number {
  return bytes.readUInt8(need(bytes, at, 1))
}

function need(bytes: Buffer, at: number, byteCount: number): number {
  if (at + byteCount > bytes.length) throw new CutError()
  return at
}

function slice(bytes: Buffer, at: number, byteCount: number): Uint8Array {
  return bytes.subarray(need(bytes, at, byteCount), at + byteCount)
}

export interface Summary {
  kind: string
  tag: string
  start: number
  end: number
  /** Start, end, records, start and end of the open marker, of the tag of a batch within the batch. */
  spans: number[][]
  acks: string[]
  messages: number
  records: number
  invalid: Record<string, number>
  arrival: number
  badTime: number
  markers: number
  nested: number
  min: number
  max: number
  giveUp: string | null
}

export interface OracleResult {
  readonly units: readonly Summary[]
  readonly consumed: number
  readonly error: 'not_a_message' | 'reserved_byte' | null
}

const INVALID_RUN_MAX = 1000

/** Everything that a MessagePack stream says, message by message; merge() puts Message mode together. */
export function readStream(bytes: Buffer): OracleResult {
  const units: Summary[] = []
  let at = 0
  while (at < bytes.length) {
    const c = byteAt(bytes, at)
    if (c === 0xc0 || c === 0) {
      at += 1
      continue
    }
    if (!((c >= 0x90 && c < 0xa0) || c === 0xdc || c === 0xdd)) {
      return { units, consumed: at, error: 'not_a_message' }
    }
    const node = nodeOrNull(bytes, at)
    if (node === null) return { units, consumed: at, error: hasReserved(bytes, at) }
    if (contains(node, 'reserved')) return { units, consumed: at, error: 'reserved_byte' }
    units.push(judgeMessage(bytes, node))
    at = node.end
  }
  return { units, consumed: at, error: null }
}

/** A c1 among the values that are there of a cut message. */
function hasReserved(bytes: Buffer, start: number): 'reserved_byte' | null {
  let left = 1
  let at = start
  try {
    while (left > 0) {
      left -= 1
      const c = byteAt(bytes, at)
      if (c === 0xc1) return 'reserved_byte'
      const isMap = (c & 0xf0) === 0x80 || c === 0xde || c === 0xdf
      const isArray = (c & 0xf0) === 0x90 || c === 0xdc || c === 0xdd
      if (!isMap && !isArray) {
        at = readNode(bytes, at).end
        continue
      }
      const width = c < 0xa0 ? 0 : c === 0xdc || c === 0xde ? 2 : 4
      const count = width === 0 ? c & 15 : bytes.readUIntBE(need(bytes, at + 1, width), width)
      at += 1 + width
      left += isMap ? 2 * count : count
    }
  } catch (error) {
    if (!(error instanceof CutError)) throw error
  }
  return null
}

/** Message-mode units of one tag side by side become one. */
export function merge(units: readonly Summary[]): Summary[] {
  const merged: Summary[] = []
  for (const unit of units) {
    const last = merged.at(-1)
    const isSame =
      last?.kind === 'messages' &&
      unit.kind === 'messages' &&
      last.records > 0 &&
      unit.records > 0 &&
      last.tag === unit.tag &&
      last.end === unit.start
    if (!last || !isSame) {
      merged.push({ ...unit, spans: unit.spans.map((span) => [...span]), acks: [...unit.acks] })
      continue
    }
    last.end = unit.end
    last.spans[0]![1] = unit.end
    last.spans[0]![2]! += unit.records
    last.acks.push(...unit.acks)
    last.messages += unit.messages
    last.records += unit.records
    last.arrival += unit.arrival
    last.badTime += unit.badTime
    last.min = Math.min(last.min, unit.min)
    last.max = Math.max(last.max, unit.max)
  }
  return merged
}

function nodeOrNull(bytes: Buffer, at: number): Node | null {
  try {
    return readNode(bytes, at)
  } catch (error) {
    if (error instanceof CutError) return null
    throw error
  }
}

function contains(node: Node, kind: NodeKind): boolean {
  return node.kind === kind || node.items.some((item) => contains(item, kind))
}

export function depthOf(node: Node): number {
  if (node.kind !== 'array' && node.kind !== 'map') return 0
  return 1 + Math.max(0, ...node.items.map(depthOf))
}

function emptySummary(node: { start: number; end: number }): Summary {
  return {
    kind: 'invalid',
    tag: '',
    start: node.start,
    end: node.end,
    spans: [],
    acks: [],
    messages: 1,
    records: 0,
    invalid: {},
    arrival: 0,
    badTime: 0,
    markers: 0,
    nested: 0,
    min: Number.POSITIVE_INFINITY,
    max: Number.NEGATIVE_INFINITY,
    giveUp: null
  }
}

interface Options {
  ack: Node | null
  compressed: string | null
  signal: number
  depth: number
}

function optionsOf(node: Node | undefined): Options {
  const options: Options = { ack: null, compressed: null, signal: 0, depth: 0 }
  if (!node) return options
  options.depth = depthOf(node)
  if (node.kind !== 'map') return options
  for (let index = 0; index < node.items.length; index += 2) {
    const key = node.items[index]!
    const value = node.items[index + 1]!
    if (key.kind !== 'text') continue
    const name = Buffer.from(key.payload).toString('latin1')
    if (name === 'chunk') options.ack = value.kind === 'nil' ? null : value
    if (name === 'compressed') options.compressed = compressionOf(value)
    if (name === 'fluent_signal') {
      const signal = value.kind === 'int' ? Number(value.number) : 0
      options.signal = signal >= 1 && signal <= 4 ? signal : 0
    }
  }
  return options
}

function compressionOf(value: Node): string | null {
  if (value.kind === 'nil') return null
  const text = value.kind === 'text' ? Buffer.from(value.payload).toString('latin1') : 'unknown'
  return text === 'text' ? null : text
}

function judgeMessage(bytes: Buffer, node: Node): Summary {
  const unit = emptySummary(node)
  const [tag, body, third] = node.items
  const isSingle = body !== undefined && isMessageMode(body, third)
  const options = optionsOf(node.items[isSingle ? 3 : 2])
  const wrong = (reason: string) => {
    unit.invalid = { [reason]: 1 }
    return unit
  }
  if (!tag || !body || (isSingle && node.items.length < 3)) return wrong('bad_message')
  if (options.ack) unit.acks = [bytes.toString('hex', options.ack.start, options.ack.end)]
  if (tag.kind !== 'text') return wrong('bad_message')
  unit.tag = Buffer.from(tag.payload).toString('hex')
  unit.kind = options.signal ? 'skipped' : isSingle ? 'messages' : 'entries'
  if (isSingle) return judgeSingle(unit, body, third!, options)
  if (options.signal) return unit
  if (body.kind === 'array') {
    judgeEntries(unit, bytes, body.items, body.items[0]?.start ?? body.end)
    return unit
  }
  const kind = packedKind(Buffer.from(body.payload), options.compressed)
  unit.kind = kind
  if (kind === 'entries') judgeBody(unit, bytes, body.end - body.payload.length, body.end)
  return unit
}

function isMessageMode(body: Node, third: Node | undefined): boolean {
  if (body.kind === 'text') return false
  if (body.kind !== 'array') return true
  const [time, metadata] = body.items
  return (
    body.items.length === 2 &&
    (time?.kind === 'int' ||
      time?.kind === 'float' ||
      (time?.kind === 'ext' && (time.extType === 0 || time.extType === -1))) &&
    metadata?.kind === 'map' &&
    third?.kind === 'map'
  )
}

function judgeSingle(unit: Summary, body: Node, record: Node, options: Options): Summary {
  const hasHeader = body.kind === 'array'
  const metadataDepth = hasHeader ? Math.max(0, ...body.items.slice(1).map(depthOf)) : 0
  const depth = Math.max(depthOf(record), metadataDepth, options.depth)
  const reason = record.kind !== 'map' ? 'bad_record' : depth > 128 ? 'too_deep' : null
  if (unit.kind === 'skipped') {
    return unit
  }
  if (reason) {
    unit.invalid = { [reason]: 1 }
    return unit
  }
  unit.records = 1
  unit.spans = [[unit.start, unit.end, 1, 0, 0, 0, 0]]
  noteTime(unit, hasHeader ? body.items[0] : body)
  return unit
}

function packedKind(body: Buffer, compressed: string | null): string {
  const hex = body.toString('hex', 0, 4)
  if (hex.startsWith('1f8b')) return 'gzip'
  if (hex === '28b52ffd') return 'zstd'
  const isArray = /^(9|dc|dd)/.test(hex)
  if (body.length === 0 || isArray) return 'entries'
  return compressed === 'gzip' || compressed === 'zstd' ? compressed : 'entries'
}

/** Values back to back; a cut one is the last. */
function nodesOf(body: Buffer, start: number): { nodes: Node[]; isCut: boolean; end: number } {
  const nodes: Node[] = []
  let at = start
  while (at < body.length) {
    const node = nodeOrNull(body, at)
    if (node === null) return { nodes, isCut: true, end: at }
    nodes.push(node)
    at = node.end
  }
  return { nodes, isCut: false, end: at }
}

/** Entries in one piece: a cut one is the last, and not valid. */
export function judgeBody(unit: Summary, bytes: Buffer, start: number, end: number): void {
  const { nodes, isCut } = nodesOf(bytes.subarray(0, end), start)
  new EntryJudge(unit, bytes).judge(nodes, start, isCut)
}

function judgeEntries(unit: Summary, bytes: Buffer, nodes: readonly Node[], start: number): void {
  new EntryJudge(unit, bytes).judge(nodes, start, false)
}

class EntryJudge {
  readonly #unit: Summary
  readonly #bytes: Buffer
  #span: number[] = []
  #marker: Node | null = null
  #tag: Node | null = null
  #run = 0

  constructor(unit: Summary, bytes: Buffer) {
    this.#unit = unit
    this.#bytes = bytes
  }

  judge(nodes: readonly Node[], start: number, isCut: boolean): void {
    const unit = this.#unit
    this.#open(start)
    for (const node of nodes) {
      const verdict = judgeEntry(node)
      if (verdict === 'nested_batch' && this.#unwrap(node)) {
        if (unit.giveUp) return
        continue
      }
      if (typeof verdict === 'string') {
        if (this.#leaveOut(verdict, node.end)) return
        continue
      }
      this.#run = 0
      this.#span[1] = node.end
      if (verdict.marker) {
        unit.markers += 1
        this.#marker = verdict.marker === 'open' ? node : null
        continue
      }
      this.#span[2]! += 1
      unit.records += 1
      noteTime(unit, verdict.time)
    }
    this.#close()
    if (isCut) this.#leaveOut('cut_short', 0)
  }

  #open(at: number): void {
    const tagEnd = this.#tag?.end ?? 0
    const tagStart = tagEnd - (this.#tag?.payload.length ?? 0)
    this.#span = [at, at, 0, this.#marker?.start ?? 0, this.#marker?.end ?? 0, tagStart, tagEnd]
  }

  #close(): void {
    if (this.#span[2]! > 0) this.#unit.spans.push(this.#span)
    this.#span = []
  }

  #leaveOut(reason: string, end: number): boolean {
    const unit = this.#unit
    unit.invalid[reason] = (unit.invalid[reason] ?? 0) + 1
    if (this.#span.length > 0) this.#close()
    this.#open(end)
    this.#run += 1
    if (this.#run === INVALID_RUN_MAX) unit.giveUp = 'consecutive_invalid'
    return this.#run === INVALID_RUN_MAX
  }

  #unwrap(node: Node): boolean {
    const [tag, body] = node.items
    if (!tag || !body || this.#tag) return false
    const start = body.end - body.payload.length
    const isText = body.kind === 'text'
    if (isText && /^(1f8b.{4}|28b52ffd)/.test(Buffer.from(body.payload).toString('hex')))
      return false
    this.#close()
    const outer = this.#marker
    this.#marker = null
    this.#tag = tag
    const inner = isText ? nodesOf(this.#bytes.subarray(0, body.end), start) : null
    const nodes = inner?.nodes ?? body.items
    this.judge(nodes, nodes[0]?.start ?? start, inner?.isCut ?? false)
    this.#tag = null
    this.#marker = outer
    this.#open(node.end)
    this.#unit.nested += 1
    return true
  }
}

function judgeEntry(
  node: Node
): string | { time: Node | undefined; marker: 'open' | 'close' | null } {
  if (contains(node, 'reserved')) return 'bad_record'
  const [first, second] = node.items
  if (node.kind !== 'array' || !first || !second) return 'not_an_entry'
  if (first.kind === 'text' && (second.kind === 'text' || second.kind === 'array')) {
    return 'nested_batch'
  }
  if (second.kind !== 'map') return 'bad_record'
  const isHeader = first.kind === 'array'
  const metadata = isHeader ? first.items.slice(1) : []
  if (Math.max(depthOf(second), ...metadata.map(depthOf)) > 128) return 'too_deep'
  const time = isHeader ? first.items[0] : first
  const seconds = isHeader && time ? eventTimeSeconds(time) : null
  if (seconds === 0xffffffff) return { time, marker: 'open' }
  return { time, marker: seconds === 0xfffffffe ? 'close' : null }
}

/** Seconds of an EventTime with nsec 0. */
function eventTimeSeconds(time: Node): number | null {
  if (time.kind !== 'ext' || time.extType !== 0 || time.payload.length !== 8) return null
  const payload = Buffer.from(time.payload)
  return payload.readUInt32BE(4) === 0 ? payload.readUInt32BE(0) : null
}

function noteTime(unit: Summary, time: Node | undefined): void {
  const seconds = secondsOf(time)
  if (typeof seconds === 'string') {
    unit.arrival += 1
    if (seconds === 'bad') unit.badTime += 1
    return
  }
  unit.min = Math.min(unit.min, seconds)
  unit.max = Math.max(unit.max, seconds)
}

/** Whole seconds of a time, 'arrival' for nil and zero, 'bad' for what is none. */
export function secondsOf(time: Node | undefined): number | 'arrival' | 'bad' {
  if (!time) return 'bad'
  if (time.kind === 'nil') return 'arrival'
  if (time.kind === 'int' || time.kind === 'float') {
    const number = Number(time.number)
    if (!Number.isFinite(number)) return 'bad'
    const scale = number >= 1e17 ? 1e9 : number >= 1e14 ? 1e6 : number >= 1e11 ? 1e3 : 1
    const seconds = Math.floor(number / scale)
    return seconds === 0 ? 'arrival' : seconds
  }
  if (time.kind !== 'ext') return 'bad'
  const payload = Buffer.from(time.payload)
  if (time.extType === 0 && payload.length === 8) {
    const seconds = payload.readUInt32BE(0)
    const nanos = payload.readUInt32BE(4)
    return seconds === 0 && nanos === 0 ? 'arrival' : seconds + Math.floor(nanos / 1e9)
  }
  if (time.extType !== -1) return 'bad'
  const seconds = timestampSeconds(payload)
  if (seconds === null) return 'bad'
  return seconds === 0 ? 'arrival' : seconds
}

function timestampSeconds(payload: Buffer): number | null {
  if (payload.length === 4) return payload.readUInt32BE(0)
  if (payload.length === 8) return Number(payload.readBigUInt64BE(0) & 0x3_ffff_ffffn)
  return payload.length === 12 ? Number(payload.readBigInt64BE(4)) : null
}
