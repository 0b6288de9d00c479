// A destination for crash tests with the semantics of OpenSearch that matter there: `create` with an id that exists is
// answered 409 and changes nothing. It misbehaves on purpose: slow answers, refused requests, answers lost on the way.
// The sequence number of a document stands in its field `seq`.

import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { Random } from '../../src/core/clock.ts'
import { systemClock } from '../../src/core/clock.ts'

export interface Misbehaviour {
  /** Share of requests refused with 503 and nothing stored. */
  readonly refused: number
  /** Share of requests stored, whose answer is lost with the connection. */
  readonly answerLost: number
  /** Share of items answered 429 and not stored. */
  readonly itemRefused: number
  /** Longest delay before an answer, milliseconds. */
  readonly delayMsMax: number
}

/** An item of the answer to a bulk request. */
export interface Item {
  readonly create: Record<string, unknown> & { readonly status: number }
}

/** `epoch:offset` of a position id, for the message of a failure. */
function position(id: string): string {
  const bytes = Buffer.from(id, 'base64url')
  return `${bytes.readUInt32BE(8)}:${bytes.readUIntBE(12, 6)}`
}

/** The protocol, and the misbehaviour. What is stored, and how it is remembered, is another's. */
export abstract class BulkServer {
  protected readonly random: Random
  protected misbehaviour: Misbehaviour
  private readonly server = createServer((request, response) => this.serve(request, response))
  requests = 0

  constructor(random: Random, misbehaviour: Misbehaviour) {
    this.random = random
    this.misbehaviour = misbehaviour
  }

  async listen(): Promise<number> {
    await new Promise<void>((resolve) => this.server.listen(0, '127.0.0.1', resolve))
    const address = this.server.address()
    if (typeof address !== 'object' || address === null) throw new Error('no address')
    return address.port
  }

  close(): void {
    this.server.closeAllConnections()
    this.server.close()
  }

  protected abstract create(id: string, seq: number): Item['create']

  private serve(request: IncomingMessage, response: ServerResponse): void {
    const parts: Buffer[] = []
    request.on('data', (part: Buffer) => parts.push(part))
    request.on('error', () => undefined)
    request.on('end', () => this.answer(request, response, Buffer.concat(parts).toString()))
  }

  private answer(request: IncomingMessage, response: ServerResponse, body: string): void {
    if (!request.url?.includes('/_bulk')) {
      response.setHeader('content-type', 'application/json')
      response.end('{"version":{"distribution":"opensearch","number":"2.19.1"}}')
      return
    }
    this.requests++
    const { refused, answerLost, delayMsMax } = this.misbehaviour
    if (this.random() < refused) {
      response.writeHead(503, { 'content-type': 'application/json' }).end('{"error":"busy"}')
      return
    }
    const items = this.store(body)
    if (this.random() < answerLost) {
      request.socket.destroy()
      return
    }
    const errors = items.some(({ create }) => create.status >= 300)
    const text = JSON.stringify({ errors, items })
    systemClock.after(this.random() * delayMsMax, () => {
      response.writeHead(200, { 'content-type': 'application/json' }).end(text)
    })
  }

  private store(body: string): Item[] {
    const lines = body.split('\n')
    const items: Item[] = []
    for (let line = 0; line + 1 < lines.length; line += 2) {
      const action = JSON.parse(lines[line]!) as { create: { _id?: string; _index?: string } }
      const document = JSON.parse(lines[line + 1]!) as { seq: number }
      items.push({ create: this.item(action.create._id, document.seq) })
    }
    return items
  }

  private item(id: string | undefined, seq: number): Item['create'] {
    if (id === undefined) throw new Error('a document without an id')
    if (this.random() < this.misbehaviour.itemRefused) {
      return { status: 429, error: { type: 'rejected_execution_exception', reason: 'queue full' } }
    }
    return this.create(id, seq)
  }
}

export const CONFLICT: Item['create'] = {
  status: 409,
  error: { type: 'version_conflict_engine_exception', reason: 'exists' }
}

export class VisibleDocuments extends BulkServer {
  /** Sequence number of each document id. */
  private readonly byId = new Map<string, number>()
  /** Ids of the documents that show a sequence number. */
  private readonly ids = new Map<number, string[]>()
  conflicts = 0

  get count(): number {
    return this.byId.size
  }

  copiesOf(seq: number): number {
    return this.ids.get(seq)?.length ?? 0
  }

  /** Sequence numbers that are visible more than once, each with `epoch:offset` of its documents. */
  doubled(): string[] {
    return [...this.ids]
      .filter(([, ids]) => ids.length > 1)
      .map(([seq, ids]) => `${seq} at ${ids.map(position).join(' ')}`)
  }

  protected create(id: string, seq: number): Item['create'] {
    const known = this.byId.get(id)
    if (known !== undefined) {
      if (known !== seq) throw new Error(`id ${id} stands for ${known} and ${seq}`)
      this.conflicts++
      return CONFLICT
    }
    this.byId.set(id, seq)
    this.ids.set(seq, [...(this.ids.get(seq) ?? []), id])
    return { status: 201 }
  }
}
