// The reader of handshakes against bytes of every kind: what comes in pieces is judged as what comes whole, only the right
// proof opens, and what was not taken is left for the reader of messages.

import { createHash } from 'node:crypto'
import { decodeMulti, encode } from '@msgpack/msgpack'
import t from 'tap'
import { FakeClock } from '../../../test/support/fake-clock.ts'
import { NO_SECURITY } from '../../../test/support/forward-host.ts'
import { type Dice, fuzz, mutate } from '../../../test/support/fuzz.ts'
import { Handshake, type HandshakeStep } from './handshake.ts'
import { SourceRules } from './handshake-rules.ts'

const NONCE = Buffer.from('0123456789abcdef01234567')
const AUTH = Buffer.from('fedcba9876543210fedcba98')
const rules = new SourceRules(NO_SECURITY, {
  clock: new FakeClock(),
  lookup: async () => [],
  onLookupFailed() {}
})
const hex = (...parts: (string | Uint8Array)[]): string => {
  const hash = createHash('sha512')
  for (const part of parts) hash.update(part)
  return hash.digest('hex')
}
const digests = { key: hex('s', 'c', NONCE, 'sekret'), password: hex(AUTH, 'fluent', 'pw') }
const ping = Buffer.from(encode(['PING', 'c', 's', digests.key, 'fluent', digests.password]))
const event = Buffer.from(encode(['t', 1, { m: 'x' }]))
const seeds = [
  ping,
  Buffer.concat([ping, event]),
  event,
  Buffer.from('["t",1,{}]'),
  Buffer.alloc(0)
]

const begin = (): Handshake =>
  new Handshake(
    {
      selfHostname: 'server',
      sharedKey: 'sekret',
      passwords: new Map([['fluent', 'pw']]),
      rules
    },
    { address: '127.0.0.1', isUnix: false },
    NONCE,
    AUTH
  )

/** Bytes until the decision, and the decision. */
function inPieces(bytes: Buffer, dice: Dice): { step: HandshakeStep; takenBytes: number } {
  const handshake = begin()
  let step: HandshakeStep = { kind: 'more' }
  let at = 0
  while (step.kind === 'more' && at < bytes.length) {
    const end = Math.min(bytes.length, at + 1 + dice.below(1 + dice.below(60)))
    step = handshake.read(bytes.subarray(at, end))
    if (step.kind === 'accepted') return { step, takenBytes: at + step.takenBytes }
    at = end
  }
  return { step, takenBytes: 0 }
}

/** Whether a library finds a PING with the right proof at the start. */
function isProved(bytes: Buffer): boolean {
  const decoder = decodeMulti(bytes, { rawStrings: true })
  try {
    const { value } = decoder.next()
    if (!Array.isArray(value) || value.length !== 6) return false
    if (!value.every((part) => part instanceof Uint8Array)) return false
    const [kind, client, salt, key, user, password] = value.map((part) => Buffer.from(part))
    if (kind === undefined || client === undefined || salt === undefined) return false
    return (
      kind.toString('latin1') === 'PING' &&
      key?.toString('latin1').toLowerCase() === hex(salt, client, NONCE, 'sekret') &&
      user?.toString('latin1') === 'fluent' &&
      password?.toString('latin1').toLowerCase() === digests.password
    )
  } catch {
    return false
  }
}

fuzz(t, 'forward handshake', (dice) => {
  const seed = dice.oneOf(seeds)
  const kind = dice.below(4)
  const bytes = kind === 0 ? dice.bytes(dice.below(300)) : kind === 1 ? seed : mutate(seed, dice)
  const whole = begin().read(bytes)
  const { step, takenBytes } = inPieces(bytes, dice)
  if (bytes.length > 0 && whole.kind !== step.kind) return `${whole.kind} whole, ${step.kind} cut`
  if ((whole.kind === 'accepted') !== isProved(bytes)) return `${whole.kind} against the library`
  if (whole.kind === 'accepted' && whole.takenBytes !== takenBytes) return 'takes another length'
  if (whole.kind === 'refused' && whole.strayBytes > bytes.length) return 'more stray than there is'
  if (whole.kind === 'more' && bytes.length > 5000) return 'waits for ever'
  return undefined
})
