// A stop and the next start under senders that ask for no acks and look for nothing: they learn of the end by writing.

import net from 'node:net'
import { encode } from '@msgpack/msgpack'
import t, { type Test } from 'tap'
import { eventually } from '../../../test/support/eventually.ts'
import { FakeClock, settled } from '../../../test/support/fake-clock.ts'
import { forwardHost } from '../../../test/support/forward-host.ts'
import { freePort } from '../../../test/support/free-port.ts'

const LIMIT_MS = 10_000
const WRITERS = 10
const DRAIN_MS = 1000
const STEP_MS = 50

/** Blocks in `write` and never reads, as loggers for Docker, Ruby and Go do: an end without an error is not seen. */
class BlindWriter {
  readonly #name: string
  readonly #port: number
  /** What the kernel did not take comes first on the next connection. */
  readonly #kept: string[] = []
  #socket: net.Socket | null = null

  constructor(name: string, port: number) {
    this.#name = name
    this.#port = port
  }

  async write(text: string): Promise<void> {
    this.#kept.push(`${this.#name} ${text}`)
    while (this.#kept[0] !== undefined) {
      this.#socket ??= await this.#connect()
      if (this.#socket === null || !(await this.#send(this.#socket, this.#kept[0]))) return
      this.#kept.shift()
    }
  }

  destroy(): void {
    this.#socket?.destroy()
    this.#socket = null
  }

  #connect(): Promise<net.Socket | null> {
    return new Promise((resolve) => {
      const socket = new net.Socket({ allowHalfOpen: true })
      socket.pause()
      socket.on('error', () => resolve(null))
      socket.connect(this.#port, '127.0.0.1', () => resolve(socket))
    })
  }

  #send(socket: net.Socket, text: string): Promise<boolean> {
    return new Promise((resolve) => {
      socket.write(encode(['t', 1_700_000_000, { m: text }]), (error) => {
        if (error) this.destroy()
        resolve(!error)
      })
    })
  }
}

async function place(t: Test, listen: string, directory: string) {
  const clock = new FakeClock()
  const options = { listen: [listen], drain_timeout: DRAIN_MS }
  const { host } = await forwardHost(t, options, { clock, directory })
  const texts = () => host.records().map(({ record }) => (record as { m: string }).m)
  return { clock, host, texts }
}

t.test(
  'C14 senders that write all the time lose at most what they wrote at the cut of a restart',
  async (t) => {
    const port = await freePort()
    const listen = `tcp://127.0.0.1:${port}`
    const base = t.testdir()
    const first = await place(t, listen, `${base}/first`)
    const writers = Array.from({ length: WRITERS }, (_, i) => new BlindWriter(`w${i}`, port))
    t.teardown(() => writers.map((writer) => writer.destroy()))
    const writeAll = (text: string) => Promise.all(writers.map((writer) => writer.write(text)))
    const all = (texts: readonly string[]) =>
      texts.flatMap((text) => writers.map((_, i) => `w${i} ${text}`)).sort()

    await writeAll('before')
    let isStopped = false
    const begun = () => first.host.counter('received_records') === WRITERS
    await eventually('all have begun', LIMIT_MS, begun)
    void first.host.main.stop(10 * DRAIN_MS).then(() => {
      isStopped = true
    })
    // Never silent for as long as a stop waits for silence.
    const draining: string[] = []
    for (let passedMs = 0; passedMs < DRAIN_MS - STEP_MS; passedMs += STEP_MS) {
      draining.push(`draining ${passedMs}`)
      await writeAll(`draining ${passedMs}`)
      await settled()
      first.clock.advance(STEP_MS)
    }
    const drained = WRITERS * (1 + draining.length)
    const isDrained = () => first.host.counter('received_records') === drained
    await eventually('what came in the drain is read', LIMIT_MS, isDrained)
    t.equal(isStopped, false)
    t.equal(first.host.counter('connections'), WRITERS)
    const cut = writeAll('cut')
    first.clock.advance(STEP_MS)
    await cut
    await eventually('the stop', LIMIT_MS, () => {
      first.clock.advance(STEP_MS)
      return isStopped
    })
    t.equal(first.host.counter('input_connections_closed_total/stop'), WRITERS)
    await writeAll('refused')
    const second = await place(t, listen, `${base}/second`)
    await writeAll('after')

    const isBack = () => {
      second.clock.advance(STEP_MS)
      return second.texts().length >= 2 * WRITERS
    }
    await eventually('all are back', LIMIT_MS, isBack)
    const stored = [...first.texts(), ...second.texts()].sort()
    const isCut = (text: string) => text.endsWith(' cut')
    t.same(
      stored.filter((text) => !isCut(text)),
      all(['before', ...draining, 'refused', 'after']),
      'each once, and the first message after the reset too'
    )
    const cutOnes = stored.filter(isCut)
    t.equal(new Set(cutOnes).size, cutOnes.length, 'what was written at the cut: once or not')
  }
)
