// What the senders of a crash test sent and what was acked, kept by a process that is not killed.

import { type Chunk, type FrameMode, frame } from '../support/forward-sender.ts'
import type { VisibleDocuments } from './visible-documents.ts'

const CHUNK_EVENTS = 20

/** Everything that the senders sent and what was acked, outside of the process that dies. */
export class Ledger {
  private readonly name: string
  private nextSeq = 0
  private nextChunk = 0
  readonly acked: number[] = []
  ackedChunks = 0
  isOpen = true

  /** `name` begins the chunk ids. */
  constructor(name: string) {
    this.name = name
  }

  next(mode: FrameMode): Chunk | null {
    if (!this.isOpen) return null
    const count = mode === 'message' ? 1 : CHUNK_EVENTS
    const seqs = Array.from({ length: count }, () => this.nextSeq++)
    const id = `${this.name}-${this.nextChunk++}`
    const events = seqs.map((seq) => ({
      seq,
      log: `line ${seq} of the crash test`,
      source: 'stdout'
    }))
    return { id, seqs, bytes: frame(mode, `crash.${mode}`, events, { chunk: id }) }
  }

  onAck(chunk: Chunk): void {
    this.ackedChunks++
    for (const seq of chunk.seqs) this.acked.push(seq)
  }

  get sent(): number {
    return this.nextSeq
  }
}

/** Those of the records that no document shows. */
export function missing(seqs: Iterable<number>, documents: VisibleDocuments): number[] {
  return [...seqs].filter((seq) => documents.copiesOf(seq) === 0)
}
