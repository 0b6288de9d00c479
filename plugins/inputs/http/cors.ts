// Step 1. Runs on: ingest.
// Which pages may send (Fluentd in_http, cors_allow_origins): exact origins, `*`, or one `*` inside. Requests without an
// Origin header come from no page and are not judged.

import type { FastifyReply } from 'fastify'
import type { HttpOptions } from './options.ts'

export type AllowsOrigin = (origin: string) => boolean

export function allowsOrigin(patterns: readonly string[]): AllowsOrigin {
  const tests = patterns.map((pattern): AllowsOrigin => {
    const star = pattern.indexOf('*')
    if (star < 0) return (origin) => origin === pattern
    const before = pattern.slice(0, star)
    const after = pattern.slice(star + 1)
    return (origin) =>
      origin.length >= before.length + after.length &&
      origin.startsWith(before) &&
      origin.endsWith(after)
  })
  return (origin) => tests.some((test) => test(origin))
}

const HEADERS = 'content-type, content-encoding, authorization'

export class Cors {
  readonly #isAllowed: AllowsOrigin
  readonly #allowsCredentials: boolean

  constructor(options: Pick<HttpOptions, 'cors_allow_origins' | 'cors_allow_credentials'>) {
    this.#isAllowed = allowsOrigin(options.cors_allow_origins)
    this.#allowsCredentials = options.cors_allow_credentials
  }

  /** Adds the headers that let the page read the answer. False: it may not send. */
  admits(origin: string | undefined, reply: FastifyReply): boolean {
    if (origin === undefined) return true
    if (!this.#isAllowed(origin)) return false
    reply.header('access-control-allow-origin', origin)
    // Caches must not give the answer for one origin to another.
    reply.header('vary', 'Origin')
    if (this.#allowsCredentials) reply.header('access-control-allow-credentials', 'true')
    return true
  }

  /** The same of the question that a browser asks before; it is about POST only. */
  admitsPreflight(
    origin: string | undefined,
    method: string | undefined,
    reply: FastifyReply
  ): boolean {
    if (origin === undefined || method !== 'POST' || !this.admits(origin, reply)) return false
    reply.header('access-control-allow-methods', 'POST')
    reply.header('access-control-allow-headers', HEADERS)
    return true
  }
}
