// Step 1. Runs on: ingest.
// Who may send: users by basic authentication, tokens by bearer. Every comparison takes the same time whatever is wrong, and
// all of them are made, so that the answer tells nothing about how near a guess was.

import { createHash, timingSafeEqual } from 'node:crypto'
import type { AuthOptions } from './options.ts'

/** Label values of input_auth_failures_total. */
export type AuthFailure = 'missing' | 'malformed' | 'wrong'

export class Authentication {
  /** Digests of `user:password` and of tokens. */
  readonly #users: readonly Buffer[]
  readonly #tokens: readonly Buffer[]
  /** For WWW-Authenticate: the schemes that are there. */
  readonly challenges: readonly string[]

  constructor({ users, bearer_tokens }: AuthOptions) {
    this.#users = users.map(({ username, password }) => digestOf(`${username}:${password}`))
    this.#tokens = bearer_tokens.map(digestOf)
    this.challenges = [
      ...(users.length > 0 ? ['Basic realm="millrace", charset="UTF-8"'] : []),
      ...(bearer_tokens.length > 0 ? ['Bearer realm="millrace"'] : [])
    ]
  }

  /** null: the sender may send. */
  failureOf(authorization: string | undefined): AuthFailure | null {
    if (this.#users.length === 0 && this.#tokens.length === 0) return null
    if (authorization === undefined) return 'missing'
    const [, scheme = '', rest = ''] = /^(\w+) +(\S+) *$/.exec(authorization) ?? []
    switch (scheme.toLowerCase()) {
      case 'basic':
        return isAmong(this.#users, Buffer.from(rest, 'base64')) ? null : 'wrong'
      case 'bearer':
        return isAmong(this.#tokens, Buffer.from(rest)) ? null : 'wrong'
      default:
        return 'malformed'
    }
  }
}

/** Equal lengths, which the comparison needs, and nothing of the secret itself in memory. */
function digestOf(text: string | Buffer): Buffer {
  return createHash('sha256').update(text).digest()
}

function isAmong(digests: readonly Buffer[], given: Buffer): boolean {
  const digest = digestOf(given)
  let isFound = false
  for (const each of digests) {
    if (timingSafeEqual(each, digest)) isFound = true
  }
  return isFound
}
