// Step 1. Runs on: ingest.
// The `security` block at work: who is turned away at accept, and a handshake for each connection where a key is set.

import { randomBytes } from 'node:crypto'
import dns from 'node:dns/promises'
import os from 'node:os'
import { errorText } from '../../../src/core/errors.ts'
import type { InputContext } from '../../../src/plugin/input.ts'
import { type Credentials, Handshake } from './handshake.ts'
import { type Source, SourceRules } from './handshake-rules.ts'
import type { SecurityOptions } from './options.ts'

/** 24 characters of nonce and of auth. */
const SECRET_BYTES = 12

export class Security {
  readonly #rules: SourceRules
  /** null: no key is set, clients send at once. */
  readonly #credentials: Credentials | null

  constructor(
    options: SecurityOptions,
    { clock, log, thread }: Pick<InputContext<unknown>, 'clock' | 'log' | 'thread'>
  ) {
    this.#rules = new SourceRules(options, {
      clock,
      async lookup(host) {
        return (await dns.lookup(host, { all: true })).map(({ address }) => address)
      },
      onLookupFailed(host, error) {
        if (thread.index !== 0) return
        const fields = { event: 'client.lookup', host, error: errorText(error) }
        log.warn(fields, 'a host of security.clients was not found: it keeps the addresses it had')
      }
    })
    this.#credentials = credentialsOf(options, this.#rules)
  }

  start(): Promise<void> {
    return this.#rules.start()
  }

  close(): void {
    this.#rules.close()
  }

  isDenied(source: Source): boolean {
    return this.#rules.isDenied(source)
  }

  /** null: none is asked for. */
  handshake(source: Source): Handshake | null {
    if (this.#credentials === null) return null
    return new Handshake(this.#credentials, source, newSecret(), newSecret())
  }
}

/** Clients compare this name with their own and leave when they are the same; agents go by the name of the machine. */
export function defaultHostname(): string {
  return `millrace-${os.hostname()}`
}

function credentialsOf(options: SecurityOptions, rules: SourceRules): Credentials | null {
  const { clients, empty_shared_key, self_hostname, shared_key, user_auth, users } = options
  const sharedKey = shared_key ?? (empty_shared_key ? '' : null)
  if (sharedKey === null && clients.every((client) => client.shared_key === undefined)) return null
  return {
    selfHostname: self_hostname ?? defaultHostname(),
    sharedKey,
    passwords: user_auth ? new Map(users.map(({ name, password }) => [name, password])) : null,
    rules
  }
}

const newSecret = (): Buffer => Buffer.from(randomBytes(SECRET_BYTES).toString('hex'))
