// A destination for long runs: what is visible takes 8 bytes a record, and it can be down.

import type { Random } from '../../src/core/clock.ts'
import { BulkServer, CONFLICT, type Item, type Misbehaviour } from './visible-documents.ts'

const PAGE_RECORDS = 2 ** 20

export class CountedDocuments extends BulkServer {
  /** By sequence number, six bytes of the position in the id of its document; 0: not visible. */
  readonly #pages: Float64Array[] = []
  readonly #usual: Misbehaviour
  /** Sequence numbers that are visible. */
  count = 0
  /** Documents that show a sequence number which another one shows already. */
  doubled = 0

  constructor(random: Random, misbehaviour: Misbehaviour) {
    super(random, misbehaviour)
    this.#usual = misbehaviour
  }

  /** `refuse`: 503 to everything; `forget`: what is sent is stored, and no answer arrives. */
  setDown(how: 'refuse' | 'forget' | null): void {
    this.misbehaviour = {
      ...this.#usual,
      ...(how === 'refuse' ? { refused: 1 } : {}),
      ...(how === 'forget' ? { answerLost: 1 } : {})
    }
  }

  isVisible(seq: number): boolean {
    return this.#pageOf(seq)[seq % PAGE_RECORDS] !== 0
  }

  protected create(id: string, seq: number): Item['create'] {
    const page = this.#pageOf(seq)
    const at = seq % PAGE_RECORDS
    // Log, epoch and offset of a document are 18 bytes; the last six are the offset, which no other one of its log has.
    const offset = Buffer.from(id, 'base64url').readUIntBE(12, 6) + 1
    if (page[at] === offset) return CONFLICT
    if (page[at] === 0) {
      page[at] = offset
      this.count++
    } else this.doubled++
    return { status: 201 }
  }

  #pageOf(seq: number): Float64Array {
    const number = Math.floor(seq / PAGE_RECORDS)
    while (this.#pages.length <= number) this.#pages.push(new Float64Array(PAGE_RECORDS))
    const page = this.#pages[number]
    if (page === undefined) throw new Error(`no page ${number}`)
    return page
  }
}
