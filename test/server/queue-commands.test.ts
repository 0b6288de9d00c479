import { join } from 'node:path'
import t from 'tap'
import type { Account } from '../../src/cli/queue/accounts.ts'
import { command } from '../support/command-line.ts'
import { eventually } from '../support/eventually.ts'
import { FakeOpenSearch } from '../support/fake-opensearch.ts'
import { freePort } from '../support/free-port.ts'
import { NumberedLoad, queuesOf } from '../support/numbered-load.ts'
import { startRouter } from '../support/router-process.ts'

const LIMIT_MS = 60_000

t.setTimeout(180_000)

const accountsOf = async (words: readonly string[]): Promise<readonly Account[]> => {
  const { error, exitCode, out } = await command(['queue', 'reconcile', '--json', ...words])
  t.equal(exitCode, 0, `every sum holds ${error}`)
  return JSON.parse(out)
}

t.test(
  'the queue is looked into under load, after a kill, and when all is delivered',
  async (t) => {
    const search = await new FakeOpenSearch().start()
    t.teardown(() => search.stop())
    search.plan(...Array.from({ length: 20_000 }, () => ({ kind: 'status' as const, status: 503 })))
    const port = await freePort()
    const adminPort = await freePort()
    const config = `
version: 1
data_dir: ./data
inputs:
  load: {type: forward, listen: "tcp://127.0.0.1:${port}"}
admin: {listen: "127.0.0.1:${adminPort}"}
routes:
  all: {match: "**", max_bytes: 64MiB, to: [search, trash]}
outputs:
  search: {type: opensearch, endpoints: ["${search.url}"], index: logs, flush_interval: 20ms, retry: {base: 20ms, cap: 200ms}}
  trash: {type: "null"}
`
    const setup = { folder: t.testdir(), config, adminPort }
    const admin = ['--admin', `127.0.0.1:${adminPort}`]
    const directory = ['--data-dir', join(setup.folder, 'data')]
    const first = await startRouter(t, setup)
    const load = new NumberedLoad({ port, tag: 'app.web', chunkRecords: 50, padBytes: 600 }).start()
    t.teardown(() => load.stop())
    for (let round = 1; round <= 3; round++) {
      const wanted = load.acked.length + 2000
      await eventually('more is acked', LIMIT_MS, () => load.acked.length >= wanted)
      for (const words of [
        ['queue', 'show', 'all', ...admin],
        ['queue', 'verify', '--deep', ...admin],
        ['queue', 'cursor', 'get', 'all', 'search', ...admin],
        ['queue', 'dump', 'all', '--limit', '100', ...directory],
        ['queue', 'reconcile', ...admin],
        ['queue', 'reconcile', ...directory]
      ]) {
        const { error, exitCode, out } = await command(words)
        t.equal(exitCode, 0, `${words.join(' ')} ${exitCode === 0 ? '' : `${out} ${error}`}`)
      }
    }
    const dump = await command(['queue', 'dump', 'all', '--from', '100', '--to', '103', ...admin])
    const [record] = dump.out.split('\n')
    t.match(JSON.parse(record ?? ''), { offset: 100, tag: 'app.web', source: 'load' })

    await first.kill()
    load.stop()
    const killed = (await accountsOf(directory)).filter(({ log }) => log === 'routes/all')
    t.equal(killed.length, 2)
    for (const { appended, destination, pending } of killed) {
      t.ok(appended >= load.acked.length, `${appended} appended, ${load.acked.length} acked`)
      t.equal(destination === 'search' ? pending : appended, appended, 'search has nothing')
    }
    t.equal((await command(['queue', 'verify', '--deep', ...directory])).exitCode, 0)

    search.reset()
    const second = await startRouter(t, setup)
    await eventually('all is delivered', LIMIT_MS, async () =>
      (await queuesOf(second)).cursors.every(({ pending }) => pending === 0) ? true : null
    )
    const live = await accountsOf(admin)
    t.equal(await second.stop(), 0)
    const last = (await accountsOf(directory)).filter(({ log }) => log === 'routes/all')
    for (const account of last) {
      const before = killed.find(({ destination }) => destination === account.destination)
      t.equal(account.appended, before?.appended, 'what the files said after the kill')
      t.equal(account.delivered + account.duplicateSuppressed, account.appended)
      const same = live.find(({ destination }) => destination === account.destination)
      t.equal(same?.appended, account.appended, 'the server said so too')
    }
  }
)
