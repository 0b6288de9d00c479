// Runs on: ingest.
// A request that is not taken, before its answer is put into the form of a protocol.

export interface Refusal {
  readonly kind: 'refused'
  /** Status by the rules of Fluentd's senders: 503 is the only one that all of them send again. */
  readonly code: number
  /** For counters and log lines, from a closed list. */
  readonly reason: string
  /** For the sender. */
  readonly text: string
  /** What came, as far as it did. */
  readonly firstBytes?: Buffer
}

export function refusal(code: number, reason: string, text: string): Refusal {
  return { kind: 'refused', code, reason, text }
}

export const NO_ROOM = refusal(503, 'room', 'no room in the queue, come again')
export const STOPPING = refusal(503, 'stopping', 'the server stops, come again')

export function isRefusal(value: object): value is Refusal {
  return 'kind' in value && value.kind === 'refused'
}
