// Step 7. Runs on: pool.
// The functions that kernel code calls. Texts that go back into the kernel are written where it says there is room.

import { invariant } from '../core/invariant.ts'
import { JS_CHANGES, JS_DROP, JS_FAILED, JS_REPLACE, JS_UNCHANGED, REASON_TARGET } from './codes.ts'
import type { Kernel, KernelImports } from './instance.ts'
import { KernelJoinEntry } from './join-entry.ts'
import type { RenderExports } from './render-exports.ts'
import type { JsAnswer, RenderImports } from './render-face.ts'
import { JOIN_ANSWERS } from './render-names.ts'

/** Mark in a target's entry: its bytes found no room. */
const NO_TARGET_ROOM = 0xffffffff
/** Of a group that took no part in a match. */
const UNMATCHED = 0xffffffff

export class RenderCalls {
  readonly functions: KernelImports
  targets: string[] = []
  appendTimeMs = 0
  epoch = 0
  readonly #imports: RenderImports
  #kernel: Kernel<RenderExports> | null = null
  #joinEntry: KernelJoinEntry | null = null
  #patterns: readonly RegExp[] = []
  #refusals: string[] = []

  constructor(imports: RenderImports) {
    this.#imports = imports
    this.functions = {
      doubleText: (value = 0, at = 0) => this.#doubleText(value, at),
      target: (number = 0, text = 0, byteCount = 0) => this.#target(number, text, byteCount),
      numberOf: (text = 0, byteCount = 0) => Number(this.#latin1(text, byteCount)),
      regexTest: (pattern = 0, text = 0, byteCount = 0, isAscii = 0) =>
        this.#pattern(pattern).test(this.#text(text, byteCount, isAscii)) ? 1 : 0,
      regexGroups: (pattern = 0, text = 0, byteCount = 0, isAscii = 0, groups = 0, room = 0) =>
        this.#groups(
          this.#pattern(pattern).exec(this.#text(text, byteCount, isAscii)),
          groups,
          room
        ),
      leaveJs: (stage = 0, json = 0, byteCount = 0, room = 0) =>
        this.#leaveJs(stage, this.#text(json, byteCount, 0), room),
      join: () => this.#join()
    }
  }

  bind(kernel: Kernel<RenderExports>): void {
    this.#kernel = kernel
    this.#joinEntry = new KernelJoinEntry(kernel.memory, kernel.exports.joinPlace())
  }

  beginTask(patterns: readonly RegExp[]): void {
    this.#patterns = patterns
    this.targets = []
    this.#refusals = []
  }

  refusal(number: number): string {
    return this.#refusals[number] ?? ''
  }

  get #bound(): Kernel<RenderExports> {
    invariant(this.#kernel !== null, 'kernel code called before its instance was bound')
    return this.#kernel
  }

  #latin1(at: number, byteCount: number): string {
    return this.#bound.memory.toString('latin1', at, at + byteCount)
  }

  #text(at: number, byteCount: number, isAscii: number): string {
    const { memory } = this.#bound
    return isAscii === 0
      ? memory.toString('utf8', at, at + byteCount)
      : memory.toString('latin1', at, at + byteCount)
  }

  #doubleText(value: number, at: number): number {
    return this.#bound.memory.write(String(value), at, 'latin1')
  }

  #target(number: number, text: number, byteCount: number): number {
    const { exports, memory } = this.#bound
    const name = this.#text(text, byteCount, 0)
    const made = this.#imports.target(name)
    const entry = exports.targetEntry(number)
    if (made.kind === 'refuse') {
      memory.writeUInt32LE(REASON_TARGET + this.#refusalNumber(made.reason), entry + 24)
      this.targets[number] = name
      return 0
    }
    const prefix = exports.takeTargetBytes(made.prefix.length)
    const afterId = prefix === 0 ? 0 : exports.takeTargetBytes(made.afterId.length)
    if (afterId === 0) {
      memory.writeUInt32LE(NO_TARGET_ROOM, entry + 24)
      return 0
    }
    memory.set(made.prefix, prefix)
    memory.set(made.afterId, afterId)
    memory.writeUInt32LE(prefix, entry + 8)
    memory.writeUInt32LE(made.prefix.length, entry + 12)
    memory.writeUInt32LE(afterId, entry + 16)
    memory.writeUInt32LE(made.afterId.length, entry + 20)
    this.targets[number] = name
    return 0
  }

  #refusalNumber(reason: string): number {
    const known = this.#refusals.indexOf(reason)
    return known >= 0 ? known : this.#refusals.push(reason) - 1
  }

  #pattern(number: number): RegExp {
    const pattern = this.#patterns[number]
    invariant(pattern !== undefined, `program names pattern ${number} of ${this.#patterns.length}`)
    // Patterns with flag g or y would begin where the last match ended.
    pattern.lastIndex = 0
    return pattern
  }

  /** Writes the groups' texts from `room` on and their places to the table at `groups`; returns the end of the texts. */
  #groups(match: RegExpExecArray | null, groups: number, room: number): number {
    if (match === null) return 0
    const { memory } = this.#bound
    let at = room
    for (let group = 1; group < match.length; group++) {
      const text = match[group]
      const place = groups + (group - 1) * 8
      memory.writeUInt32LE(at, place)
      if (text === undefined) memory.writeUInt32LE(UNMATCHED, place + 4)
      else {
        const byteCount = memory.write(text, at, 'utf8')
        memory.writeUInt32LE(byteCount, place + 4)
        at += byteCount
      }
    }
    return at
  }

  #leaveJs(stage: number, json: string, room: number): number {
    const { memory, exports } = this.#bound
    invariant(this.#imports.leaveJs !== undefined, 'the program needs JavaScript steps')
    const answer = this.#imports.leaveJs(stage, json)
    if (answer.kind !== 'changes' && answer.kind !== 'replace') return JS_CODES[answer.kind]
    const mailbox = exports.mailbox()
    const roomBytes = memory.readUInt32LE(mailbox)
    // Three bytes per UTF-16 unit at most: what might not fit is not written.
    if (answer.json.length * 3 > roomBytes) return JS_FAILED
    memory.writeUInt32LE(memory.write(answer.json, room, 'utf8'), mailbox)
    return JS_CODES[answer.kind]
  }

  #join(): number {
    const entry = this.#joinEntry
    invariant(this.#imports.join !== undefined && entry !== null, 'the program needs a join')
    entry.epoch = this.epoch
    entry.appendTimeMs = this.appendTimeMs
    return JOIN_ANSWERS[this.#imports.join(entry)]
  }
}

const JS_CODES: Readonly<Record<JsAnswer['kind'], number>> = {
  unchanged: JS_UNCHANGED,
  changes: JS_CHANGES,
  replace: JS_REPLACE,
  drop: JS_DROP,
  failed: JS_FAILED
}
