// Step 1. Runs on: ingest.
// The handshake of one connection, apart from its socket: the server says HELO, the client proves by PING that it knows the
// key (and a password), PONG tells it so and proves the same of the server. Nothing is a message before PONG said yes.
// Every comparison of digests takes the same time whatever is wrong.

import { createHash, timingSafeEqual } from 'node:crypto'
import {
  encodeHelo,
  encodePong,
  type PingMessage,
  readPing,
  tagInstead
} from './handshake-messages.ts'
import type { Source, SourceRules } from './handshake-rules.ts'

/** Label values of input_auth_failures_total. */
export type HandshakeFailure = 'key' | 'user' | 'malformed' | 'address'

/** What the refused client is told: Fluent Bit shows 31 bytes. */
const REASONS: Readonly<Record<HandshakeFailure, string>> = {
  key: 'shared_key mismatch',
  user: 'username/password mismatch',
  malformed: 'invalid ping message',
  address: 'source address denied'
}

/** Names in log lines, bytes. */
const NAME_BYTES_SHOWN_MAX = 253
const DIGEST_HEX = /^[0-9a-f]{128}$/i
const NOTHING = Buffer.alloc(0)

/** Of an input: what its connections have to know. */
export interface Credentials {
  readonly selfHostname: string
  /** null: only rules of `clients` have keys. */
  readonly sharedKey: string | null
  /** Passwords by name; null: users are not asked for. */
  readonly passwords: ReadonlyMap<string, string> | null
  readonly rules: SourceRules
}

export type HandshakeStep =
  | { readonly kind: 'more' }
  /** `takenBytes`: of those given last; messages follow. */
  | { readonly kind: 'accepted'; readonly pong: Buffer; readonly takenBytes: number }
  | {
      readonly kind: 'refused'
      readonly pong: Buffer
      readonly reason: HandshakeFailure
      /** Bytes that were no PING. */
      readonly strayBytes: number
      /** Name that the client gave itself, tag of a message that came instead. */
      readonly fields: object
    }

export class Handshake {
  readonly helo: Buffer
  readonly #credentials: Credentials
  readonly #source: Source
  readonly #nonce: Buffer
  readonly #auth: Buffer
  #bytes = NOTHING

  /** `nonce` and `auth`: new for each connection, unpredictable, of ASCII. */
  constructor(credentials: Credentials, source: Source, nonce: Buffer, auth: Buffer) {
    this.#credentials = credentials
    this.#source = source
    this.#nonce = nonce
    this.#auth = credentials.passwords === null ? NOTHING : auth
    this.helo = encodeHelo(nonce, this.#auth)
  }

  /** What came so far. */
  get firstBytes(): Buffer {
    return this.#bytes
  }

  /** The next bytes of the client; they are copied. */
  read(bytes: Uint8Array): HandshakeStep {
    const keptBytes = this.#bytes.length
    this.#bytes = Buffer.concat([this.#bytes, bytes])
    const ping = readPing(this.#bytes)
    if (ping === 'more') return { kind: 'more' }
    if (ping === 'invalid') {
      const tag = tagInstead(this.#bytes)
      return this.#refuse('malformed', this.#bytes.length, tag === null ? {} : { tag })
    }
    const { byteCount, salt } = ping
    const judgement = this.#judge(ping)
    if (typeof judgement === 'string') {
      const fields = { client: shownName(ping.clientHostname), ...userField(ping) }
      return this.#refuse(judgement, this.#bytes.length - byteCount, fields)
    }
    const { selfHostname: hostname } = this.#credentials
    const digest = sha512(salt, hostname, this.#nonce, judgement.key).toString('hex')
    const pong = encodePong({ hostname, digest })
    return { kind: 'accepted', pong, takenBytes: byteCount - keptBytes }
  }

  #judge(ping: PingMessage): HandshakeFailure | { readonly key: string } {
    const { passwords, rules, sharedKey } = this.#credentials
    const grant = rules.grantOf(this.#source)
    const key = grant?.sharedKey ?? sharedKey
    if (grant === null || key === null) return 'address'
    const keyDigest = sha512(ping.salt, ping.clientHostname, this.#nonce, key)
    if (!isDigest(ping.keyDigest, keyDigest)) return 'key'
    if (passwords === null) return { key }
    const name = ping.userName.toString()
    const password = passwords.get(name)
    // An unknown user costs the same as a wrong password.
    const passwordDigest = sha512(this.#auth, ping.userName, password ?? '')
    const isRight = isDigest(ping.passwordDigest, passwordDigest) && password !== undefined
    return isRight && (grant.users?.has(name) ?? true) ? { key } : 'user'
  }

  #refuse(reason: HandshakeFailure, strayBytes: number, fields: object): HandshakeStep {
    const pong = encodePong({ reason: REASONS[reason] })
    return { kind: 'refused', pong, reason, strayBytes, fields }
  }
}

function sha512(...parts: readonly (Buffer | string)[]): Buffer {
  const hash = createHash('sha512')
  for (const part of parts) hash.update(part)
  return hash.digest()
}

function isDigest(hex: Buffer, digest: Buffer): boolean {
  const text = hex.toString('latin1')
  return DIGEST_HEX.test(text) && timingSafeEqual(Buffer.from(text, 'hex'), digest)
}

const shownName = (name: Buffer): string => name.toString('utf8', 0, NAME_BYTES_SHOWN_MAX)

const userField = ({ userName }: PingMessage): object =>
  userName.length === 0 ? {} : { user: shownName(userName) }
