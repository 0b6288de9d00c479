// Replays and purges over the death of the process: nothing is forgotten, nothing has two documents, counts go on.

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import type { JobStatus } from '../../src/admin/status.ts'
import { command } from '../support/command-line.ts'
import { eventually } from '../support/eventually.ts'
import { dlq, json, LIMIT_MS, settledAt, setUp } from '../support/letter-router.ts'
import type { RouterProcess } from '../support/router-process.ts'

const COUNT = 1500
const refused = { status: 400, type: 'mapper_parsing_exception', reason: 'no' }
const lines = (count: number) => Array.from({ length: count }, (_, n) => ({ log: `line ${n}`, n }))

t.setTimeout(180_000)

async function jobOf(router: RouterProcess, id: number): Promise<JobStatus> {
  return (await (await fetch(`${router.adminUrl}/api/v1/jobs/${id}`)).json()) as JobStatus
}

async function jobWhen(router: RouterProcess, isSo: (job: JobStatus) => boolean) {
  return eventually('the job is so far', LIMIT_MS, async () => {
    const job = await jobOf(router, 1)
    if (job.id !== 1) throw new Error('the job is not known')
    return isSo(job) ? job : null
  })
}

t.test(
  'a replay of dead letters goes on after SIGKILL and after a stop, to its limit',
  async (t) => {
    const { post, search, start } = await setUp(t)
    search.itemFaults(refused)
    const first = await start()
    await post('app.a', lines(COUNT))
    await settledAt(first, COUNT)
    search.itemFaults()
    const wanted = COUNT - 200
    const words = ['replay', 'out.search', '--rate', '400/s', '--limit', String(wanted), '--detach']
    t.equal((await dlq(first, ...words)).exitCode, 0)
    await jobWhen(first, ({ stored }) => stored >= 300)
    await first.kill()

    const second = await start()
    const resumed = await jobOf(second, 1)
    t.match(resumed, { id: 1, kind: 'replay', state: 'running', source: 'out.search' })
    await jobWhen(second, ({ stored }) => stored >= 700)
    t.equal(await second.stop(), 0)

    const third = await start()
    const done = await jobWhen(third, ({ state }) => state !== 'running')
    t.match(done, { state: 'done', matched: wanted, stored: wanted, failed: 0, error: null })
    t.equal(search.documents.length, wanted, 'each letter is one document')
    const [log] = await json(third, 'ls')
    t.match(log, { log: 'out.search', records: COUNT - wanted, written: COUNT })
    const another = await json(third, 'replay', 'out.search')
    t.match(another, { id: 2, matched: COUNT - wanted, stored: COUNT - wanted, duplicates: 0 })
    const numbers = search.documents.map(({ source }) => JSON.parse(source).n)
    t.equal(new Set(numbers).size, COUNT, 'all of them')
    t.equal(await third.stop(), 0)

    const fourth = await start()
    t.same(await json(fourth, 'ls'), [], 'nothing is left')
    const jobs = await command(['jobs', 'ls', '--json', '--admin', fourth.adminUrl])
    t.same(JSON.parse(jobs.out), [], 'what was done is not done again')
    t.equal(await fourth.stop(), 0)
  }
)

t.test('a replay of a queue goes on after SIGKILL, and holds what it has to read', async (t) => {
  const { post, search, start } = await setUp(t, 'defaults: {routes: {keep: 1h}}')
  const first = await start()
  const all = lines(COUNT)
  // A frame is sent whole: a replay that can be killed half-way has many.
  for (let at = 0; at < COUNT; at += 50) await post('app.a', all.slice(at, at + 50))
  await settledAt(first, COUNT)
  search.reset()
  const words = ['queue', 'replay', 'app', 'search', '--from', 'oldest', '--rate', '300/s']
  const asked = await command([...words, '--detach', '--admin', first.adminUrl])
  t.equal(asked.exitCode, 0, asked.error)
  await jobWhen(first, ({ stored }) => stored >= 400)
  await first.kill()

  const second = await start()
  const done = await jobWhen(second, ({ state }) => state !== 'running')
  t.match(done, { kind: 'queue_replay', state: 'done', matched: COUNT, failed: 0 })
  t.equal(search.documents.length, COUNT, 'each record is one document')
  t.equal(await second.stop(), 0)
})

t.test(
  'a job whose destination is gone fails and says so; a damaged file forgets jobs',
  async (t) => {
    const { folder, post, search, start } = await setUp(t)
    search.itemFaults(refused)
    const first = await start()
    await post('app.a', lines(300))
    await settledAt(first, 300)
    const words = ['replay', 'out.search', '--to', 'app/search', '--rate', '20/s', '--detach']
    t.equal((await dlq(first, ...words)).exitCode, 0)
    await first.kill()
    const file = join(folder, 'data/JOBS')
    const renamed = await start('', 'app.**', {
      config: first.config.replace('\n  app:\n', '\n  other:\n')
    })
    const failed = await jobOf(renamed, 1)
    t.match(failed, { state: 'failed', error: /app\/search/ })
    t.equal(await renamed.stop(), 0)
    writeFileSync(file, 'no job\n')
    const last = await start()
    t.match(last.log, /"event":"jobs.unreadable"/)
    t.match(await json(last, 'ls'), [{ records: 300 }], 'no letter is forgotten')
    t.equal(await last.stop(), 0)
  }
)
