// Steps 2 and 3. Runs on: ingest.
// A `_bulk` body -> entries by tag, and what became of each action. Lines of equal actions are read by the kernel in one
// call, so a shipper that writes to one index costs no JavaScript per record.
// Limits: ITEMS_MAX actions per request.

import type { RecordRules } from '../../../src/kernel/json-converter.ts'
import type { ScanKernel } from '../../../src/kernel/scan-kernel.ts'
import { type BulkAction, parseAction } from './bulk-actions.ts'
import type { TaggedEntries } from './record-store.ts'

/** Actions in a row that had the same end. */
export interface BulkItems {
  readonly action: BulkAction
  readonly index: string
  count: number
  /** What is wrong with the document; null: nothing. */
  readonly error: string | null
}

export interface BulkRecords {
  readonly kind: 'records'
  readonly messages: readonly TaggedEntries[]
  readonly items: readonly BulkItems[]
  /** Lines of documents that cannot be read. */
  readonly refused: readonly Buffer[]
}

export type BulkResult =
  | BulkRecords
  | { readonly kind: 'malformed'; readonly reason: string }
  | { readonly kind: 'no_memory' }

const ITEMS_MAX = 500_000
const BLOCK_BYTES_MIN = 64 * 1024
const LINE_FEED = 0x0a
const CARRIAGE_RETURN = 0x0d
const BLANKS = [0x20, 0x09, CARRIAGE_RETURN, LINE_FEED]

export interface BulkRules extends RecordRules {
  /** Of the path; null: each action names its own. */
  readonly index: string | null
  tagOf(index: string): Buffer
}

export class BulkReader {
  readonly #kernel: ScanKernel
  readonly #blocks: Buffer[] = []
  #freeByte = 0

  constructor(kernel: ScanKernel) {
    this.#kernel = kernel
  }

  /** `body` lies in the kernel's memory. The entries are good until `release`. */
  read(body: Buffer, rules: BulkRules): BulkResult {
    if (body.length === 0) return malformed('request body is required')
    const messages: { tag: Buffer; pieces: Buffer[] }[] = []
    const items: BulkItems[] = []
    const refused: Buffer[] = []
    let itemCount = 0
    let at = 0
    for (;;) {
      while (BLANKS.includes(body[at] ?? 0)) at++
      if (at >= body.length) return { kind: 'records', messages, items, refused }
      const lineEnd = endOfLine(body, at)
      const line = trimmed(body.subarray(at, lineEnd))
      const action = parseAction(line)
      if (action === null) return malformed(`Malformed action/metadata line at byte ${at}`)
      const index = action.index ?? rules.index
      if (index === null || index === '') return malformed('index is missing')
      if (action.operation === 'delete' || action.operation === 'update') {
        add(items, { action, index, count: 1, error: null })
        at = action.operation === 'delete' ? lineEnd : endOfLine(body, lineEnd)
        itemCount++
      } else {
        const documents = this.#documents(body.subarray(at), line.length, rules)
        if (documents === null) return { kind: 'no_memory' }
        const { count, entries, error } = documents
        if (count > 0) {
          addPiece(messages, rules.tagOf(index), entries)
          add(items, { action, index, count, error: null })
        }
        itemCount += count
        at += documents.readBytes
        if (error !== null) {
          const documentEnd = endOfLine(body, endOfLine(body, at))
          const reason = `${error.reason.replaceAll('_', ' ')} in the document at byte ${at}`
          add(items, { action, index, count: 1, error: reason })
          refused.push(body.subarray(at, documentEnd))
          itemCount++
          at = documentEnd
        }
      }
      if (itemCount > ITEMS_MAX) return malformed(`more than ${ITEMS_MAX} actions`)
    }
  }

  release(): void {
    for (const block of this.#blocks.splice(0)) this.#kernel.giveBack(block)
  }

  #documents(rest: Buffer, actionBytes: number, rules: RecordRules) {
    for (;;) {
      const block = this.#blocks.at(-1)
      const room = block?.subarray(this.#freeByte)
      if (room !== undefined && room.length > BLOCK_BYTES_MIN / 2) {
        const found = this.#kernel.json.bulkToEntries(rest, actionBytes, room, rules)
        if (found !== null) {
          this.#freeByte += found.entries.length
          return found
        }
      }
      // The first block usually does; one that was empty was too small for a document.
      const isTooSmall = block !== undefined && this.#freeByte === 0
      const byteCount = isTooSmall ? block.length * 2 : rest.length + (rest.length >> 2)
      const next = this.#kernel.borrow(Math.max(BLOCK_BYTES_MIN, byteCount))
      if (next === null) return null
      this.#blocks.push(next)
      this.#freeByte = 0
    }
  }
}

function malformed(reason: string): BulkResult {
  return { kind: 'malformed', reason }
}

/** The byte behind the line feed, or the end. */
function endOfLine(body: Buffer, at: number): number {
  const end = body.indexOf(LINE_FEED, at)
  return end < 0 ? body.length : end + 1
}

function trimmed(line: Buffer): Buffer {
  let end = line.length
  while (end > 0 && BLANKS.includes(line[end - 1] ?? 0)) end--
  return line.subarray(0, end)
}

function add(items: BulkItems[], next: BulkItems): void {
  const last = items.at(-1)
  const isSame =
    last !== undefined &&
    last.error === next.error &&
    last.index === next.index &&
    last.action.operation === next.action.operation &&
    last.action.id === next.action.id
  if (isSame) last.count += next.count
  else items.push(next)
}

/** Entries that follow each other in a block are one piece. */
function addPiece(
  messages: { tag: Buffer; pieces: Buffer[] }[],
  tag: Buffer,
  entries: Buffer
): void {
  const last = messages.at(-1)
  if (last === undefined || !last.tag.equals(tag)) {
    messages.push({ tag, pieces: [entries] })
    return
  }
  const piece = last.pieces.at(-1)
  const pieceEnd = piece === undefined ? -1 : piece.byteOffset + piece.length
  if (piece !== undefined && pieceEnd === entries.byteOffset) {
    const joined = Buffer.from(piece.buffer, piece.byteOffset, piece.length + entries.length)
    last.pieces[last.pieces.length - 1] = joined
  } else last.pieces.push(entries)
}
