// A real Docker engine of its own for tests: own folders, own socket, no bridge, no rules in the packet filter. Needs root.
// Containers run without a network or in that of the host; the logging driver connects from the engine anyway.

import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { createWriteStream, mkdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { eventually } from './eventually.ts'

const START_LIMIT_MS = 60_000
const STOP_LIMIT_MS = 30_000
const OUTPUT_BYTES_MAX = 64 * 1024 * 1024
const run = promisify(execFile)

export class DockerEngine {
  readonly logFile: string
  private readonly daemon: string
  private readonly client: string
  private readonly folder: string
  private child: ChildProcess | null = null

  /** `folder` holds images and containers; the path of the socket in it has to stay short. */
  constructor(daemon: string, client: string, folder: string) {
    this.daemon = daemon
    this.client = client
    this.folder = folder
    this.logFile = join(folder, 'dockerd.log')
  }

  async start(): Promise<void> {
    const { folder } = this
    mkdirSync(folder, { recursive: true })
    const args = [
      ...['--data-root', join(folder, 'root'), '--exec-root', join(folder, 'exec')],
      ...['--pidfile', join(folder, 'pid'), '-H', `unix://${join(folder, 's')}`],
      ...['--iptables=false', '--ip6tables=false', '--bridge=none']
    ]
    const child = spawn(this.daemon, args, { stdio: ['ignore', 'pipe', 'pipe'] })
    const log = createWriteStream(this.logFile, { flags: 'a' })
    child.stdout.pipe(log, { end: false })
    child.stderr.pipe(log, { end: false })
    this.child = child
    await eventually('the Docker engine answers', START_LIMIT_MS, async () => {
      if (child.exitCode !== null || child.signalCode !== null) throw new Error('dockerd ended')
      return this.docker('version').then(
        () => true,
        () => false
      )
    })
  }

  /** Ends containers and engine, whatever state they are in, and removes the folder. */
  async stop(): Promise<void> {
    const { child, folder } = this
    if (child !== null) {
      await this.removeContainers().catch(() => undefined)
      await this.end(child, 'SIGTERM').catch(() => this.end(child, 'SIGKILL'))
    }
    // What the engine leaves mounted, innermost first: at least the name space of the host. The folder could not be removed.
    const mounts = readFileSync('/proc/self/mounts', 'utf8').split('\n')
    const points = mounts.map((line) => line.split(' ')[1] ?? '')
    for (const point of points.filter((point) => point.startsWith(`${folder}/`)).reverse()) {
      await run('umount', ['--lazy', point]).catch(() => undefined)
    }
    rmSync(folder, { recursive: true, force: true })
  }

  private async removeContainers(): Promise<void> {
    const ids = (await this.docker('ps', '-aq')).split('\n').filter(Boolean)
    if (ids.length > 0) await this.docker('rm', '-f', ...ids)
  }

  private async end(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
    const hasEnded = () => child.exitCode !== null || child.signalCode !== null
    if (!hasEnded()) child.kill(signal)
    await eventually(`the Docker engine ends by ${signal}`, STOP_LIMIT_MS, hasEnded)
  }

  /** What `docker ...` prints, the streams of a container one after the other. */
  async docker(...args: string[]): Promise<string> {
    const { stdout, stderr } = await run(this.client, args, {
      maxBuffer: OUTPUT_BYTES_MAX,
      // The builder of the engine itself: it needs no plugin of the client.
      env: { ...process.env, DOCKER_HOST: `unix://${join(this.folder, 's')}`, DOCKER_BUILDKIT: '0' }
    })
    return args[0] === 'logs' ? stdout + stderr : stdout.trim()
  }
}
