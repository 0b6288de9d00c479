// The crowd beside an honest sender: `node bench/load/crowd.ts '<CrowdOptions as JSON>'`. Prints one line when all are
// connected, then keeps them until it gets SIGTERM. Idle connections send nothing; slow ones are within a message for ever
// and send a byte of it now and then. One that the router ends is opened again.

import { connect, type Socket } from 'node:net'
import { systemClock } from '../../src/core/clock.ts'

export interface CrowdOptions {
  readonly port: number
  readonly idle: number
  readonly slow: number
  /** Time between two bytes of a slow connection, milliseconds. */
  readonly byteMs: number
  /** Last byte of the address they come from. */
  readonly sourceByte: number
}

/** Connections that are opened at a time: more than the backlog of the listener would only be tried again. */
const OPENING_MAX = 200
const REOPEN_MS = 100
const TICK_MS = 20
/** `["app", 0, {"log": <str32 of 64 KiB>`: its bytes come one by one. */
const HEAD = Buffer.from('94a361707000' + '81a36c6f67db00010000', 'hex')

async function open({ port, sourceByte }: CrowdOptions): Promise<Socket> {
  for (;;) {
    const localAddress = `127.0.0.${sourceByte}`
    const socket = connect({ host: '127.0.0.1', port, localAddress })
    const isOpen = await new Promise<boolean>((resolve) => {
      socket.once('connect', () => resolve(true))
      socket.on('error', () => resolve(false))
    })
    if (isOpen) return socket
    socket.destroy()
    await systemClock.sleep(REOPEN_MS)
  }
}

class Crowd {
  readonly #options: CrowdOptions
  readonly #slow: Socket[] = []
  #isOver = false

  constructor(options: CrowdOptions) {
    this.#options = options
  }

  async start(): Promise<void> {
    const { idle, slow } = this.#options
    let left = idle + slow
    const openSome = async () => {
      while (left > 0) {
        left--
        await this.#add(left < slow ? left : null)
      }
    }
    await Promise.all(Array.from({ length: OPENING_MAX }, openSome))
    this.#tick(0, performance.now())
  }

  stop(): void {
    this.#isOver = true
    process.exit(0)
  }

  async #add(slowIndex: number | null): Promise<void> {
    const socket = await open(this.#options)
    socket.resume()
    socket.once('close', () => {
      if (!this.#isOver) void this.#add(slowIndex)
    })
    if (slowIndex === null) return
    this.#slow[slowIndex] = socket
    socket.write(HEAD)
  }

  /** The slow ones take turns, so that their bytes come evenly over the time. */
  #tick(sentCount: number, startMs: number): void {
    const { slow, byteMs } = this.#options
    const due = Math.floor(((performance.now() - startMs) / byteMs) * slow)
    for (let turn = sentCount; turn < due; turn++) this.#slow[turn % slow]?.write('x')
    systemClock.after(TICK_MS, () => this.#tick(due, startMs))
  }
}

// The runner is our own program; its argument has this shape.
const options = JSON.parse(process.argv[2] ?? 'null') as CrowdOptions
const crowd = new Crowd(options)
process.on('SIGTERM', () => crowd.stop())
await crowd.start()
console.log('connected')
