// Step 2. Runs on: ingest.
// The tag that a message is stored under: `tag` replaces it, prefixes go in front, an empty one becomes `default_tag`, and
// a longer one than TAG_BYTES_MAX is cut where a character ends. Messages of one tag in a row are worked out once.

import { TAG_BYTES_MAX } from '../../../src/core/limits.ts'

export interface TagOptions {
  readonly tag: string | null
  /** Joined with a dot. */
  readonly prefix: string | null
  /** Joined with nothing. */
  readonly rawPrefix: string | null
  readonly defaultTag: string
}

export class TagRule {
  readonly #fixed: Buffer | null
  readonly #prefix: Buffer
  readonly #default: Buffer
  #lastReceived = Buffer.alloc(0)
  #lastTag: Buffer

  constructor(options: TagOptions) {
    this.#fixed = options.tag === null ? null : Buffer.from(options.tag)
    const dotted = options.prefix === null ? '' : `${options.prefix}.`
    this.#prefix = Buffer.from(dotted + (options.rawPrefix ?? ''))
    this.#default = Buffer.from(options.defaultTag)
    this.#lastTag = this.#make(this.#lastReceived)
  }

  /** A buffer of its own, the same for the same tag in a row. */
  of(received: Buffer): Buffer {
    if (!this.#lastReceived.equals(received)) {
      this.#lastReceived = Buffer.from(received)
      this.#lastTag = this.#make(this.#lastReceived)
    }
    return this.#lastTag
  }

  #make(received: Buffer): Buffer {
    if (this.#fixed !== null) return this.#fixed
    const tag = received.length === 0 ? this.#default : received
    return cutTag(this.#prefix.length === 0 ? tag : Buffer.concat([this.#prefix, tag]))
  }
}

/** Not within a character: continuation bytes are 10xxxxxx. */
export function cutTag(tag: Buffer): Buffer {
  if (tag.length <= TAG_BYTES_MAX) return tag
  let end = TAG_BYTES_MAX
  while (end > TAG_BYTES_MAX - 4 && ((tag[end] ?? 0) & 0xc0) === 0x80) end--
  return tag.subarray(0, end)
}
