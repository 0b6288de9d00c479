// MessagePack and JSON as plain objects that keep what JavaScript's own values lose: bytes of texts, widths of integers.
// The slow, plain twin of what the kernel does on bytes.

export class Text {
  readonly bytes: Buffer

  constructor(bytes: Buffer | string) {
    this.bytes = typeof bytes === 'string' ? Buffer.from(bytes) : bytes
  }

  get text(): string {
    return this.bytes.toString('utf8')
  }
}

/** A JSON value spliced from text as it stands. */
export class Json {
  readonly text: string

  constructor(text: string) {
    this.text = text
  }
}

export type Value = null | boolean | bigint | number | Text | Json | Value[] | Map<string, Value>

export class Reader {
  at = 0
  readonly bytes: Buffer

  constructor(bytes: Buffer) {
    this.bytes = bytes
  }

  #take(byteCount: number): Buffer {
    this.at += byteCount
    return this.bytes.subarray(this.at - byteCount, this.at)
  }

  #uint(byteCount: number): number {
    return this.#take(byteCount).readUIntBE(0, byteCount)
  }

  value(): Value | { seconds: number; nanoseconds: number } {
    const type = this.#uint(1)
    if (type < 0x80) return BigInt(type)
    if (type >= 0xe0) return BigInt(type - 256)
    if (type < 0x90) return this.#map(type & 15)
    if (type < 0xa0) return this.#array(type & 15)
    if (type < 0xc0) return new Text(this.#take(type & 31))
    switch (type) {
      case 0xc0:
        return null
      case 0xc2:
        return false
      case 0xc3:
        return true
      case 0xc4:
      case 0xd9:
        return new Text(this.#take(this.#uint(1)))
      case 0xc5:
      case 0xda:
        return new Text(this.#take(this.#uint(2)))
      case 0xc6:
      case 0xdb:
        return new Text(this.#take(this.#uint(4)))
      case 0xca:
        return this.#take(4).readFloatBE(0)
      case 0xcb:
        return this.#take(8).readDoubleBE(0)
      case 0xcc:
        return BigInt(this.#uint(1))
      case 0xcd:
        return BigInt(this.#uint(2))
      case 0xce:
        return BigInt(this.#uint(4))
      case 0xcf:
        return this.#take(8).readBigUInt64BE(0)
      case 0xd0:
        return BigInt(this.#take(1).readInt8(0))
      case 0xd1:
        return BigInt(this.#take(2).readInt16BE(0))
      case 0xd2:
        return BigInt(this.#take(4).readInt32BE(0))
      case 0xd3:
        return this.#take(8).readBigInt64BE(0)
      case 0xd7: {
        this.#take(1)
        return { seconds: this.#uint(4), nanoseconds: this.#uint(4) }
      }
      case 0xdc:
        return this.#array(this.#uint(2))
      case 0xde:
        return this.#map(this.#uint(2))
      case 0xdf:
        return this.#map(this.#uint(4))
    }
    throw new Error(`type ${type} is not in the tests`)
  }

  #array(count: number): Value[] {
    return Array.from({ length: count }, () => this.value() as Value)
  }

  #map(count: number): Map<string, Value> {
    const map = new Map<string, Value>()
    for (let index = 0; index < count; index++) {
      const key = this.value()
      if (!(key instanceof Text)) throw new Error('only text keys are in the tests')
      map.set(key.text, this.value() as Value)
    }
    return map
  }
}

export function toJson(value: Value): string {
  if (value instanceof Text) return JSON.stringify(value.text)
  if (value instanceof Json) return value.text
  if (typeof value === 'bigint') return String(value)
  if (Array.isArray(value)) return `[${value.map(toJson).join(',')}]`
  if (value instanceof Map) return mapToJson(value)
  return JSON.stringify(value)
}

export function mapToJson(map: ReadonlyMap<string, Value>): string {
  return `{${[...map].map(([key, value]) => `${JSON.stringify(key)}:${toJson(value)}`).join(',')}}`
}

// The writing side, for building entries.

export type Plain =
  | null
  | boolean
  | bigint
  | number
  | string
  | Buffer
  | Plain[]
  | { [key: string]: Plain }

export function pack(value: Plain): Buffer {
  if (value === null) return Buffer.from([0xc0])
  if (typeof value === 'boolean') return Buffer.from([value ? 0xc3 : 0xc2])
  if (typeof value === 'bigint') return packInteger(value)
  if (typeof value === 'number') {
    if (Number.isSafeInteger(value)) return packInteger(BigInt(value))
    const bytes = Buffer.alloc(9, 0xcb)
    bytes.writeDoubleBE(value, 1)
    return bytes
  }
  if (typeof value === 'string') return packText(Buffer.from(value))
  if (Buffer.isBuffer(value)) return packText(value)
  if (Array.isArray(value)) {
    return Buffer.concat([sized(0x90, 15, 0xdc, value.length), ...value.map(pack)])
  }
  const pairs = Object.entries(value).flatMap(([key, member]) => [pack(key), pack(member)])
  return Buffer.concat([sized(0x80, 15, 0xde, pairs.length / 2), ...pairs])
}

function packText(bytes: Buffer): Buffer {
  if (bytes.length < 32) return Buffer.concat([Buffer.from([0xa0 | bytes.length]), bytes])
  if (bytes.length < 65536) return Buffer.concat([header(0xda, bytes.length, 2), bytes])
  return Buffer.concat([header(0xdb, bytes.length, 4), bytes])
}

function packInteger(value: bigint): Buffer {
  if (value >= 0n && value < 128n) return Buffer.from([Number(value)])
  const bytes = Buffer.alloc(9, value >= 0n ? 0xcf : 0xd3)
  if (value >= 0n) bytes.writeBigUInt64BE(value, 1)
  else bytes.writeBigInt64BE(value, 1)
  return bytes
}

function sized(fix: number, fixMax: number, wide: number, count: number): Buffer {
  return count <= fixMax ? Buffer.from([fix | count]) : header(wide, count, 2)
}

function header(type: number, count: number, byteCount: number): Buffer {
  const bytes = Buffer.alloc(1 + byteCount, type)
  bytes.writeUIntBE(count, 1, byteCount)
  return bytes
}

/** EventTime (ext 0). */
export function packTime(seconds: number, nanoseconds: number): Buffer {
  const bytes = Buffer.alloc(10)
  bytes.writeUInt16BE(0xd700, 0)
  bytes.writeUInt32BE(seconds, 2)
  bytes.writeUInt32BE(nanoseconds, 6)
  return bytes
}

/** `[time, record]`. */
export function packEntry(
  record: { [key: string]: Plain },
  seconds = 1_700_000_000,
  nanoseconds = 0
): Buffer {
  return Buffer.concat([Buffer.from([0x92]), packTime(seconds, nanoseconds), pack(record)])
}
