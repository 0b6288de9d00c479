// Step 1. Runs on: ingest.
// Reads the PROXY header off an accepted socket; what came behind it is put back.

import type net from 'node:net'
import type { CancelTimer, Clock } from '../core/clock.ts'
import { PROXY_HEADER_BYTES_MAX, type ProxiedPeer, parseProxyHeader } from './proxy-header.ts'

/** A header has to be whole after this long, milliseconds. */
export const PROXY_HEADER_MS = 5000

/** Why a connection was given up for its PROXY header; label values of a metric. */
export type ProxyFailure = 'not_listed' | 'missing' | 'malformed' | 'timeout'

export type ProxyOutcome =
  | { readonly kind: 'header'; readonly peer: ProxiedPeer | null }
  /** It begins with something else, or is silent because it waits for the server. */
  | { readonly kind: 'none' }
  /** The peer left without a byte: a heartbeat or a probe. */
  | { readonly kind: 'left' }
  | {
      readonly kind: 'failed'
      readonly reason: ProxyFailure
      readonly detail: string
      readonly bytes: Buffer
    }

/** `done` is called once, unless the returned function is called before. */
export function readProxyHeader(
  socket: net.Socket,
  isRequired: boolean,
  clock: Clock,
  done: (outcome: ProxyOutcome) => void
): CancelTimer {
  let bytes: Buffer = Buffer.alloc(0)
  const stop = (): void => {
    cancelTimer()
    socket.off('readable', look)
    socket.off('end', left)
  }
  const settle = (outcome: ProxyOutcome, rest: Buffer): void => {
    stop()
    if (rest.length > 0) socket.unshift(rest)
    done(outcome)
  }
  const fail = (reason: ProxyFailure, detail: string): void => {
    stop()
    done({ kind: 'failed', reason, detail, bytes })
  }
  const look = (): void => {
    for (let chunk = socket.read(); chunk !== null; chunk = socket.read()) {
      bytes = Buffer.concat([bytes, chunk])
      const header = parseProxyHeader(bytes)
      if (header.kind === 'more' && bytes.length < PROXY_HEADER_BYTES_MAX) continue
      if (header.kind === 'header') {
        settle({ kind: 'header', peer: header.peer }, bytes.subarray(header.byteCount))
      } else if (header.kind === 'none') {
        if (isRequired) fail('missing', '')
        else settle({ kind: 'none' }, bytes)
      } else {
        fail('malformed', header.kind === 'malformed' ? header.reason : 'too_long')
      }
      return
    }
  }
  const left = (): void => {
    if (bytes.length > 0) fail('malformed', 'cut_short')
    else settle({ kind: 'left' }, bytes)
  }
  const cancelTimer = clock.after(PROXY_HEADER_MS, () => {
    if (bytes.length === 0 && !isRequired) settle({ kind: 'none' }, bytes)
    else fail('timeout', '')
  })
  socket.on('readable', look)
  socket.once('end', left)
  return stop
}
