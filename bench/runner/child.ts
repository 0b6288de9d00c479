// Child processes of the runner: start, wait until ready, stop, always with a deadline.

import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, openSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { createInterface } from 'node:readline'
import { systemClock } from '../../src/core/clock.ts'

const POLL_MS = 25
const STOP_MS = 30_000

export interface Child {
  readonly pid: number
  readonly process: ChildProcess
}

/** stdout and stderr go to the file. */
export function startLogged(
  command: readonly string[],
  env: Record<string, string>,
  logFile: string
): Child {
  const [program, ...args] = command
  if (program === undefined) throw new Error('no command')
  const log = openSync(logFile, 'a')
  const child = spawn(program, args, {
    env: { ...process.env, ...env },
    stdio: ['ignore', log, log]
  })
  closeSync(log)
  if (child.pid === undefined) throw new Error(`cannot start ${program}`)
  return { pid: child.pid, process: child }
}

/** Starts a script of this folder and resolves with its first line. */
export async function startScript(
  script: string,
  args: readonly string[]
): Promise<[Child, string]> {
  const child = spawn(process.execPath, [script, ...args], { stdio: ['ignore', 'pipe', 'inherit'] })
  if (child.pid === undefined || child.stdout === null) throw new Error(`cannot start ${script}`)
  const lines = createInterface({ input: child.stdout })
  for await (const line of lines) return [{ pid: child.pid, process: child }, line]
  throw new Error(`${script} ended without a line, exit code ${child.exitCode}`)
}

export async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  await new Promise((resolve) => server.close(resolve))
  if (typeof address !== 'object' || address === null) throw new Error('no address')
  return address.port
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => resolve(false))
  })
}

export async function waitForPort(port: number, child: Child, limitMs: number): Promise<void> {
  const endMs = performance.now() + limitMs
  while (!(await accepts(port))) {
    if (child.process.exitCode !== null) {
      throw new Error(`the router ended with exit code ${child.process.exitCode}`)
    }
    if (performance.now() > endMs) throw new Error(`port ${port} is not open after ${limitMs} ms`)
    await systemClock.sleep(POLL_MS)
  }
}

/** SIGTERM, then SIGKILL after the deadline; resolves with the exit code or the signal. */
export async function stop(child: Child): Promise<string> {
  const { process: running } = child
  if (running.exitCode !== null) return String(running.exitCode)
  const ended = new Promise<string>((resolve) => {
    running.once('exit', (code, signal) => resolve(String(code ?? signal)))
  })
  running.kill('SIGTERM')
  const cancel = systemClock.after(STOP_MS, () => running.kill('SIGKILL'))
  const result = await ended
  cancel()
  return result
}
