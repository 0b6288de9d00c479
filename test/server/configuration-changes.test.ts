import { existsSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { LIMIT_MS, range, refuse, shardFiles, world } from '../support/changing-router.ts'
import { command } from '../support/command-line.ts'
import { eventually } from '../support/eventually.ts'
import { arrivedSeqs, imbalance, missingSeqs, queuesOf, totalOf } from '../support/numbered-load.ts'

t.setTimeout(180_000)

t.test('a removed destination keeps its counts, holds nothing, and comes back anew', async (t) => {
  const { dataDir, first, second, send, start } = await world(t)
  refuse(second)
  const both = '  all: {match: "**", to: [first, second]}'
  const before = await start(both)
  await send(400)
  await eventually('one has all', LIMIT_MS, async () => {
    return totalOf(await queuesOf(before), 'all', 'first').delivered === 400
  })
  t.equal(await before.stop(), 0)

  const alone = await start('  all: {match: "**", to: [first]}')
  t.match(alone.log, /"event":"queue.destination_removed"/)
  const { cursors, removed } = await queuesOf(alone)
  t.same(
    cursors.map(({ destination }) => destination),
    ['first']
  )
  t.match(removed, [{ route: 'all', shard: '00', destination: 'second', counts: {} }])
  const live = await command(['queue', 'reconcile', '--json', '--admin', alone.adminUrl])
  t.equal(live.exitCode, 0, live.error)
  const archived = JSON.parse(live.out)[1]
  t.match(archived, { log: 'routes/all', destination: 'second', appended: 0, pending: 0 })
  t.equal(archived.removedMs, removed[0]?.removedMs)
  const names = shardFiles(dataDir, 'all')
  t.equal(names.filter((name) => name.startsWith('second.cur.removed-')).length, 1)
  t.notOk(names.includes('second.cur'))
  await send(100)
  await eventually('the new ones too', LIMIT_MS, async () => {
    return totalOf(await queuesOf(alone), 'all', 'first').delivered === 500
  })
  t.equal(await alone.stop(), 0)

  second.reset()
  const again = await start(both)
  await send(50)
  await eventually('it has what came since', LIMIT_MS, async () => {
    return totalOf(await queuesOf(again), 'all', 'second').delivered === 50
  })
  const { appended, pending } = totalOf(await queuesOf(again), 'all', 'second')
  t.same({ appended, pending }, { appended: 50, pending: 0 }, 'it began at the newest record')
  t.equal(second.documents.length, 50)
  t.equal(arrivedSeqs(first).length, 550)
  t.equal(await again.stop(), 0)
})

t.test('Q47 a destination added with start_at: oldest gets every retained record', async (t) => {
  const { first, second, send, start } = await world(t)
  refuse(first)
  const before = await start('  all: {match: "**", to: [first]}')
  await send(600)
  t.equal(await before.stop(), 0)

  const after = await start('  all: {match: "**", to: [first, {output: second, start_at: oldest}]}')
  await eventually('the new one has the backlog', LIMIT_MS, async () => {
    return totalOf(await queuesOf(after), 'all', 'second').delivered === 600
  })
  t.same(missingSeqs(range(0, 600), arrivedSeqs(second)), [])
  t.equal(second.documents.length, 600)
  t.same((await queuesOf(after)).cursors.map(imbalance), [0, 0])
  t.equal(await after.stop(), 0)
})

t.test(
  'Q46 a route that is gone is an orphan: listed, counted, warned of, left alone',
  async (t) => {
    const { dataDir, first, send, start } = await world(t)
    refuse(first)
    const before = await start('  old: {match: "**", to: [first]}')
    await send(300)
    t.equal(await before.stop(), 0)
    const names = shardFiles(dataDir, 'old')

    const after = await start('  new: {match: "**", to: [first]}')
    const { orphans } = await queuesOf(after)
    t.match(orphans, [{ log: 'routes/old', shards: 1, records: 300, pending: { first: 300 } }])
    t.ok((orphans[0]?.bytes ?? 0) > 0)
    t.equal(await after.metric('millrace_queue_orphaned_bytes'), orphans[0]?.bytes)
    t.match(after.log, /routes\/old holds 300 records .*millrace queue adopt old --route ROUTE/)
    t.same(shardFiles(dataDir, 'old'), names, 'nothing of it was touched')
    const accountsOf = async (...words: string[]) => {
      const { out } = await command(['queue', 'reconcile', '--json', ...words])
      const accounts = JSON.parse(out) as { log: string; unreadable: number | null }[]
      return accounts
        .filter(({ log }) => log === 'routes/old')
        .map((account) => ({ ...account, unreadable: null }))
    }
    const live = await accountsOf('--admin', after.adminUrl)
    t.match(live, [{ shard: '00', destination: 'first', appended: 300, pending: 300, fault: null }])
    t.same(live, await accountsOf('--data-dir', dataDir), 'the directory says the same')
    t.equal(await after.stop(), 0)
  }
)

t.test('shards of ingest threads that are gone are drained', async (t) => {
  const { dataDir, first, send, start } = await world(t)
  refuse(first)
  const routes = '  all: {match: "**", to: [first]}'
  const two = await start(routes, { ingest: 2 })
  await send(800)
  t.equal(await two.stop(), 0)
  t.ok(existsSync(join(dataDir, 'routes/all/shard-01')))

  first.reset()
  const one = await start(routes)
  await eventually('all of both is delivered', LIMIT_MS, async () => {
    return totalOf(await queuesOf(one), 'all', 'first').delivered === 800
  })
  t.same(missingSeqs(range(0, 800), arrivedSeqs(first)), [])
  const { shards } = await queuesOf(one)
  t.same(
    shards.map(({ shard, state }) => [shard, state]),
    [
      ['00', 'ok'],
      ['01', 'draining']
    ]
  )
  t.equal(await one.stop(), 0)
})

t.test(
  'Q46 adopt attaches an orphan to a running route, drains all of it and removes it',
  async (t) => {
    const { dataDir, first, second, send, start } = await world(t)
    refuse(first)
    const before = await start('  old: {match: "**", to: [first]}', { ingest: 2 })
    await send(400)
    t.equal(await before.stop(), 0)
    first.reset()

    const after = await start('  new: {match: "**", to: [first, second]}')
    const adopt = (...words: string[]) =>
      command(['queue', 'adopt', ...words, '--admin', after.adminUrl])
    const none = await adopt('no', '--route', 'new')
    t.equal(none.exitCode, 1)
    t.match(none.error, /409.*no is no orphaned route; orphans are: old/)
    t.match(await adopt('old', '--route', 'no'), { error: /there is no route no; routes are: new/ })
    const adopted = await adopt('old', '--route', 'new')
    t.equal(adopted.error, '')
    t.match(adopted.out, /^routes\/old: 400 records .* pending: 400 for first\n/)
    t.match(adopted.out, /belongs to route new and is drained now\n$/)
    await eventually('all of it is delivered to both', LIMIT_MS, async () => {
      const queues = await queuesOf(after)
      const delivered = (name: string) => totalOf(queues, 'new', name).delivered
      return delivered('first') === 400 && delivered('second') === 400
    })
    for (const search of [first, second]) {
      t.same(missingSeqs(range(0, 400), arrivedSeqs(search)), [])
      t.equal(search.documents.length, 400, 'each once')
    }
    await eventually('its directory is gone', LIMIT_MS, () => !existsSync(join(dataDir, 'ADOPTED')))
    t.notOk(existsSync(join(dataDir, 'routes/old')))
    const { cursors, orphans } = await queuesOf(after)
    t.same(orphans, [])
    t.same(
      cursors.map(imbalance),
      cursors.map(() => 0)
    )
    t.equal(await after.metric('millrace_queue_orphaned_bytes'), 0)
    await send(10)
    await eventually('the route goes on', LIMIT_MS, async () => {
      return totalOf(await queuesOf(after), 'new', 'first').delivered === 410
    })
    t.equal(await after.stop(), 0)
  }
)

t.test(
  'Q46 an adoption continues at the cursors, survives a SIGKILL and drains alone',
  async (t) => {
    const { dataDir, first, second, send, start, launch } = await world(t)
    refuse(second)
    const before = await start('  old: {match: "**", to: [first, second]}')
    await send(300)
    await eventually('one has all', LIMIT_MS, async () => {
      return totalOf(await queuesOf(before), 'old', 'first').delivered === 300
    })
    t.equal(await before.stop(), 0)

    const offline = await command([
      'queue',
      'adopt',
      'old',
      '--route',
      'new',
      '--data-dir',
      dataDir
    ])
    t.equal(offline.error, '')
    t.match(offline.out, /pending: 0 for first, 300 for second\n.* from the next start on\n$/)
    const route = '  new: {match: "**", to: [first, second]}'
    const killed = await start(route)
    t.match(totalOf(await queuesOf(killed), 'new', 'second'), { appended: 300, pending: 300 })
    await killed.kill()
    second.reset()
    const drain = launch(route, ['--drain-only'])
    t.equal(await drain.exit, 0, drain.log.slice(-500))
    t.equal(first.documents.length, 300, 'what had them before gets none again')
    t.same(missingSeqs(range(0, 300), arrivedSeqs(second)), [])
    t.equal(second.documents.length, 300)
    t.notOk(existsSync(join(dataDir, 'routes/old')))
  }
)
