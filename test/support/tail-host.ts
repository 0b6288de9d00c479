// An ingest host with one tail input over files of a test, on a clock that the test moves.

import fs from 'node:fs'
import path from 'node:path'
import type { Test } from 'tap'
import type { TailOptions } from '../../plugins/inputs/tail/options.ts'
import { eventually } from './eventually.ts'
import { FakeClock, settled } from './fake-clock.ts'
import { type HostOptions, IngestHost } from './ingest-host.ts'

export const TAIL_DEFAULTS: Omit<TailOptions, 'paths'> = {
  exclude: ['*.gz', '*.bz2', '*.zst', '*.xz'],
  tag: 'file.*',
  format: 'plain',
  key: 'log',
  path_key: null,
  start_at: 'beginning',
  refresh_interval: 5000,
  rotate_wait: 5000,
  max_line_bytes: 1024 * 1024,
  keep_empty_lines: false
}

const WAIT_MS = 20_000
/** On a clock that stands still: no end. */
const STOP_MS = 3_600_000

/** Folders of one test: `logs` for followed files, `data` for the store. */
export class TailPlace {
  readonly clock = new FakeClock(Date.now())
  readonly logs: string
  readonly data: string

  constructor(t: Test) {
    const directory = fs.realpathSync(t.testdir({ logs: {}, data: {} }))
    this.logs = path.join(directory, 'logs')
    this.data = path.join(directory, 'data')
  }

  file(name: string): string {
    return path.join(this.logs, name)
  }

  write(name: string, text: string): void {
    fs.mkdirSync(path.dirname(this.file(name)), { recursive: true })
    fs.appendFileSync(this.file(name), text)
  }

  async start(
    t: Test,
    options: Partial<TailOptions> = {},
    hostOptions: Partial<HostOptions> = {}
  ): Promise<TailHost> {
    const host = new IngestHost({
      directory: this.data,
      clock: this.clock,
      inputs: {
        files: {
          type: 'tail',
          config: { ...TAIL_DEFAULTS, paths: [path.join(this.logs, '*.log')], ...options }
        }
      },
      inputModules: { tail: new URL('../../plugins/inputs/tail/input.ts', import.meta.url).href },
      starts: this.#nextStarts(),
      ...hostOptions
    })
    await host.start(t)
    return new TailHost(host, this.clock)
  }

  /** A new life of a shard writes behind the last one. */
  #nextStarts(): HostOptions['starts'] & object {
    const epoch = 1_700_000_000 + this.#lives++
    const start = { epoch, nextOrdinal: 0, prevValidEndByte: 0, lastAppendTimeMs: 0 }
    const logs = ['routes/all', 'routes/more', 'dlq/unmatched', 'dlq/in.files']
    return Object.fromEntries(
      logs.map((log) => [log, { ...start, nextOffset: this.#lives * 1_000_000 }])
    )
  }

  #lives = 0
}

export class TailHost {
  readonly host: IngestHost
  readonly #clock: FakeClock

  constructor(host: IngestHost, clock: FakeClock) {
    this.host = host
    this.#clock = clock
  }

  /** Moves the clock in steps of a look, until the condition holds. */
  async until(what: string, check: () => boolean): Promise<void> {
    await eventually(what, WAIT_MS, async () => {
      if (check()) return true
      this.#clock.advance(250)
      await settled()
      return check()
    })
  }

  /** So much time passes, and what falls due in it happens. */
  async pass(durationMs: number): Promise<void> {
    for (let doneMs = 0; doneMs < durationMs; doneMs += 250) {
      this.#clock.advance(250)
      await settled()
    }
  }

  /** Texts of the records in the order of the queue. */
  lines(log?: string): string[] {
    return this.host.records(log).map(({ record }) => String(Object(record)['log']))
  }

  /** Until so many records are durable, and so many bytes of the files are not stored. */
  async untilLines(count: number, leftBytes = 0): Promise<string[]> {
    await this.until(`${count} lines are durable, ${leftBytes} bytes are left`, () => {
      const isAll = this.host.recordCount() >= count
      return isAll && this.counter('file_lag_bytes') === leftBytes
    })
    return this.lines()
  }

  counter(key: string): number {
    return this.host.counter(key)
  }

  /** What is on its way becomes durable before. */
  async stop(): Promise<void> {
    await this.host.main.stop(STOP_MS)
  }
}
