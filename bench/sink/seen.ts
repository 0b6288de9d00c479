// Which sequence numbers arrived, and how often more than once: one bit per number.

const ZERO = 48
const DIGITS = 10
const MARK = Buffer.from('seq=')

export class Seen {
  private readonly bits: Uint8Array
  distinct = 0
  doubled = 0

  constructor(numbersMax: number) {
    this.bits = new Uint8Array(Math.ceil(numbersMax / 8))
  }

  add(seq: number): void {
    const at = seq >>> 3
    const byte = this.bits[at]
    if (byte === undefined) throw new Error(`sequence number ${seq} is above the limit of the sink`)
    const mask = 1 << (seq & 7)
    if ((byte & mask) !== 0) this.doubled++
    else {
      this.bits[at] = byte | mask
      this.distinct++
    }
  }

  reset(): void {
    this.bits.fill(0)
    this.distinct = 0
    this.doubled = 0
  }
}

function isMark(body: Buffer, at: number): boolean {
  return (
    body[at] === 0x73 && body[at + 1] === 0x65 && body[at + 2] === 0x71 && body[at + 3] === 0x3d
  )
}

function digits(body: Buffer, at: number): number {
  let value = 0
  for (let i = 0; i < DIGITS; i++) value = value * 10 + (body[at + i] ?? ZERO) - ZERO
  return value
}

/** Counts the first mark at or after `from`; returns the place after its digits, or -1 when there is none before `end`. */
export function countMark(
  seen: Seen,
  body: Buffer,
  from: number,
  end: number,
  guess: number
): number {
  const at = guess >= from && isMark(body, guess) ? guess : body.indexOf(MARK, from)
  if (at < 0 || at >= end) return -1
  seen.add(digits(body, at + MARK.length))
  return at + MARK.length + DIGITS
}
