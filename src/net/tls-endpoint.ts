// Step 1. Runs on: ingest.
// TLS of one listener: handshakes on accepted sockets, and certificates that are read again when their files change. New
// connections get the new certificate, open ones keep theirs. A pair that does not work is not taken; it is tried again
// at every look, because key and certificate are replaced one after the other.

import { createHash, hkdfSync } from 'node:crypto'
import type net from 'node:net'
import tls from 'node:tls'
import type { CancelTimer, Clock } from '../core/clock.ts'
import { errnoOf, errorText } from '../core/errors.ts'
import type { CertificateNames } from './peer.ts'
import { fileState, type ListenerTls, readTlsMaterial, type TlsMaterial } from './tls-files.ts'

/** Why a handshake failed; label values of a metric. */
export type TlsFailure =
  | 'not_tls'
  | 'certificate_missing'
  | 'certificate_refused'
  | 'version'
  | 'timeout'
  | 'closed'
  | 'other'

export type CertificateNews =
  /** At start and after a change. */
  | { readonly kind: 'loaded'; readonly isFirst: boolean; readonly material: TlsMaterial }
  /** Changed files that do not work; once per change. */
  | { readonly kind: 'kept'; readonly error: string }
  /** Once a day in the last two weeks. */
  | { readonly kind: 'ending'; readonly endsMs: number; readonly leftMs: number }

export interface TlsEndpointOptions {
  readonly tls: ListenerTls
  readonly clock: Clock
  /** Of the process: all its threads derive the same ticket keys from it. */
  readonly ticketSecret: Uint8Array
  /** Sessions of one scope are not taken in another. */
  readonly scope: string
  onSecure(socket: tls.TLSSocket, raw: net.Socket, certificate: CertificateNames | null): void
  onFailed(raw: net.Socket, reason: TlsFailure, detail: string): void
  onNews(news: CertificateNews): void
}

/** Between two looks at the files. */
const LOOK_MS = 10_000
/** Ticket keys change this often: a client that comes with an older ticket makes a full handshake. */
const TICKET_KEYS_MS = 24 * 3_600_000
const TICKET_KEY_BYTES = 48
const ENDING_MS = 14 * 24 * 3_600_000
const DAY_MS = 24 * 3_600_000
/** Node's own timer; the bound that counts is that of accept.ts. */
const NODE_HANDSHAKE_MS = 3_600_000

export class TlsEndpoint {
  readonly #options: TlsEndpointOptions
  readonly #server: tls.Server
  #material: TlsMaterial
  #states: string
  #failedStates = ''
  #ticketPeriod = -1
  #warnedMs = Number.NEGATIVE_INFINITY
  #cancelLook: CancelTimer = () => {}
  #isClosed = false

  private constructor(options: TlsEndpointOptions, material: TlsMaterial, states: string) {
    this.#options = options
    this.#material = material
    this.#states = states
    const { client_auth } = options.tls
    this.#server = tls.createServer({
      ...this.#contextOptions(),
      requestCert: client_auth !== 'none',
      rejectUnauthorized: client_auth === 'required',
      handshakeTimeout: NODE_HANDSHAKE_MS
    })
    this.#server.on('secureConnection', (socket) => this.#secured(socket))
    this.#server.on('tlsClientError', (error, socket) => this.#failed(error, socket))
    this.#turnTicketKeys()
    options.onNews({ kind: 'loaded', isFirst: true, material })
    this.#warnOfEnd()
    this.#scheduleLook()
  }

  /** Throws `MR_CONFIG_TLS` when the files do not work. */
  static async open(options: TlsEndpointOptions): Promise<TlsEndpoint> {
    const states = await statesOf(options.tls)
    return new TlsEndpoint(options, await readTlsMaterial(options.tls), states)
  }

  /** Begins the handshake; `onSecure` or `onFailed` follows. Bytes that were read and put back count. */
  accept(raw: net.Socket): void {
    // Errors arrive as tlsClientError; this one belongs to the wrapped socket.
    raw.on('error', () => {})
    this.#server.emit('connection', raw)
  }

  /** Stops looking at the files; open connections stay. */
  close(): void {
    this.#isClosed = true
    this.#cancelLook()
  }

  /** Looks at the files once. */
  async look(): Promise<void> {
    const { tls: options, onNews } = this.#options
    const states = await statesOf(options)
    if (this.#isClosed || states === this.#states) return
    try {
      const material = await readTlsMaterial(options)
      if (this.#isClosed) return
      // A file may have changed while it was read.
      if ((await statesOf(options)) !== states) return
      this.#states = states
      if (material.bytes.equals(this.#material.bytes)) return
      this.#material = material
      this.#server.setSecureContext(this.#contextOptions())
      this.#warnedMs = Number.NEGATIVE_INFINITY
      onNews({ kind: 'loaded', isFirst: false, material })
    } catch (error) {
      if (states === this.#failedStates || this.#isClosed) return
      this.#failedStates = states
      onNews({ kind: 'kept', error: errorText(error) })
    }
  }

  #contextOptions(): tls.TlsOptions {
    const { context, caBytes } = this.#material
    const { scope, tls: options } = this.#options
    // Who was let in by an authority that is gone, or without a certificate, has to show one again.
    const rules = createHash('sha256')
      .update(`${scope}\0${options.client_auth}\0`)
      .update(caBytes)
      .digest('hex')
    return { ...context, sessionIdContext: rules.slice(0, 32), ticketKeys: this.#ticketKeys() }
  }

  #ticketKeys(): Buffer {
    const period = Math.floor(this.#options.clock.nowMs() / TICKET_KEYS_MS)
    const { ticketSecret } = this.#options
    return Buffer.from(
      hkdfSync('sha256', ticketSecret, '', `millrace tls tickets ${period}`, TICKET_KEY_BYTES)
    )
  }

  #turnTicketKeys(): void {
    const period = Math.floor(this.#options.clock.nowMs() / TICKET_KEYS_MS)
    if (period === this.#ticketPeriod) return
    this.#ticketPeriod = period
    this.#server.setTicketKeys(this.#ticketKeys())
  }

  #scheduleLook(): void {
    this.#cancelLook = this.#options.clock.after(LOOK_MS, () => {
      this.#turnTicketKeys()
      void this.look().then(() => {
        if (this.#isClosed) return
        this.#warnOfEnd()
        this.#scheduleLook()
      })
    })
  }

  #warnOfEnd(): void {
    const { clock, onNews } = this.#options
    const { endsMs } = this.#material
    const leftMs = endsMs - clock.nowMs()
    if (leftMs > ENDING_MS || clock.monotonicMs() - this.#warnedMs < DAY_MS) return
    this.#warnedMs = clock.monotonicMs()
    onNews({ kind: 'ending', endsMs, leftMs })
  }

  #secured(socket: tls.TLSSocket): void {
    const raw = rawOf(socket) ?? socket
    const isAsked = this.#options.tls.client_auth !== 'none'
    const shown = isAsked ? socket.getPeerX509Certificate() : undefined
    if (shown === undefined) {
      this.#options.onSecure(socket, raw, null)
      return
    }
    if (!socket.authorized) {
      socket.on('error', () => {})
      this.#options.onFailed(raw, 'certificate_refused', String(socket.authorizationError))
      socket.destroy()
      return
    }
    const commonName = /^CN=(.*)$/m.exec(shown.subject)?.[1] ?? ''
    const alternativeNames = shown.subjectAltName ?? ''
    this.#options.onSecure(socket, raw, { commonName, alternativeNames })
  }

  #failed(error: Error, socket: tls.TLSSocket): void {
    const raw = rawOf(socket) ?? socket
    const refused = socket.authorizationError
    if (refused) this.#options.onFailed(raw, 'certificate_refused', String(refused))
    else this.#options.onFailed(raw, failureOf(error), errnoOf(error) || errorText(error))
    socket.destroy()
  }
}

const FAILURES: readonly (readonly [RegExp, TlsFailure])[] = [
  [/PEER_DID_NOT_RETURN_A_CERTIFICATE/, 'certificate_missing'],
  [/HTTP_REQUEST|WRONG_VERSION_NUMBER|HTTPS_PROXY_REQUEST|PACKET_LENGTH|RECORD_LAYER/, 'not_tls'],
  [/UNSUPPORTED_PROTOCOL|NO_SHARED_CIPHER|VERSION_TOO_LOW|INAPPROPRIATE_FALLBACK/, 'version'],
  [/^ECONNRESET$|^EPIPE$|ALERT/, 'closed']
]

function failureOf(error: Error): TlsFailure {
  const code = errnoOf(error)
  return FAILURES.find(([pattern]) => pattern.test(code))?.[1] ?? 'other'
}

async function statesOf(tls: ListenerTls): Promise<string> {
  const states = [fileState(tls.cert_file), fileState(tls.key_file), fileState(tls.ca_file)]
  return (await Promise.all(states)).join(' ')
}

/** The socket under a TLS socket. Node has no public name for it; without it a reset is a plain close. */
export function rawOf(socket: net.Socket): net.Socket | undefined {
  return (socket as { _parent?: net.Socket })._parent
}
