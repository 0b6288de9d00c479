// OTLP logs in protobuf as a plain writer and a plain reader know them: the oracle of the kernel's reader, and the bodies of
// its tests. Records come out as the http input stores them.

/** A field: its number, and its payload as varint, 64 bits, 32 bits or bytes. */
export type Field = readonly [number, 'varint' | 'fixed64' | 'fixed32' | 'bytes', bigint | Buffer]

const isBytes = (value: bigint | Buffer): value is Buffer => typeof value !== 'bigint'

export const bytesOf = (number: number, bytes: Buffer | string): Field => [
  number,
  'bytes',
  Buffer.from(bytes)
]
export const varintOf = (number: number, value: number | bigint): Field => [
  number,
  'varint',
  BigInt(value)
]
export const fixed64Of = (number: number, value: number | bigint): Field => [
  number,
  'fixed64',
  BigInt(value)
]

const WIRES = { varint: 0, fixed64: 1, bytes: 2, fixed32: 5 } as const

function varint(value: bigint): number[] {
  const bytes: number[] = []
  for (let rest = BigInt.asUintN(64, value); ; rest >>= 7n) {
    if (rest < 128n) return [...bytes, Number(rest)]
    bytes.push(Number(rest & 127n) | 128)
  }
}

export function message(...fields: readonly Field[]): Buffer {
  const parts = fields.map(([number, wire, value]) => {
    const tag = Buffer.from(varint(BigInt(number * 8 + WIRES[wire])))
    if (isBytes(value)) {
      return Buffer.concat([tag, Buffer.from(varint(BigInt(value.length))), value])
    }
    if (wire === 'varint') return Buffer.concat([tag, Buffer.from(varint(value))])
    const bytes = Buffer.alloc(wire === 'fixed64' ? 8 : 4)
    if (wire === 'fixed64') bytes.writeBigUInt64LE(BigInt.asUintN(64, value))
    else bytes.writeUInt32LE(Number(BigInt.asUintN(32, value)))
    return Buffer.concat([tag, bytes])
  })
  return Buffer.concat(parts)
}

export const text = (value: string | Buffer): Buffer => message(bytesOf(1, value))
export const pair = (key: string, value: Buffer): Buffer =>
  message(bytesOf(1, key), bytesOf(2, value))

/** A request of one resource and scope. */
export function requestOf(
  resource: readonly Buffer[],
  scopeName: string,
  records: readonly Buffer[]
): Buffer {
  const scopeLogs = message(
    bytesOf(1, message(bytesOf(1, scopeName))),
    ...records.map((record) => bytesOf(2, record))
  )
  const attributes = message(...resource.map((each) => bytesOf(1, each)))
  return message(bytesOf(1, message(bytesOf(1, attributes), bytesOf(2, scopeLogs))))
}

class Malformed extends Error {}

/** Fields of a message; throws Malformed. */
export function fieldsOf(bytes: Buffer): Field[] {
  const fields: Field[] = []
  let at = 0
  const next = (): bigint => {
    let value = 0n
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = bytes[at++]
      if (byte === undefined) throw new Malformed()
      value |= BigInt(byte & 127) << shift
      if (byte < 128) return BigInt.asUintN(64, value)
    }
    throw new Malformed()
  }
  while (at < bytes.length) {
    const tag = next()
    const number = Number(tag >> 3n)
    const wire = Object.entries(WIRES).find(([, code]) => BigInt(code) === (tag & 7n))?.[0]
    if (tag > 0xffff_ffffn || number === 0 || wire === undefined) throw new Malformed()
    const kind = wire as Field[1]
    if (kind === 'varint') {
      fields.push([number, kind, next()])
      continue
    }
    const byteCount = kind === 'bytes' ? next() : kind === 'fixed64' ? 8n : 4n
    if (byteCount > BigInt(bytes.length - at)) throw new Malformed()
    const payload = bytes.subarray(at, at + Number(byteCount))
    at += Number(byteCount)
    if (kind === 'bytes') fields.push([number, kind, payload])
    else if (kind === 'fixed64') fields.push([number, kind, payload.readBigUInt64LE()])
    else fields.push([number, kind, BigInt(payload.readUInt32LE())])
  }
  return fields
}

/** A value in a form of which two can be compared: keys that come twice stay, as in MessagePack. */
export type Note = string

const parts = (fields: readonly Field[], number: number): Buffer[] =>
  fields.flatMap(([n, , value]) => (n === number && isBytes(value) ? [value] : []))
const last = (fields: readonly Field[], number: number): Buffer | undefined =>
  parts(fields, number).at(-1)
const lastNumber = (fields: readonly Field[], number: number): bigint =>
  fields.reduce(
    (found, [n, , value]) => (n === number && typeof value === 'bigint' ? value : found),
    0n
  )

const noteText = (bytes: Buffer): Note => JSON.stringify(bytes.toString('latin1'))

const VALUE_WIRES = ['bytes', 'varint', 'varint', 'fixed64', 'bytes', 'bytes', 'bytes']
const isValue = ([number, wire]: Field): boolean => VALUE_WIRES[number - 1] === wire

class TooDeep extends Error {}

const DEPTH_MAX = 128

function notePairs(fields: readonly Field[], number: number, depth: number): Note[] {
  if (depth > DEPTH_MAX) throw new TooDeep()
  return parts(fields, number).map((bytes) => {
    const own = fieldsOf(bytes)
    const key = noteText(last(own, 1) ?? Buffer.alloc(0))
    return `${key}:${noteValue(last(own, 2) ?? Buffer.alloc(0), depth)}`
  })
}

function noteValue(bytes: Buffer, depth: number): Note {
  const field = fieldsOf(bytes).filter(isValue).at(-1)
  if (field === undefined) return 'null'
  const [number, , value] = field
  const payload = isBytes(value) ? value : Buffer.alloc(0)
  const bits = isBytes(value) ? 0n : value
  switch (number) {
    case 1:
      return noteText(payload)
    case 2:
      return String(bits !== 0n)
    case 3:
      return `i${BigInt.asIntN(64, bits)}`
    case 4: {
      const float = Buffer.alloc(8)
      float.writeBigUInt64LE(bits)
      return `f${float.toString('hex')}`
    }
    case 5: {
      if (depth >= DEPTH_MAX) throw new TooDeep()
      return `[${parts(fieldsOf(payload), 1).map((each) => noteValue(each, depth + 1))}]`
    }
    case 6:
      return `{${notePairs(fieldsOf(payload), 1, depth + 1)}}`
    default:
      return `b${payload.toString('hex')}`
  }
}

function noteRecord(bytes: Buffer, shared: readonly Note[]): Note {
  const fields = fieldsOf(bytes)
  const notes: Note[] = []
  const severity = lastNumber(
    fields.filter(([, wire]) => wire !== 'bytes'),
    2
  )
  if (severity !== 0n) notes.push(`"severity_number":i${severity}`)
  const severityText = last(fields, 3)
  if (severityText?.length) notes.push(`"severity_text":${noteText(severityText)}`)
  for (const [number, name] of [
    [9, 'trace_id'],
    [10, 'span_id']
  ] as const) {
    const id = last(fields, number)
    if (id?.some((byte) => byte !== 0)) notes.push(`"${name}":"${id.toString('hex')}"`)
  }
  const flags = lastNumber(fields, 8) & 0xffn
  if (flags !== 0n) notes.push(`"trace_flags":i${flags}`)
  const eventName = last(fields, 12)
  if (eventName?.length) notes.push(`"event_name":${noteText(eventName)}`)
  const attributes = notePairs(fields, 6, 3)
  if (attributes.length > 0) notes.push(`"attributes":{${attributes}}`)
  notes.push(...shared)
  const body = last(fields, 5)
  if (body?.length) {
    const value = fieldsOf(body).filter(isValue).at(-1)
    if (value?.[0] === 6) {
      const map = isBytes(value[2]) ? value[2] : Buffer.alloc(0)
      notes.push(...notePairs(fieldsOf(map), 1, 2))
    } else notes.push(`"log":${noteValue(body, 2)}`)
  }
  const time = lastNumber(fields, 1) || lastNumber(fields, 11)
  return `${time} {${notes}}`
}

/** Notes of all records; `rejected`: how many nest too deep; null: the request is malformed. */
export function noteRequest(bytes: Buffer): { records: Note[]; rejected: number } | null {
  const records: Note[] = []
  let rejected = 0
  try {
    for (const resourceLogs of parts(fieldsOf(bytes), 1)) {
      const own = fieldsOf(resourceLogs)
      const resource = last(own, 1)
      const shared: Note[] = []
      if (resource?.length) {
        const attributes = notePairs(fieldsOf(resource), 1, 3)
        const inner = attributes.length > 0 ? `"attributes":{${attributes}}` : ''
        shared.push(`"resource":{${inner}}`)
      }
      for (const scopeLogs of parts(own, 2)) {
        const fields = fieldsOf(scopeLogs)
        const scope = noteScope(last(fields, 1))
        for (const record of parts(fields, 2)) {
          try {
            records.push(noteRecord(record, scope === null ? shared : [...shared, scope]))
          } catch (error) {
            if (!(error instanceof TooDeep)) throw error
            rejected++
          }
        }
      }
    }
  } catch (error) {
    if (error instanceof Malformed || error instanceof TooDeep) return null
    throw error
  }
  return { records, rejected }
}

function noteScope(bytes: Buffer | undefined): Note | null {
  if (!bytes?.length) return null
  const fields = fieldsOf(bytes)
  const notes = fields.flatMap(([number, , value]) => {
    if (number > 2 || !isBytes(value) || value.length === 0) return []
    return [`"${number === 1 ? 'name' : 'version'}":${noteText(value)}`]
  })
  const attributes = notePairs(fields, 3, 3)
  if (attributes.length > 0) notes.push(`"attributes":{${attributes}}`)
  return notes.length > 0 ? `"scope":{${notes}}` : null
}

/** Notes of entries [EventTime, map] as the reader of requests writes them. `defaultTime` stands for zero. */
export function noteEntry(bytes: Buffer, defaultNanos: bigint): { note: Note; end: number } {
  let at = 0
  const header = (): number => bytes[at++] ?? 0xc1
  const take = (count: number): Buffer => {
    at += count
    return bytes.subarray(at - count, at)
  }
  const value = (): Note => {
    const c = header()
    if (c < 0x80) return `i${c}`
    if (c < 0x90) return map(c & 15)
    if (c < 0xa0) return list(c & 15)
    if (c < 0xc0) return noteText(take(c & 31))
    if (c >= 0xe0) return `i${c - 256}`
    switch (c) {
      case 0xc0:
        return 'null'
      case 0xc2:
      case 0xc3:
        return String(c === 0xc3)
      case 0xc6:
        return `b${take(take(4).readUInt32BE()).toString('hex')}`
      case 0xcb:
        return `f${Buffer.from(take(8)).reverse().toString('hex')}`
      case 0xcc:
        return `i${take(1).readUInt8()}`
      case 0xcd:
        return `i${take(2).readUInt16BE()}`
      case 0xce:
        return `i${take(4).readUInt32BE()}`
      case 0xcf:
        return `i${take(8).readBigUInt64BE()}`
      case 0xd0:
        return `i${take(1).readInt8()}`
      case 0xd1:
        return `i${take(2).readInt16BE()}`
      case 0xd2:
        return `i${take(4).readInt32BE()}`
      case 0xd3:
        return `i${take(8).readBigInt64BE()}`
      case 0xd9:
        return noteText(take(take(1).readUInt8()))
      case 0xda:
        return noteText(take(take(2).readUInt16BE()))
      case 0xdb:
        return noteText(take(take(4).readUInt32BE()))
      case 0xdc:
        return list(take(2).readUInt16BE())
      case 0xdd:
        return list(take(4).readUInt32BE())
      case 0xde:
        return map(take(2).readUInt16BE())
      case 0xdf:
        return map(take(4).readUInt32BE())
      default:
        throw new Error(`byte ${c.toString(16)}`)
    }
  }
  const list = (count: number): Note => `[${Array.from({ length: count }, value)}]`
  const map = (count: number): Note =>
    `{${Array.from({ length: count }, () => {
      const key = value()
      return `${key}:${value()}`
    })}}`
  const lead = header()
  const type = header()
  let nanos: bigint
  if (type === 0xd7) {
    take(1)
    nanos = BigInt(take(4).readUInt32BE()) * 1_000_000_000n + BigInt(take(4).readUInt32BE())
  } else {
    take(2)
    const rest = BigInt(take(4).readUInt32BE())
    nanos = take(8).readBigInt64BE() * 1_000_000_000n + rest
  }
  if (lead !== 0x92) throw new Error('no entry')
  const note = `${nanos === defaultNanos ? 0n : nanos} ${value()}`
  return { note, end: at }
}
