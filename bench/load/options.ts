// Options of one load process, given as one JSON argument.

export interface LoadOptions {
  readonly host: string
  readonly port: number
  /** `message`: one frame per line, as Docker sends; `packed`: PackedForward chunks. */
  readonly mode: 'message' | 'packed'
  readonly events: number
  readonly connections: number
  /** Distinct tags `docker.web0000`..., each with its own container id. */
  readonly tags: number
  /** Events of one chunk (packed) or of one write (message). */
  readonly chunkEvents: number
  /** Ask for an ack per chunk. */
  readonly ack: boolean
  /** Chunks without an ack (or not yet taken by the kernel) per connection. */
  readonly window: number
  /** Events per second over all connections; 0: as fast as they are taken. */
  readonly rate: number
}

/** What a load process prints as its only line. */
export interface LoadReport {
  readonly events: number
  readonly bytes: number
  readonly seconds: number
  readonly ackedChunks: number
  readonly ackP50Ms: number
  readonly ackP99Ms: number
  readonly ackMaxMs: number
  readonly cpuSeconds: number
}

export function isLoadOptions(value: unknown): value is LoadOptions {
  if (typeof value !== 'object' || value === null) return false
  const needed = ['host', 'port', 'mode', 'events', 'connections', 'tags', 'chunkEvents', 'window']
  return needed.every((key) => key in value)
}
