// Runs on: any.
// What a JSON text means in MessagePack, told by JSON.parse, and what the kernel wrote, told by the plain reader. Both
// in one notation: integers as `i5`, floats as `f0.5`, text as JSON, maps by key with the last of equal keys.

import { type Node, readNode } from './forward-oracle.ts'

class NumberText {
  readonly text: string
  constructor(text: string) {
    this.text = text
  }
}

/** JSON.parse hands the source of a primitive to the reviver; the library's types do not know it yet. */
type Reviver = (key: string, value: unknown, context: { source?: string }) => unknown

/** The values of a text in the notation, or null when it is not one JSON value in valid UTF-8. */
export function meaningOf(bytes: Buffer): string | null {
  const keepNumbers: Reviver = (_key, value, context) => {
    return typeof value === 'number' ? new NumberText(context.source ?? '') : value
  }
  try {
    const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
    return noteValue(JSON.parse(text, keepNumbers as (key: string, value: unknown) => unknown))
  } catch {
    return null
  }
}

function noteValue(value: unknown): string {
  if (value instanceof NumberText) return noteNumber(value.text)
  if (typeof value === 'string') return JSON.stringify(value.toWellFormed())
  if (Array.isArray(value)) return `[${value.map(noteValue).join(',')}]`
  if (typeof value !== 'object' || value === null) return String(value)
  // Keys that differ only in lone surrogates become one.
  const pairs = new Map<string, string>()
  for (const [key, item] of Object.entries(value)) pairs.set(key.toWellFormed(), noteValue(item))
  return notePairs(pairs)
}

function notePairs(pairs: Map<string, string>): string {
  const sorted = [...pairs].sort(([a], [b]) => (a < b ? -1 : 1))
  return `{${sorted.map(([key, item]) => `${JSON.stringify(key)}:${item}`).join(',')}}`
}

export function noteNumber(text: string): string {
  if (/^-?\d+$/.test(text) && text !== '-0') {
    const integer = BigInt(text)
    if (integer >= -(2n ** 63n) && integer < 2n ** 64n) return `i${integer}`
    const value = Number(text)
    const isHeld = String(value) === text || (Number.isFinite(value) && BigInt(value) === integer)
    return isHeld ? noteFloat(value) : JSON.stringify(text)
  }
  const value = Number(text)
  const isLost = !Number.isFinite(value) || (value === 0 && /[1-9]/.test(text.replace(/e.*/i, '')))
  return isLost ? JSON.stringify(text) : noteFloat(value)
}

function noteFloat(value: number): string {
  return Object.is(value, -0) ? 'f-0' : `f${value}`
}

function strictText(node: Node): string {
  return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(node.payload)
}

export interface EntryNote {
  readonly seconds: number
  readonly nanos: number
  readonly record: string
}

/** Entries back to back; nil, true and false in the words of JSON. */
export function noteEntries(bytes: Buffer): EntryNote[] {
  const notes: EntryNote[] = []
  for (let at = 0; at < bytes.length; ) {
    const node = readNode(bytes, at)
    at = node.end
    const [time, record] = node.items
    const payload = Buffer.from(time!.payload)
    const isWide = time!.extType === -1
    notes.push({
      seconds: isWide ? Number(payload.readBigInt64BE(4)) : payload.readUInt32BE(0),
      nanos: payload.readUInt32BE(isWide ? 0 : 4),
      record: noteRecord(bytes, record!)
    })
  }
  return notes
}

/** The reader keeps no word for true and false apart; the bytes do. */
export function noteRecord(bytes: Buffer, node: Node): string {
  const words = { 192: 'null', 194: 'false', 195: 'true' } as const
  const c = bytes[node.start]
  if (c === 0xc0 || c === 0xc2 || c === 0xc3) return words[c]
  if (node.kind === 'array') {
    return `[${node.items.map((item) => noteRecord(bytes, item)).join(',')}]`
  }
  if (node.kind === 'int') return `i${node.number}`
  if (node.kind === 'float') return noteFloat(Number(node.number))
  if (node.kind === 'text') return JSON.stringify(strictText(node))
  if (node.kind !== 'map') throw new Error(`JSON has no ${node.kind}`)
  const pairs = new Map<string, string>()
  for (let index = 0; index < node.items.length; index += 2) {
    pairs.set(strictText(node.items[index]!), noteRecord(bytes, node.items[index + 1]!))
  }
  return notePairs(pairs)
}
