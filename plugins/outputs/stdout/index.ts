// Step 8. Runs on: main.
// Writes one JSON object per line to standard output or standard error. The verdict comes when the stream has taken
// the lines, so a slow terminal slows the drain and nothing else.

import type { Writable } from 'node:stream'
import { Type } from 'typebox'
import { linkAbort } from '../../../src/core/abort.ts'
import { errnoOf } from '../../../src/core/errors.ts'
import { defineOutput } from '../../../src/plugin/define.ts'
import type { Batch, FlushOutcome, Output, Verdict } from '../../../src/plugin/output.ts'

/** Small, so that lines appear soon and a slow reader holds little. */
const BODY_BYTES_MAX = 1024 * 1024

const config = Type.Object(
  {
    stream: Type.Enum(['stdout', 'stderr'], {
      default: 'stdout',
      description: 'Stream to write to.'
    })
  },
  { additionalProperties: false }
)

export class StreamOutput implements Output {
  readonly #stream: Writable
  #stopped = new AbortController()

  constructor(stream: Writable) {
    this.#stream = stream
  }

  start(): Promise<void> {
    this.#stopped = new AbortController()
    this.#stream.off('error', ignore).on('error', ignore)
    return Promise.resolve()
  }

  async flush(batch: Batch, signal: AbortSignal): Promise<FlushOutcome> {
    if (signal.aborted || this.#stopped.signal.aborted) return all(retry('aborted'))
    // The stream keeps what it cannot write at once, and nobody can take it back: it gets bytes of its own.
    const lines = Buffer.from(batch.body)
    return await new Promise((resolve) => {
      const onAbort = () => settle(retry('aborted'))
      const aborted = linkAbort(signal, this.#stopped.signal)
      const settle = (verdict: Verdict) => {
        aborted.release()
        resolve(all(verdict))
      }
      aborted.signal.addEventListener('abort', onAbort, { once: true })
      this.#stream.write(lines, (error) =>
        settle(error ? retry(errnoOf(error) || 'write_failed') : { kind: 'stored' })
      )
    })
  }

  stop(): Promise<void> {
    this.#stopped.abort()
    return Promise.resolve()
  }
}

/** A write that fails tells its callback; the event, which may come after the stop, would end the process. */
function ignore(): void {}

function retry(reason: string): Verdict {
  return { kind: 'retry', reason }
}

function all(verdict: Verdict): FlushOutcome {
  return { kind: 'all', verdict }
}

export default defineOutput({
  type: 'stdout',
  stability: 'stable',
  summary: 'Writes one JSON object per line to standard output.',
  config,
  renderModule: new URL('./render.ts', import.meta.url),
  sizes: () => ({
    bodyBytesMax: BODY_BYTES_MAX,
    requestsMax: 1,
    lingerMs: 100,
    flushTimeoutMs: 30_000,
    isOrderedPerTarget: true,
    slotExtraBytes: 0
  }),
  create: (options) =>
    new StreamOutput(options.stream === 'stderr' ? process.stderr : process.stdout)
})
