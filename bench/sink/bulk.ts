// OpenSearch `_bulk`: counts documents and writes the answer that the real server would give when all succeed.

import { countMark, type Seen } from './seen.ts'

const NEWLINE = 10
const SHORT_ITEM = '{"create":{"status":201}},'
const LONG_ITEM =
  '{"create":{"_index":"bench","_id":"AAAAAAAAAAAAAAAAAAAAAAAA","_version":1,"result":"created",' +
  '"_shards":{"total":2,"successful":1,"failed":0},"_seq_no":1,"_primary_term":1,"status":201}},'
const ITEMS_MAX = 50_000

class Answers {
  private readonly items: Buffer
  private readonly itemBytes: number
  private readonly head: Buffer

  constructor(head: string, item: string) {
    this.head = Buffer.from(head)
    this.itemBytes = item.length
    this.items = Buffer.from(item.repeat(ITEMS_MAX))
  }

  of(itemCount: number): Buffer {
    if (itemCount > ITEMS_MAX) throw new Error(`${itemCount} items in one bulk body`)
    const list = this.items.subarray(0, Math.max(0, itemCount * this.itemBytes - 1))
    return Buffer.concat([this.head, list, Buffer.from(']}')])
  }
}

const short = new Answers('{"errors":false,"items":[', SHORT_ITEM)
const long = new Answers('{"took":3,"errors":false,"items":[', LONG_ITEM)

/** `isFiltered`: the client asked by `filter_path` for the status of the items only. */
export function bulkAnswer(itemCount: number, isFiltered: boolean): Buffer {
  return (isFiltered ? short : long).of(itemCount)
}

/** Action lines of one index are equally long, so their end is first looked for where the previous one had it. */
export function countBulk(seen: Seen, body: Buffer): number {
  let items = 0
  let at = 0
  let actionLength = 0
  let markOffset = 0
  while (at < body.length) {
    let end = at + actionLength
    if (body[end] !== NEWLINE) end = body.indexOf(NEWLINE, at)
    if (end < 0) throw new Error('bulk body: action line without newline')
    actionLength = end - at
    const start = end + 1
    const after = countMark(seen, body, start, body.length, start + markOffset)
    if (after < 0) throw new Error(`bulk body: no seq= in item ${items}`)
    markOffset = after - start - 14
    end = body.indexOf(NEWLINE, after)
    if (end < 0) throw new Error('bulk body: document without newline')
    at = end + 1
    items++
  }
  return items
}
