import t from 'tap'
import type { DeadLetterView } from '../../src/admin/status.ts'
import { command } from '../support/command-line.ts'
import { eventually } from '../support/eventually.ts'
import { cursor, LIMIT_MS, replay, settledAt, setUp } from '../support/letter-router.ts'

// Four routers one after another: 17 s on a busy machine of two cores, and the limit of a file alone is 30 s.
t.setTimeout(180_000)

const MIB = 1024 * 1024

t.test(
  'Q49 refused records wait with their reason, survive a kill, and are replayed once',
  async (t) => {
    const { post, search, start } = await setUp(t)
    let router = await start()
    search.itemFaults({
      status: 400,
      type: 'mapper_parsing_exception',
      reason: 'failed to parse field [code]',
      contains: 'bad'
    })
    await post('app.web', [
      { log: 'one', n: 1 },
      { log: 'bad two', n: 2 },
      { log: 'noise', n: 3 },
      { log: 'bad four', n: 4 }
    ])
    const status = await settledAt(router, 4)
    t.match(status, { delivered: 1, deadLettered: 2, dropped: { filtered: 1 }, lost: {} })
    await router.kill()

    router = await start()
    t.match(await settledAt(router, 4), { deadLettered: 2 }, 'counts survive a kill')
    const live = await command(['queue', 'reconcile', '--json', '--admin', router.adminUrl])
    t.equal(live.exitCode, 0, live.error)
    t.match(JSON.parse(live.out), [
      { log: 'routes/app', deadLettered: 2 },
      { log: 'dlq/out.search', shard: '00', destination: 'replayed', appended: 2, pending: 2 }
    ])
    const shown = (await (
      await fetch(`${router.adminUrl}/api/v1/dlq/out.search`)
    ).json()) as DeadLetterView[]
    t.match(shown, [
      { tag: 'app.web', route: 'app', status: 400, record: /bad four/, error: /failed to parse/ },
      { tag: 'app.web', route: 'app', status: 400, record: /bad two/, target: 'logs' }
    ])
    t.match(await replay(router, '--dry-run'), {
      ...{ matched: 2, stored: 0, failed: 0 },
      matches: [{ reason: 'mapping', destination: 'app/search', records: 2 }]
    })
    t.match(
      await replay(router),
      { matched: 2, stored: 0, failed: 2, failures: [{ reason: 'mapping', records: 2 }] },
      'refused again: they stay'
    )

    search.itemFaults()
    t.match(await replay(router), { matched: 2, stored: 2, duplicates: 0, failed: 0 })
    const documents = search.documents
    t.equal(documents.length, 3)
    t.same(
      documents.map(({ id }) => id).sort(),
      [...new Set([...shown.map(({ id }) => id), documents[0]!.id])].sort(),
      'documents bear the ids that the dead letters had'
    )
    t.match(await replay(router), { matched: 0, stored: 0, failed: 0 })
    t.equal(search.documents.length, 3, 'a second replay changes nothing')
    const after = await command(['queue', 'reconcile', '--json', '--admin', router.adminUrl])
    t.match(JSON.parse(after.out), [
      { log: 'routes/app' },
      { log: 'dlq/out.search', appended: 2, delivered: 2, pending: 0, fault: null }
    ])
    t.same(await (await fetch(`${router.adminUrl}/api/v1/dlq`)).json(), [])
    t.equal(await router.stop(), 0)
  }
)

t.test('dlq_overflow block keeps refused records pending until a replay makes room', async (t) => {
  const settings = 'queue: {dlq_bytes: 2MiB, dlq_overflow: block, segment_bytes: 1MiB}'
  const { post, search, start } = await setUp(t, settings)
  const router = await start()
  search.itemFaults({
    status: 400,
    type: 'mapper_parsing_exception',
    reason: 'failed to parse',
    contains: 'bad'
  })
  const log = `bad ${'x'.repeat(100_000)}`
  await post(
    'app.web',
    Array.from({ length: 40 }, (_, n) => ({ log, n }))
  )
  const status = async () => {
    const answer = await fetch(`${router.adminUrl}/api/v1/dlq`)
    return ((await answer.json()) as { records: number; bytes: number }[])[0]
  }
  const full = await eventually('the dead letters are full', LIMIT_MS, async () => {
    const now = await status()
    return now !== undefined && now.bytes >= 2 * MIB ? now : null
  })
  t.ok(full.records < 40 && full.bytes < 2.5 * MIB, `${full.records} letters, ${full.bytes} bytes`)
  const { deadLettered, dropped, pending } = await cursor(router)
  t.same([deadLettered + pending, dropped], [40, {}])
  t.ok(pending > 10, `${pending} records wait`)

  search.itemFaults()
  await eventually('replays empty it', LIMIT_MS, async () => {
    await replay(router)
    return (await cursor(router)).pending === 0 && (await status()) === undefined
  })
  t.equal(search.documents.length, 40)
  t.equal(await router.stop(), 0)
})

t.test('a tag that no route takes is kept in unmatched and counted', async (t) => {
  const { post, start } = await setUp(t)
  const router = await start()
  await post('other.tag', [{ log: 'where to?' }])
  const logs = await (await fetch(`${router.adminUrl}/api/v1/dlq`)).json()
  t.match(logs, [{ log: 'unmatched', records: 1 }])
  const [shown] = (await (
    await fetch(`${router.adminUrl}/api/v1/dlq/unmatched`)
  ).json()) as DeadLetterView[]
  t.match(shown, { tag: 'other.tag', record: '{"log":"where to?"}' })
  t.equal(await router.stop(), 0)
})

t.test('a backlog drains after a kill without new input', async (t) => {
  const { post, search, start } = await setUp(t)
  let router = await start()
  search.plan(...Array.from({ length: 100 }, () => ({ kind: 'hang' as const })))
  await post(
    'app.web',
    Array.from({ length: 500 }, (_, n) => ({ log: `line ${n}`, n }))
  )
  t.equal((await cursor(router)).pending, 500)
  await router.kill()
  search.reset()
  router = await start()
  const status = await settledAt(router, 500)
  t.match(status, { delivered: 500 })
  t.equal(search.documents.length, 500)
  t.equal(await router.stop(), 0)
})
