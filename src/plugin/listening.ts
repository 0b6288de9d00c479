// Step 1. Runs on: ingest.
// What all inputs with listeners share: TLS and the PROXY protocol by their options, and what is counted and logged when
// a connection does not come through.

import type net from 'node:net'
import { AddressSet } from '../net/address-set.ts'
import {
  type DatagramAddress,
  formatListenAddress,
  type ListenAddress
} from '../net/listen-address.ts'
import { Listener } from '../net/listener.ts'
import type { Peer } from '../net/peer.ts'
import type { ProxyFailure } from '../net/proxy-reader.ts'
import type { CertificateNews, TlsFailure } from '../net/tls-endpoint.ts'
import type { ListenerTls } from '../net/tls-files.ts'
import type { InputContext } from './input.ts'
import { type SenderWarnings, shownBytes } from './sender-warnings.ts'

/** Options of an input that say how it listens. */
export interface ListeningOptions {
  readonly mode: string
  readonly uid: number | null
  readonly gid: number | null
  readonly backlog: number
  readonly tls?: ListenerTls
  readonly proxy_protocol: 'off' | 'optional' | 'required'
  readonly proxy_protocol_from: readonly string[]
}

export interface ListeningParts {
  readonly context: InputContext<unknown>
  readonly options: ListeningOptions
  readonly warnings: SenderWarnings
  /** OS keepalive probes after this much silence, milliseconds; 0: none. */
  readonly keepaliveMs: number
  /** Whether connections may be taken; `waitingCount`: those whose handshake is under way. */
  hasRoom(waitingCount: number): boolean
  take(socket: net.Socket, peer: Peer): void
  /** Serves connections itself; without it the listener makes its own. */
  readonly server?: net.Server
}

/** TCP listens on every thread, a Unix socket or a UDP port on one. */
export function isListenedHere(
  address: ListenAddress | DatagramAddress,
  { ordinal, thread }: Pick<InputContext<unknown>, 'ordinal' | 'thread'>
): boolean {
  return address.kind === 'tcp' || ordinal % thread.count === thread.index
}

export function openListener(address: ListenAddress, parts: ListeningParts): Promise<Listener> {
  const { context, options, warnings } = parts
  const { clock, counters, thread } = context
  const listen = formatListenAddress(address)
  const { proxy_protocol: mode, tls } = options
  const refusals = new Refusals(parts, listen)
  const isProxied = address.kind === 'tcp' && mode !== 'off'
  return Listener.open(
    {
      address,
      clock,
      backlog: options.backlog,
      isPortShared: thread.count > 1,
      unix: { mode: Number.parseInt(options.mode, 8), uid: options.uid, gid: options.gid },
      keepaliveMs: parts.keepaliveMs,
      proxy: isProxied ? { mode, from: new AddressSet(options.proxy_protocol_from) } : null,
      tls:
        tls === undefined
          ? null
          : {
              tls,
              ticketSecret: context.ticketSecret,
              scope: context.id,
              onNews: (news) => tellCertificate(news, listen, context)
            },
      hasRoom: (waitingCount) => parts.hasRoom(waitingCount),
      take: (socket, peer) => parts.take(socket, peer),
      onRefused(peer) {
        counters.add('input_connections_closed_total/too_many', 1)
        refusals.add(peer)
      },
      onProxyFailed(reason, peer, bytes, detail) {
        counters.add(`input_proxy_failures_total/${reason}`, 1)
        const fields = { ...peerFields(peer), listen, reason, detail }
        const shown = bytes.length > 0 ? { first_bytes: shownBytes(bytes) } : {}
        warnings.warn({ ...fields, ...shown }, PROXY_HINTS[reason])
      },
      onTlsFailed(reason, peer, detail) {
        counters.add(`input_tls_failures_total/${reason}`, 1)
        // Probes connect and leave; agents leave when they do not trust us, and say why on their side.
        if (reason === 'closed' && !detail.includes('ALERT')) return
        warnings.warn({ ...peerFields(peer), listen, reason, detail }, TLS_HINTS[reason])
      }
    },
    parts.server
  )
}

const REFUSALS_REPEAT_MS = 60_000

/** One line a minute: refused connections come by the thousand, and other lines are to be seen beside them. */
class Refusals {
  readonly #parts: ListeningParts
  readonly #listen: string
  #printedMs = -Infinity
  #leftOut = 0

  constructor(parts: ListeningParts, listen: string) {
    this.#parts = parts
    this.#listen = listen
  }

  add(peer: Peer): void {
    const nowMs = this.#parts.context.clock.monotonicMs()
    if (nowMs - this.#printedMs < REFUSALS_REPEAT_MS) {
      this.#leftOut++
      return
    }
    const fields = { ...peerFields(peer), listen: this.#listen, reason: 'too_many' }
    const more = this.#leftOut > 0 ? { left_out: this.#leftOut } : {}
    this.#parts.warnings.warn({ ...fields, ...more }, TOO_MANY)
    this.#printedMs = nowMs
    this.#leftOut = 0
  }
}

/** Peer of a log line: its address, and who brought it. */
export function peerFields({ address, proxyAddress }: Peer): object {
  return { peer: address, ...(proxyAddress === null ? {} : { proxy: proxyAddress }) }
}

const TOO_MANY = 'connection reset: max_connections are open'

const PROXY_HINTS: Readonly<Record<ProxyFailure, string>> = {
  not_listed:
    'connection past the balancer reset: its address is not in proxy_protocol_from, and proxy_protocol is required',
  missing: 'connection without a PROXY header reset: turn the header on at the balancer',
  malformed: 'connection with a broken PROXY header reset',
  timeout: 'connection reset: its PROXY header was not whole in time'
}

const TLS_HINTS: Readonly<Record<TlsFailure, string>> = {
  not_tls: 'plain bytes on a TLS port: turn TLS on at the sender',
  certificate_missing: 'the client showed no certificate, and client_auth is required',
  certificate_refused: 'the certificate of the client does not pass ca_file',
  version: 'no version or cipher of TLS in common: see min_version',
  timeout: 'TLS handshake not done in time: connection reset',
  closed: 'the client refused the handshake: does it trust the authority of this certificate?',
  other: 'TLS handshake failed'
}

const DAY_MS = 24 * 3_600_000

/** All threads read the same files; the first one speaks. */
function tellCertificate(
  news: CertificateNews,
  listen: string,
  { counters, log, reportCertificate, thread }: InputContext<unknown>
): void {
  if (thread.index !== 0) return
  switch (news.kind) {
    case 'loaded': {
      const { endsMs, serialNumber, subject } = news.material
      reportCertificate(listen, endsMs)
      if (news.isFirst) return
      counters.add('input_tls_reloads_total/ok', 1)
      const fields = { listen, subject, serial: serialNumber, ends: timeText(endsMs) }
      log.info({ event: 'tls.reloaded', ...fields }, 'new connections get the new certificate')
      return
    }
    case 'kept':
      counters.add('input_tls_reloads_total/failed', 1)
      log.warn(
        { event: 'tls.kept', listen, error: news.error },
        'changed certificate files do not work: the old certificate stays in use'
      )
      return
    case 'ending': {
      const fields = { event: 'tls.ending', listen, ends: timeText(news.endsMs) }
      const days = Math.floor(news.leftMs / DAY_MS)
      if (news.leftMs <= 0) log.error(fields, 'the certificate of this listener has expired')
      else log.warn({ ...fields, days }, 'the certificate of this listener ends soon')
    }
  }
}

const timeText = (ms: number): string => new Date(ms).toISOString()
