import { join } from 'node:path'
import t from 'tap'
import { command } from '../support/command-line.ts'
import { dlq, json, settledAt, setUp } from '../support/letter-router.ts'

t.test(
  'letters of every kind are listed, filtered, exported and purged, with a server and without',
  async (t) => {
    const { folder, post, search, start } = await setUp(t)
    const router = await start()
    const reasons = { bad: 'mapper_parsing_exception', huge: 'illegal_argument_exception' }
    search.itemFaults(
      { status: 400, type: reasons.bad, reason: 'failed to parse', contains: 'bad' },
      { status: 400, type: reasons.huge, reason: 'immense term', contains: 'huge' }
    )
    await post('app.web', [{ log: 'bad one', n: 1 }, { log: 'huge two' }])
    await post('app.db.main', [{ log: 'bad three' }])
    await post('other.tag', [{ log: 'where to?' }])
    await settledAt(router, 3)

    const where = ['--where', 'tag=app.* and error=*parse*']
    const [shown] = await json(router, 'show', 'out.search', ...where)
    t.match(shown, { tag: 'app.web', record: /bad one/, attempts: 1, status: 400 })
    const wrong = await dlq(router, 'show', 'out.search', '--where', 'reson=mapping')
    t.match(wrong, { exitCode: 64, error: /filter, column 1: no field "reson".*"reason"/ })
    const none = await dlq(router, 'export', 'out.none')
    t.match(none, { exitCode: 64, error: /no dead letter log "out.none"; logs are out.search/ })

    const exported = (await dlq(router, 'export', 'out.search')).out
    const lines = exported
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line))
    t.equal(lines.length, 3)
    const entry = Buffer.from(lines[0].entries[0].base64, 'base64')
    t.match(lines[0], { id: shown.id, records: [{ log: 'bad one' }] })
    t.ok(entry.includes('bad one'), 'bytes as they came in')
    const raw = (await dlq(router, 'export', 'out.search', '--raw', '--limit', '1')).out
    t.same(Buffer.from(raw, 'latin1'), entry)

    // The same of the directory beside the running server, which is not asked.
    const directory = ['--data-dir', join(folder, 'data')]
    t.equal((await command(['dlq', 'export', 'out.search', ...directory])).out, exported)
    const offline = await command(['dlq', 'show', 'out.search', ...where, '--json', ...directory])
    t.same(JSON.parse(offline.out), [shown])
    const listed = await json(router, 'ls')
    t.same(
      listed.map(({ log, records }: { log: string; records: number }) => [log, records]),
      [
        ['out.search', 3],
        ['unmatched', 1]
      ]
    )

    const asked = await dlq(router, 'purge', 'out.search', ...where)
    t.match(asked, { exitCode: 64, out: /1 would be removed/, error: /say --yes/ })
    t.match(await json(router, 'purge', 'out.search', '--yes', ...where), { removed: 1 })
    t.match(await json(router, 'purge', 'out.search', '--yes', ...where), { removed: 0 })
    const metrics = await router.metrics()
    t.match(
      metrics,
      'millrace_queue_dlq_removed_records_total{log="out.search",reason="operator"} 1'
    )
    t.match(metrics, 'millrace_queue_dlq_records{log="out.search"} 2')
    t.equal(await router.stop(), 0)

    const after = JSON.parse((await command(['dlq', 'ls', '--json', ...directory])).out)
    t.match(after[0], { log: 'out.search', records: 2, written: 3, removed: { operator: 1 } })
  }
)

t.test('what no route took goes to the routes that take it now, or where it is sent', async (t) => {
  const { post, search, start } = await setUp(t)
  let router = await start()
  await post('other.one', [{ log: 'first' }])
  await post('other.two', [{ log: 'second' }])
  const wait = await json(router, 'replay', 'unmatched')
  t.match(wait, { matched: 2, stored: 0, failed: 2, failures: [{ reason: 'no_destination' }] })
  const where = ['--where', 'tag=other.two', '--to', 'app/search']
  t.match(await json(router, 'replay', 'unmatched', ...where), { matched: 1, stored: 1 })
  const bad = await dlq(router, 'replay', 'unmatched', '--to', 'app/none')
  t.match(bad, { exitCode: 64, error: /no destination "app\/none"; destinations are app\/search/ })
  t.equal(await router.stop(), 0)

  router = await start('', '{app,other}.**')
  t.match(await json(router, 'replay', 'unmatched'), {
    ...{ matched: 1, stored: 1, failed: 0 },
    matches: [{ reason: 'unmatched', destination: 'app/search', records: 1 }]
  })
  t.same(await json(router, 'ls'), [])
  const logs = search.documents.map(({ source }) => JSON.parse(source).log)
  t.same(logs.sort(), ['first', 'second'])
  t.equal(await router.stop(), 0)
})
