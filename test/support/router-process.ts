// A real Millrace process for tests: started from the sources with a configuration file, ended by a signal.
// MILLRACE_TEST_MAIN names another entry file, for example the built one; a test may name its own.

import { type ChildProcess, spawn } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Test } from 'tap'
import { eventually } from './eventually.ts'

const MAIN = process.env['MILLRACE_TEST_MAIN'] ?? join(import.meta.dirname, '../../src/main.ts')
const READY_LIMIT_MS = 30_000
const LOG_BYTES_KEPT = 64 * 1024
const LOG_BYTES_SHOWN = 4000

export interface RouterSetup {
  /** Folder for the configuration file; the current folder of the process too. */
  readonly folder: string
  /** YAML; null: no file, the embedded default. */
  readonly config: string | null
  /** Where `/readyz` answers. */
  readonly adminPort: number
  readonly env?: Readonly<Record<string, string>>
  /** Command that ends by running the words that follow it. */
  readonly within?: readonly string[]
  /** More words for `run`. */
  readonly args?: readonly string[]
  /** What Node runs, flags first. Default: the sources. */
  readonly program?: readonly string[]
}

export class RouterProcess {
  readonly child: ChildProcess
  /** Exit code, or the name of the signal. */
  readonly exit: Promise<number | string>
  readonly adminUrl: string
  /** What it was started with; '': the embedded default. */
  readonly config: string
  private output = ''

  constructor(setup: RouterSetup) {
    const file = join(setup.folder, 'millrace.yaml')
    this.config = setup.config ?? ''
    if (setup.config !== null) writeFileSync(file, setup.config)
    const fileArgs = setup.config === null ? [] : ['-c', file]
    const args = [...(setup.program ?? [MAIN]), 'run', ...fileArgs, ...(setup.args ?? [])]
    const [command = process.execPath, ...rest] = [
      ...(setup.within ?? []),
      process.execPath,
      ...args
    ]
    this.child = spawn(command, rest, {
      cwd: setup.folder,
      env: { ...process.env, NODE_OPTIONS: '', ...setup.env },
      stdio: ['ignore', 'pipe', 'pipe']
    })
    const keep = (data: Buffer) => {
      this.output = (this.output + data.toString()).slice(-LOG_BYTES_KEPT)
    }
    this.child.stdout?.on('data', keep)
    this.child.stderr?.on('data', keep)
    this.exit = new Promise((resolve) => {
      this.child.once('exit', (code, signal) => resolve(code ?? signal ?? 'unknown'))
    })
    this.adminUrl = `http://127.0.0.1:${setup.adminPort}`
  }

  /** What it printed last. */
  get log(): string {
    return this.output
  }

  get hasExited(): boolean {
    return this.child.exitCode !== null || this.child.signalCode !== null
  }

  async ready(): Promise<void> {
    await eventually('the router is ready', READY_LIMIT_MS, async () => {
      if (this.hasExited) throw new Error(`the router ended:\n${this.output}`)
      const answer = await fetch(`${this.adminUrl}/readyz`).catch(() => null)
      return answer?.status === 200
    }).catch((cause) => {
      throw new Error(`${cause}\n${this.output}`)
    })
  }

  async metrics(): Promise<string> {
    const answer = await fetch(`${this.adminUrl}/metrics`)
    return answer.text()
  }

  /** Sum of all series of a metric; 0 when it has none. */
  async metric(name: string): Promise<number> {
    let sum = 0
    for (const line of (await this.metrics()).split('\n')) {
      const found = /^([a-z0-9_]+)(?:\{[^}]*\})? (\S+)/.exec(line)
      if (found?.[1] === name) sum += Number(found[2])
    }
    return sum
  }

  kill(): Promise<number | string> {
    this.child.kill('SIGKILL')
    return this.exit
  }

  stop(): Promise<number | string> {
    this.child.kill('SIGTERM')
    return this.exit
  }
}

/** Starts a router and waits until it is ready. It ends with the test; when that fails, what it printed is shown. */
export async function startRouter(t: Test, setup: RouterSetup): Promise<RouterProcess> {
  const router = new RouterProcess(setup)
  t.teardown(async () => {
    await router.kill()
    if (!t.passing()) t.comment(router.log.slice(-LOG_BYTES_SHOWN))
  })
  await router.ready()
  return router
}
