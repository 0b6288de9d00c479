// Numbered events as chunks for a ForwardSender, up to a limit that a test raises; counts what was acked.

import { type Chunk, type Event, type FrameMode, frame } from './forward-sender.ts'

export interface EventSourceOptions {
  readonly name: string
  readonly chunkEvents: number
  readonly tag: (seq: number) => string
  readonly event: (seq: number) => Event
  /** Time of an event, milliseconds; now when absent. One chunk has the time of its first event. */
  readonly timeMs?: (seq: number) => number
}

export class EventSource {
  limit = 0
  ackedEvents = 0
  private nextSeq = 0
  private readonly options: EventSourceOptions

  constructor(options: EventSourceOptions) {
    this.options = options
  }

  next(mode: FrameMode): Chunk | null {
    if (this.nextSeq >= this.limit) return null
    const { name, chunkEvents, tag, event, timeMs } = this.options
    const seqs = Array.from({ length: chunkEvents }, () => this.nextSeq++)
    const first = seqs[0] ?? 0
    const id = `${name}-${first}`
    const time = timeMs === undefined ? Date.now() : timeMs(first)
    return { id, seqs, bytes: frame(mode, tag(first), seqs.map(event), { chunk: id }, time) }
  }

  onAck(chunk: Chunk): void {
    this.ackedEvents += chunk.seqs.length
  }
}

/** Sequence numbers of 0..`count` that are absent, and those that are there more than once; 20 of each at most. */
export function compare(found: readonly number[], count: number) {
  const copies = new Map<number, number>()
  for (const seq of found) copies.set(seq, (copies.get(seq) ?? 0) + 1)
  const all = Array.from({ length: count }, (_, seq) => seq)
  return {
    missing: all.filter((seq) => !copies.has(seq)).slice(0, 20),
    doubled: [...copies]
      .filter(([, n]) => n > 1)
      .map(([seq]) => seq)
      .slice(0, 20),
    unknown: [...copies.keys()].filter((seq) => !(seq >= 0 && seq < count)).slice(0, 20)
  }
}

export const nothingWrong = { missing: [], doubled: [], unknown: [] }
