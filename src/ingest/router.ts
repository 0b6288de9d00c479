// Step 3. Runs on: ingest.
// Tag -> routes that take it: in file order, the first match ends the search unless it says `continue`. Patterns are run
// once per new tag; the usual call compares the tag with the one before. What no route takes goes to `unmatched`.
// Limit: TAG_CACHE_MAX tags per input are remembered, the oldest leaves (Docker's default tag is a container id).

import { TAG_CACHE_MAX } from '../core/limits.ts'

/** One route as the router sees it; `targetOf` gives what the caller stores records of a tag with. */
export interface RouteRule<T> {
  readonly targetOf: (tag: Uint8Array) => T
  readonly matches: (tag: string) => boolean
  /** Inputs it takes records of; null: all. */
  readonly from: ReadonlySet<string> | null
  readonly isContinue: boolean
}

export interface RouterOptions<T> {
  readonly rules: readonly RouteRule<T>[]
  readonly unmatched: T
  /** Told once per remembered tag that no route takes. */
  readonly onUnmatched: (inputId: string, tag: string) => void
}

export class Router<T> {
  readonly #options: RouterOptions<T>
  readonly #unmatched: readonly T[]
  readonly #inputs = new Map<string, InputRoutes<T>>()

  constructor(options: RouterOptions<T>) {
    this.#options = options
    this.#unmatched = [options.unmatched]
  }

  /** Targets of a tag, at least one. */
  lookup(inputId: string, tag: Uint8Array): readonly T[] {
    let routes = this.#inputs.get(inputId)
    if (routes === undefined) {
      routes = new InputRoutes((tag) => this.#match(inputId, tag))
      this.#inputs.set(inputId, routes)
    }
    return routes.lookup(tag)
  }

  #match(inputId: string, bytes: Buffer): readonly T[] {
    const tag = bytes.toString()
    const targets: T[] = []
    for (const rule of this.#options.rules) {
      if (rule.from !== null && !rule.from.has(inputId)) continue
      if (!rule.matches(tag)) continue
      targets.push(rule.targetOf(bytes))
      if (!rule.isContinue) return targets
    }
    if (targets.length > 0) return targets
    this.#options.onUnmatched(inputId, tag)
    return this.#unmatched
  }
}

/** The tags of one input. */
class InputRoutes<T> {
  readonly #match: (tag: Buffer) => readonly T[]
  /** Keyed by the tag's bytes as latin1; a Map keeps its order, so the first key is the oldest. */
  readonly #known = new Map<string, readonly T[]>()
  #lastTag = Buffer.alloc(0)
  #lastTargets: readonly T[] | null = null

  constructor(match: (tag: Buffer) => readonly T[]) {
    this.#match = match
  }

  lookup(tag: Uint8Array): readonly T[] {
    if (this.#lastTargets !== null && this.#lastTag.equals(tag)) return this.#lastTargets
    this.#lastTag = Buffer.from(tag)
    this.#lastTargets = this.#find(this.#lastTag)
    return this.#lastTargets
  }

  #find(tag: Buffer): readonly T[] {
    const key = tag.toString('latin1')
    const known = this.#known.get(key)
    if (known !== undefined) return known
    if (this.#known.size >= TAG_CACHE_MAX) {
      const oldest = this.#known.keys().next()
      if (oldest.done !== true) this.#known.delete(oldest.value)
    }
    const targets = this.#match(tag)
    this.#known.set(key, targets)
    return targets
  }
}
