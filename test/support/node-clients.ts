// The two Node clients of the Forward protocol, which send numbered records.

import { type EventModes, FluentClient, type FluentSocketOptions } from '@fluent-org/logger'
import oldClient from 'fluent-logger'
import type { CLIENT_SECURITY } from './client-router.ts'

export const NODE_RECORD = {
  text: 'héllo 😀',
  real: 1.5,
  flag: true,
  none: null,
  small: -9_007_199_254_740_991,
  list: [1, 'two'],
  map: { a: { b: 2 } }
}

const WAIT_MS = 60_000

export interface NodeLoad {
  readonly tag: string
  readonly count: number
  readonly ack: boolean
  readonly security?: typeof CLIENT_SECURITY
}

export async function sendWithNew(
  socket: FluentSocketOptions,
  eventMode: EventModes,
  { tag, count, ack, security }: NodeLoad
): Promise<void> {
  const client = new FluentClient(tag, {
    eventMode,
    socket,
    milliseconds: true,
    ...(security === undefined ? {} : { security }),
    ...(ack ? { ack: { ackTimeout: WAIT_MS } } : {}),
    disconnect: { waitForPending: true, waitForPendingDelay: WAIT_MS, socketDisconnectDelay: 200 }
  })
  const sent: Promise<void>[] = []
  for (let seq = 0; seq < count; seq++) sent.push(client.emit('app', { seq, ...NODE_RECORD }))
  await Promise.all(sent)
  await client.shutdown()
}

export type OldOptions = ConstructorParameters<typeof oldClient.FluentSender>[1]

/** Its types leave it out; without it an error would keep the process for ten minutes. */
const GIVES_UP: object = { enableReconnect: false }
const quiet = { info: () => {}, error: () => {} }

/** Forms: `Message`, `PackedForward`, `CompressedPackedForward`. */
export async function sendWithOld(
  options: OldOptions,
  { tag, count, ack, security }: NodeLoad
): Promise<void> {
  const sender = oldClient.createFluentSender(tag, {
    ...options,
    ...(security === undefined ? {} : { security }),
    requireAckResponse: ack,
    ...GIVES_UP,
    internalLogger: quiet
  })
  // The types know `emit` and `end` alone.
  const failed = new Promise<never>((_, reject) => Object(sender).on('error', reject))
  const sent = Array.from({ length: count }, (_, seq) => {
    return new Promise<void>((resolve, reject) => {
      sender.emit('app', { seq, ...NODE_RECORD }, (cause) => (cause ? reject(cause) : resolve()))
    })
  })
  await Promise.race([Promise.all(sent), failed])
  Object(sender).end(null, null)
}
