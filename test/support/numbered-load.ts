// Numbered records for tests of the whole router: connections that ask for acks and count what was acked, the numbers
// that arrived, and the identity of every cursor.

import type { CursorStatus, QueuesStatus } from '../../src/admin/status.ts'
import type { FakeOpenSearch } from './fake-opensearch.ts'
import { type Chunk, ForwardSender, type FrameMode, frame } from './forward-sender.ts'
import type { RouterProcess } from './router-process.ts'

export interface LoadOptions {
  readonly port: number
  readonly tag: string
  readonly connections?: number
  /** Records of a chunk, and bytes that pad each of them. */
  readonly chunkRecords?: number
  readonly padBytes?: number
  readonly mode?: FrameMode
  readonly window?: number
  readonly pauseMs?: number
  /** No more records than this; default: until it is closed. */
  readonly recordsMax?: number
}

export class NumberedLoad {
  readonly acked: number[] = []
  readonly #options: LoadOptions
  readonly #senders: ForwardSender[]
  readonly #id = Math.random().toString(36).slice(2)
  #sent = 0
  #isOpen = true

  constructor(options: LoadOptions) {
    this.#options = options
    const { connections = 1, pauseMs = 0, port, window = 4 } = options
    this.#senders = Array.from(
      { length: connections },
      () =>
        new ForwardSender({
          address: { host: '127.0.0.1', port },
          window,
          pauseMs,
          next: () => this.#next(),
          onAck: ({ seqs }) => void this.acked.push(...seqs)
        })
    )
  }

  start(): this {
    for (const sender of this.#senders) sender.start()
    return this
  }

  /** Makes no further chunks; those on their way are still acked. */
  close(): void {
    this.#isOpen = false
  }

  stop(): void {
    this.close()
    for (const sender of this.#senders) sender.stop()
  }

  get sent(): number {
    return this.#sent
  }

  get unackedChunks(): number {
    return this.#senders.reduce((sum, { unackedChunks }) => sum + unackedChunks, 0)
  }

  get connects(): number {
    return this.#senders.reduce((sum, { connects }) => sum + connects, 0)
  }

  #next(): Chunk | null {
    const {
      chunkRecords = 20,
      mode = 'packed',
      padBytes = 0,
      recordsMax = Infinity,
      tag
    } = this.#options
    if (!this.#isOpen || this.#sent >= recordsMax) return null
    const count = mode === 'message' ? 1 : Math.min(chunkRecords, recordsMax - this.#sent)
    const seqs = Array.from({ length: count }, () => this.#sent++)
    const id = `${this.#id}-${seqs[0]}`
    const pad = 'x'.repeat(padBytes)
    const events = seqs.map((seq) => ({ seq, log: `line ${seq}`, pad }))
    return { id, seqs, bytes: frame(mode, tag, events, { chunk: id }) }
  }
}

/** Numbers of the documents that were stored, in the order of arrival. */
export const arrivedSeqs = (search: FakeOpenSearch): number[] =>
  search.documents.map(({ source }) => (JSON.parse(source) as { seq: number }).seq)

/** Those of `seqs` that did not arrive. */
export function missingSeqs(seqs: Iterable<number>, arrived: readonly number[]): number[] {
  const there = new Set(arrived)
  return [...seqs].filter((seq) => !there.has(seq))
}

export async function queuesOf(router: RouterProcess): Promise<QueuesStatus> {
  return (await (await fetch(`${router.adminUrl}/api/v1/queues`)).json()) as QueuesStatus
}

const sum = (counts: Readonly<Record<string, number>>) =>
  Object.values(counts).reduce((total, count) => total + count, 0)

/** What a cursor says became of its records, minus what was appended; 0: the identity holds. */
export function imbalance(cursor: CursorStatus): number {
  const { appended, deadLettered, delivered, dropped, lost, pending } = cursor
  return delivered + deadLettered + sum(dropped) + sum(lost) + pending - appended
}

/** The cursors of one destination of a route, added up over its shards. */
export function totalOf(
  { cursors }: QueuesStatus,
  route: string,
  destination: string
): { appended: number; delivered: number; dropped: number; lost: number; pending: number } {
  const mine = cursors.filter((each) => each.route === route && each.destination === destination)
  const add = (pick: (cursor: CursorStatus) => number) =>
    mine.reduce((total, cursor) => total + pick(cursor), 0)
  return {
    appended: add(({ appended }) => appended),
    delivered: add(({ delivered }) => delivered),
    dropped: add(({ dropped }) => sum(dropped)),
    lost: add(({ lost }) => sum(lost)),
    pending: add(({ pending }) => pending)
  }
}
