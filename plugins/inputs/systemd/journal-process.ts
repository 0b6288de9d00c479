// Step 1. Runs on: ingest.
// journalctl as a child. Its end is told when all of its output was taken. A stop asks with SIGTERM, and KILL_MS later, or
// when the stop is given up, with SIGKILL.

import { type ChildProcess, spawn } from 'node:child_process'
import type { Clock } from '../../../src/core/clock.ts'
import { errorText } from '../../../src/core/errors.ts'

const KILL_MS = 2000
/** Of the end of what it said. */
const SAID_BYTES_MAX = 1024

export interface JournalProcessOptions {
  readonly command: string
  readonly args: readonly string[]
  readonly clock: Clock
  onData(bytes: Buffer): void
  /** Once, and not from within the constructor. */
  onEnd(reason: string): void
}

export class JournalProcess {
  readonly #options: JournalProcessOptions
  readonly #child: ChildProcess
  readonly #ended: Promise<string>
  #said = ''
  #abandonReason: string | null = null
  #isEnded = false

  /** Throws where the system refuses to start anything. */
  constructor(options: JournalProcessOptions) {
    this.#options = options
    const { command, args } = options
    const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] })
    this.#child = child
    this.#ended = new Promise((resolve) => {
      // A signal that is not allowed is an error too, at any time.
      child.on('error', (error) => resolve(errorText(error)))
      child.once('close', (code, signal) => resolve(this.#reason(code, signal)))
    })
    child.stdout?.on('data', (bytes: Buffer) => options.onData(bytes))
    child.stderr?.on('data', (bytes: Buffer) => {
      this.#said = (this.#said + bytes.toString()).slice(-SAID_BYTES_MAX)
    })
    void this.#ended.then((reason) => {
      this.#isEnded = true
      options.onEnd(reason)
    })
  }

  pause(): void {
    this.#child.stdout?.pause()
  }

  resume(): void {
    this.#child.stdout?.resume()
  }

  /** It is of no use any more: its end is told soon, with this reason, and its output is not. */
  abandon(reason: string): void {
    this.#abandonReason = reason
    this.#release()
    this.#kill('SIGKILL')
  }

  async stop(signal: AbortSignal): Promise<void> {
    const child = this.#child
    // A process that it started may hold the pipes open.
    if (child.exitCode !== null || child.signalCode !== null) this.#release()
    else child.once('exit', () => this.#release())
    child.stdout?.removeAllListeners('data')
    child.stdout?.resume()
    const kill = () => this.#kill('SIGKILL')
    const cancel = this.#options.clock.after(KILL_MS, kill)
    if (signal.aborted) kill()
    else signal.addEventListener('abort', kill, { once: true })
    this.#kill('SIGTERM')
    await this.#ended
    cancel()
    signal.removeEventListener('abort', kill)
  }

  #kill(signal: NodeJS.Signals): void {
    if (!this.#isEnded) this.#child.kill(signal)
  }

  #release(): void {
    this.#child.stdout?.destroy()
    this.#child.stderr?.destroy()
  }

  #reason(code: number | null, signal: NodeJS.Signals | null): string {
    if (this.#abandonReason !== null) return this.#abandonReason
    const how = signal === null ? `it ended with ${code}` : `it was ended by ${signal}`
    const lastLine = this.#said.trimEnd().split('\n').at(-1)
    return lastLine ? `${how}: ${lastLine}` : how
  }
}
