// Runs on: any.
// One frame under construction: small runs are copied here, back to back, until it is written. Consecutive appends with
// the same tag and source share a group header, so that a message of one record costs its own bytes and no more.

import { encodeGroupPrefix, groupPrefixBytes, growGroup } from '../format/frame.ts'
import { FRAME_FLAG, FRAME_HEADER, GROUP_FLAG } from '../format/layout.ts'
import type { AppendGroup } from './append.ts'

/** What a frame header says about the groups. */
export interface FrameFacts {
  recordCount: number
  flags: number
  minTimeSeconds: number
  maxTimeSeconds: number
}

export class FrameSlab {
  /** Frame header, then payload. */
  readonly bytes: Buffer
  readonly facts: FrameFacts = newFacts()
  /** End of the payload. */
  #endByte: number = FRAME_HEADER.byteCount
  /** Start of the group that may grow; 0: none. */
  #groupAtByte = 0
  #tag: Uint8Array = new Uint8Array(0)
  #source: Uint8Array = new Uint8Array(0)
  #form = 0

  constructor(bytes: Buffer) {
    this.bytes = bytes
  }

  get payloadBytes(): number {
    return this.#endByte - FRAME_HEADER.byteCount
  }

  get isEmpty(): boolean {
    return this.facts.recordCount === 0
  }

  /** Room for the group and its padding. */
  hasRoom(group: AppendGroup): boolean {
    return this.#endByte + groupPrefixBytes(group) + group.entries.length + 8 <= this.bytes.length
  }

  add(group: AppendGroup): void {
    if (this.#canGrow(group)) {
      growGroup(this.bytes, this.#groupAtByte, group.entries.length, group.recordCount)
    } else {
      this.#groupAtByte = this.#endByte
      this.#endByte = encodeGroupPrefix(this.bytes, this.#endByte, group, {
        byteCount: group.entries.length,
        recordCount: group.recordCount,
        form: group.form,
        flags: 0
      })
      this.#remember(group)
    }
    this.bytes.set(group.entries, this.#endByte)
    this.#endByte += group.entries.length
    addFacts(this.facts, group)
  }

  /**
   * For a group that is written from where it lies: its prefix is put behind an empty frame header. Returns its end; the
   * slab must be empty and stays so.
   */
  putPrefix(group: AppendGroup, flags: number): number {
    return encodeGroupPrefix(this.bytes, FRAME_HEADER.byteCount, group, {
      byteCount: group.entries.length,
      recordCount: group.recordCount,
      form: group.form,
      flags
    })
  }

  clear(): void {
    this.#endByte = FRAME_HEADER.byteCount
    this.#groupAtByte = 0
    Object.assign(this.facts, newFacts())
  }

  /** A group with an ingest id of its own stays alone. */
  #canGrow(group: AppendGroup): boolean {
    return (
      this.#groupAtByte > 0 &&
      group.ingestId === null &&
      group.form === this.#form &&
      isSame(group.tag, this.#tag) &&
      isSame(group.source, this.#source)
    )
  }

  #remember(group: AppendGroup): void {
    if (group.ingestId !== null) {
      this.#groupAtByte = 0
      return
    }
    // Views into the slab: the caller's bytes may change after the append.
    const tagAtByte = this.#groupAtByte + groupPrefixBytes(group)
    const sourceAtByte = tagAtByte - group.source.length
    this.#tag = this.bytes.subarray(sourceAtByte - group.tag.length, sourceAtByte)
    this.#source = this.bytes.subarray(sourceAtByte, tagAtByte)
    this.#form = group.form
  }
}

export function newFacts(): FrameFacts {
  return {
    recordCount: 0,
    flags: 0,
    minTimeSeconds: Number.POSITIVE_INFINITY,
    maxTimeSeconds: Number.NEGATIVE_INFINITY
  }
}

export function addFacts(facts: FrameFacts, group: AppendGroup): void {
  facts.recordCount += group.recordCount
  facts.minTimeSeconds = Math.min(facts.minTimeSeconds, group.minTimeSeconds)
  facts.maxTimeSeconds = Math.max(facts.maxTimeSeconds, group.maxTimeSeconds)
  if (group.ingestId !== null || group.hasIngestIds === true) facts.flags |= FRAME_FLAG.ingestIds
  if (group.continues === true) facts.flags |= FRAME_FLAG.continues
}

export function groupFlags(group: AppendGroup): number {
  return group.continues === true ? GROUP_FLAG.continues : 0
}

function isSame(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false
  for (let at = 0; at < a.length; at++) if (a[at] !== b[at]) return false
  return true
}
