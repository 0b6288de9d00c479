// The kernel's work on plain values: what a record is, its JSON, its texts. Slow and obvious; the kernel has to agree.

/** Maps keep the order of keys that look like numbers, which objects do not. */
export type Value = string | number | bigint | boolean | null | readonly Value[] | RecordMap
export type RecordMap = ReadonlyMap<string, Value>

export function jsonOf(value: Value): string {
  if (typeof value === 'bigint') return String(value)
  if (value === null || typeof value !== 'object') return JSON.stringify(value)
  if (value instanceof Map) {
    const members = [...value].map(([key, member]) => `${JSON.stringify(key)}:${jsonOf(member)}`)
    return `{${members.join(',')}}`
  }
  return `[${(value as readonly Value[]).map(jsonOf).join(',')}]`
}

/** Value of JSON text, with maps for objects. Numbers are what JavaScript reads. */
export function valueOfJson(text: string): Value {
  return fromPlain(JSON.parse(text))
}

function fromPlain(value: unknown): Value {
  if (Array.isArray(value)) return value.map(fromPlain)
  if (value !== null && typeof value === 'object') {
    return new Map(Object.entries(value).map(([key, member]) => [key, fromPlain(member)]))
  }
  return value as Value
}

export const isContainer = (value: Value | undefined): boolean =>
  value !== null && typeof value === 'object'

/** Text of a field for tests and parsers; undefined: it has none. */
export function textOf(value: Value | undefined): string | undefined {
  if (value === undefined || value === null || isContainer(value)) return undefined
  return typeof value === 'string' ? value : jsonOf(value)
}

/** Text of a field within a template. */
export function templateText(value: Value): string {
  if (value === null) return ''
  return typeof value === 'string' ? value : jsonOf(value)
}

/** The number a field means, exact where 64 bits hold it; undefined: none. */
export function numberOf(value: Value | undefined): bigint | number | undefined {
  if (typeof value === 'bigint') return value
  if (typeof value === 'number') return whole(value)
  if (typeof value !== 'string' || !/^-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?$/.test(value))
    return undefined
  if (/^-?\d+$/.test(value)) {
    const exact = BigInt(value)
    if (exact >= -(2n ** 63n) && exact < 2n ** 64n) return exact
  }
  return whole(Number(value))
}

function whole(value: number): bigint | number {
  return Number.isInteger(value) && value >= -(2 ** 63) && value < 2 ** 63 ? BigInt(value) : value
}

export function memberAt(record: RecordMap, path: readonly (string | number)[]): Value | undefined {
  let value: Value | undefined = record
  for (const part of path) {
    if (value === null || typeof value !== 'object') return undefined
    if (value instanceof Map) value = typeof part === 'string' ? value.get(part) : undefined
    else value = typeof part === 'number' ? (value as readonly Value[])[part] : undefined
  }
  return value
}

/** MessagePack of a value. Widths of headers vary with `width`, as senders' do. */
export function packValue(value: Value, width = 0): Buffer {
  if (value === null) return Buffer.from([0xc0])
  if (typeof value === 'boolean') return Buffer.from([value ? 0xc3 : 0xc2])
  if (typeof value === 'string') return packText(Buffer.from(value), width)
  if (typeof value === 'bigint') return packInteger(value)
  if (typeof value === 'number') {
    if (Number.isSafeInteger(value) && !Object.is(value, -0)) return packInteger(BigInt(value))
    const bytes = Buffer.alloc(9, 0xcb)
    bytes.writeDoubleBE(value, 1)
    return bytes
  }
  if (value instanceof Map) {
    const pairs = [...value].map(([key, member]) =>
      Buffer.concat([packText(Buffer.from(key), width), packValue(member, width)])
    )
    return Buffer.concat([header(value.size, width, 0x80, 15, 0xde), ...pairs])
  }
  const items = value as readonly Value[]
  return Buffer.concat([
    header(items.length, width, 0x90, 15, 0xdc),
    ...items.map((item) => packValue(item, width))
  ])
}

/** `width` 0: shortest; 1: 8 bits; 2: 16; 3: 32; 4: bin. */
export function packText(bytes: Uint8Array, width = 0): Buffer {
  const n = bytes.length
  if (width === 0 && n < 32) return Buffer.concat([Buffer.from([0xa0 | n]), bytes])
  const isBin = width === 4
  if (n < 256 && (width < 2 || isBin))
    return Buffer.concat([Buffer.from([isBin ? 0xc4 : 0xd9, n]), bytes])
  if (n < 65_536 && width !== 3)
    return Buffer.concat([Buffer.from([isBin ? 0xc5 : 0xda, n >> 8, n & 255]), bytes])
  const head = Buffer.alloc(5, isBin ? 0xc6 : 0xdb)
  head.writeUInt32BE(n, 1)
  return Buffer.concat([head, bytes])
}

function packInteger(value: bigint): Buffer {
  if (value >= 0n && value < 128n) return Buffer.from([Number(value)])
  if (value < 0n && value >= -32n) return Buffer.from([Number(value) & 255])
  const bytes = Buffer.alloc(9)
  if (value < 0n) {
    bytes[0] = 0xd3
    bytes.writeBigInt64BE(value, 1)
  } else {
    bytes[0] = 0xcf
    bytes.writeBigUInt64BE(value, 1)
  }
  return bytes
}

function header(count: number, width: number, fix: number, fixMax: number, wide: number): Buffer {
  if (count <= fixMax && width === 0) return Buffer.from([fix | count])
  if (width === 3) {
    const bytes = Buffer.alloc(5, wide + 1)
    bytes.writeUInt32BE(count, 1)
    return bytes
  }
  return Buffer.from([wide, count >> 8, count & 255])
}
