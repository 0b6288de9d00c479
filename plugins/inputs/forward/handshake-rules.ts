// Step 1. Runs on: ingest.
// Who may connect, by address: `deny`, then the first rule of `clients` that fits, then `allow_anonymous_source`. Names of
// hosts are looked up at the start and once a minute; one that is not found keeps the addresses that it had.

import type { Clock } from '../../../src/core/clock.ts'
import { AddressSet } from '../../../src/net/address-set.ts'
import type { ClientOptions, SecurityOptions } from './options.ts'

const REFRESH_MS = 60_000

/** Who is at the other end, as far as rules care. */
export interface Source {
  readonly address: string
  readonly isUnix: boolean
}

/** What a source may do. */
export interface Grant {
  /** null: the key of the input. */
  readonly sharedKey: string | null
  /** Names of users that may log in; null: all. */
  readonly users: ReadonlySet<string> | null
}

export interface RuleParts {
  readonly clock: Clock
  /** Addresses of a host name. */
  lookup(host: string): Promise<readonly string[]>
  onLookupFailed(host: string, error: unknown): void
}

interface Rule {
  readonly host: string | null
  readonly isUnix: boolean
  readonly grant: Grant
  addresses: AddressSet
}

const ANYBODY: Grant = { sharedKey: null, users: null }

export class SourceRules {
  readonly #parts: RuleParts
  readonly #deny: AddressSet
  readonly #rules: readonly Rule[]
  readonly #isAnonymousAllowed: boolean
  #cancel = () => {}
  #isClosed = false

  constructor({ allow_anonymous_source, clients, deny }: SecurityOptions, parts: RuleParts) {
    this.#parts = parts
    this.#deny = new AddressSet(deny)
    this.#rules = clients.map(ruleOf)
    this.#isAnonymousAllowed = allow_anonymous_source
  }

  /** Looks names up; settles when each was found or not. */
  async start(): Promise<void> {
    const named = this.#rules.filter(({ host }) => host !== null)
    if (named.length === 0) return
    await Promise.all(named.map((rule) => this.#refresh(rule)))
    if (this.#isClosed) return
    this.#cancel = this.#parts.clock.after(REFRESH_MS, () => {
      // It settles whatever happens: failures are told.
      void this.start()
    })
  }

  close(): void {
    this.#isClosed = true
    this.#cancel()
  }

  isDenied(source: Source): boolean {
    return !source.isUnix && this.#deny.has(source.address)
  }

  /** null: this source may not send. */
  grantOf(source: Source): Grant | null {
    for (const { addresses, grant, isUnix } of this.#rules) {
      const fits = source.isUnix ? isUnix : addresses.has(source.address)
      if (fits) return grant
    }
    return this.#isAnonymousAllowed ? ANYBODY : null
  }

  async #refresh(rule: Rule): Promise<void> {
    const host = rule.host ?? ''
    try {
      rule.addresses = new AddressSet(await this.#parts.lookup(host))
    } catch (error) {
      this.#parts.onLookupFailed(host, error)
    }
  }
}

function ruleOf({ host, network, shared_key, unix, users }: ClientOptions): Rule {
  return {
    host: host ?? null,
    isUnix: unix,
    grant: { sharedKey: shared_key ?? null, users: users.length > 0 ? new Set(users) : null },
    addresses: new AddressSet(network === undefined ? [] : [network])
  }
}
