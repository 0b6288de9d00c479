// Step 8. Runs on: main.
// Which node gets the next request: the one with the fewest in flight among those that are not resting. A node rests
// after five failures in a row, for 1 s, doubling to 30 s; when all rest, the one that is due first is tried.

import type { Clock } from '../../../src/core/clock.ts'

const FAILURES_BEFORE_REST = 5
const REST_MS_MIN = 1000
const REST_MS_MAX = 30_000

interface Node<T> {
  readonly endpoint: T
  requestCount: number
  failureCount: number
  restMs: number
  restUntilMs: number
}

export class Balancer<T> {
  readonly #nodes: Node<T>[]
  readonly #clock: Clock
  /** Where the search begins, so that equal nodes take turns. */
  #turn = 0

  constructor(endpoints: readonly T[], clock: Clock) {
    this.#clock = clock
    this.#nodes = endpoints.map((endpoint) => ({
      endpoint,
      requestCount: 0,
      failureCount: 0,
      restMs: 0,
      restUntilMs: 0
    }))
  }

  get endpoints(): readonly T[] {
    return this.#nodes.map(({ endpoint }) => endpoint)
  }

  /** The node to use; null: every one is in `tried`. */
  take(tried: ReadonlySet<T>): T | null {
    const nowMs = this.#clock.monotonicMs()
    let best: Node<T> | null = null
    for (let i = 0; i < this.#nodes.length; i++) {
      const node = this.#nodes[(this.#turn + i) % this.#nodes.length]
      if (node === undefined || tried.has(node.endpoint)) continue
      if (best === null || isBetter(node, best, nowMs)) best = node
    }
    if (best === null) return null
    this.#turn = (this.#nodes.indexOf(best) + 1) % this.#nodes.length
    best.requestCount++
    return best.endpoint
  }

  /** Ends what `take` began. */
  give(endpoint: T, isHealthy: boolean): void {
    const node = this.#nodes.find((each) => each.endpoint === endpoint)
    if (node === undefined) return
    node.requestCount--
    if (isHealthy) {
      node.failureCount = 0
      node.restMs = 0
      node.restUntilMs = 0
      return
    }
    node.failureCount++
    if (node.failureCount < FAILURES_BEFORE_REST) return
    node.restMs = Math.min(Math.max(node.restMs * 2, REST_MS_MIN), REST_MS_MAX)
    node.restUntilMs = this.#clock.monotonicMs() + node.restMs
  }
}

function isBetter<T>(a: Node<T>, b: Node<T>, nowMs: number): boolean {
  const aRestMs = Math.max(0, a.restUntilMs - nowMs)
  const bRestMs = Math.max(0, b.restUntilMs - nowMs)
  if (aRestMs === bRestMs) return a.requestCount < b.requestCount
  return aRestMs < bRestMs
}
