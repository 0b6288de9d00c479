// Step 1. Runs on: ingest.
// The end of a connection that its sender notices.

import type net from 'node:net'
import { TLSSocket } from 'node:tls'
import { rawOf } from './tls-endpoint.ts'

/** Ends a connection so that its sender sees an error on its next write instead of losing it (Forward rule: RST, not FIN). */
export function resetSocket(socket: net.Socket): void {
  if (socket.destroyed) return
  if (socket instanceof TLSSocket) {
    const raw = rawOf(socket)
    if (raw !== undefined) resetRaw(raw, socket.writableEnded)
    socket.destroy()
  } else {
    resetRaw(socket, socket.writableEnded)
  }
}

function resetRaw(socket: net.Socket, isEnded: boolean): void {
  // Unix sockets know no reset; the next write of the peer fails at once on a plain close. After `end` the system may be
  // shutting the connection down; it refuses a reset then, and the socket would stay for ever.
  if (socket.remoteFamily === undefined || isEnded) socket.destroy()
  else socket.resetAndDestroy()
}
