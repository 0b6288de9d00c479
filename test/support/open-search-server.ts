// A real OpenSearch node on loopback, started from jars of Maven (test/interop/opensearch). Its data folder survives a stop.

import { type ChildProcess, spawn } from 'node:child_process'
import { createWriteStream } from 'node:fs'
import { join } from 'node:path'
import { eventually } from './eventually.ts'

const BOOT = join(import.meta.dirname, '../interop/opensearch/Boot.java')
const START_LIMIT_MS = 120_000
const STOP_LIMIT_MS = 60_000
const PAGE = 10_000

interface Page {
  readonly _scroll_id: string
  readonly hits: { readonly hits: readonly Hit[] }
}

export interface Hit {
  readonly _id: string
  readonly _index: string
  readonly _source: Record<string, unknown>
}

export class OpenSearchServer {
  readonly url: string
  private readonly port: number
  private readonly folder: string
  private readonly jars: string
  private child: ChildProcess | null = null

  constructor(jars: string, port: number, folder: string) {
    this.jars = jars
    this.port = port
    this.folder = folder
    this.url = `http://127.0.0.1:${port}`
  }

  async start(): Promise<void> {
    const options = ['-Xms256m', '-Xmx512m', '-cp', `${this.jars}/*`]
    const child = spawn('java', [...options, BOOT, String(this.port), join(this.folder, 'os')], {
      cwd: this.folder,
      stdio: ['ignore', 'pipe', 'pipe']
    })
    const log = createWriteStream(join(this.folder, 'opensearch.log'), { flags: 'a' })
    child.stdout.pipe(log, { end: false })
    child.stderr.pipe(log, { end: false })
    this.child = child
    await eventually('OpenSearch answers', START_LIMIT_MS, async () => {
      if (child.exitCode !== null) throw new Error(`OpenSearch ended, see ${this.folder}`)
      const health = `${this.url}/_cluster/health?wait_for_status=yellow&timeout=30s`
      return (await fetch(health).catch(() => null))?.status === 200
    })
  }

  /** SIGTERM; with SIGKILL what it had promised must be in its translog. */
  async stop(signal: 'SIGTERM' | 'SIGKILL' = 'SIGTERM'): Promise<void> {
    const { child } = this
    if (child === null || child.exitCode !== null || child.signalCode !== null) return
    child.kill(signal)
    await eventually('OpenSearch ends', STOP_LIMIT_MS, () => {
      return child.exitCode !== null || child.signalCode !== null
    }).catch(() => child.kill('SIGKILL'))
    this.child = null
  }

  async json(method: string, path: string, body?: unknown): Promise<unknown> {
    const answer = await fetch(this.url + path, {
      method,
      headers: { 'content-type': 'application/json' },
      ...(body === undefined ? {} : { body: JSON.stringify(body) })
    })
    return answer.json()
  }

  /** Every document of the indices, read through a scroll after a refresh. */
  async documents(indices: string): Promise<Hit[]> {
    await this.json('POST', `/${indices}/_refresh`)
    const first = `/${indices}/_search?scroll=1m`
    let page = (await this.json('POST', first, { size: PAGE, sort: ['_doc'] })) as Page
    const all: Hit[] = []
    while (page.hits.hits.length > 0) {
      all.push(...page.hits.hits)
      const next = { scroll: '1m', scroll_id: page._scroll_id }
      page = (await this.json('POST', '/_search/scroll', next)) as Page
    }
    return all
  }

  async count(indices: string): Promise<number> {
    await this.json('POST', `/${indices}/_refresh`)
    const answer = (await this.json('GET', `/${indices}/_count`)) as { count?: number }
    return answer.count ?? 0
  }
}
