import { existsSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { LIMIT_MS, refuse, world } from '../../support/changing-router.ts'
import { command } from '../../support/command-line.ts'
import { eventually } from '../../support/eventually.ts'
import { arrivedSeqs, imbalance, queuesOf, totalOf } from '../../support/numbered-load.ts'

t.setTimeout(180_000)

t.test('records are skipped and cursors moved while the server runs, and counted', async (t) => {
  const { first, send, start } = await world(t)
  refuse(first)
  const router = await start('  all: {match: "**", to: [first]}')
  await send(500)
  const run = (...words: string[]) => command(['queue', ...words, '--admin', router.adminUrl])
  const skipped = await run('skip', 'all', 'first', '--range', '100-149', '--json')
  t.match(JSON.parse(skipped.out), [{ shard: '00', dropped: 50, again: 0, pending: 450 }])
  const moved = await run('cursor', 'set', 'all', 'first', '--to', '200', '--json')
  t.match(JSON.parse(moved.out), [{ fromOffset: 0, toOffset: 200, dropped: 150, pending: 300 }])
  const back = await run('cursor', 'set', 'all', 'first', '--to', 'oldest')
  t.equal(back.exitCode, 1)
  t.match(back.error, /lies before it. Send records again with `millrace queue replay`/)
  t.match(await run('skip', 'all', 'no', '--range', '1-2'), { error: /there are: all first/ })
  t.equal((await run('skip', 'all', 'first', '--range', '2-1')).exitCode, 64)
  const refused = await run('drop', 'all', '--yes')
  t.match(refused, { exitCode: 1, error: /routes\/all is no orphan/ })
  first.reset()
  await eventually('the rest is delivered', LIMIT_MS, async () => {
    return totalOf(await queuesOf(router), 'all', 'first').pending === 0
  })
  const { cursors } = await queuesOf(router)
  t.match(cursors, [{ appended: 500, delivered: 300, dropped: { operator: 200 }, pending: 0 }])
  t.same(cursors.map(imbalance), [0])
  t.equal(first.documents.length, 300)
  const all = await run('cursor', 'set', 'all', 'first', '--to', 'newest')
  t.equal(
    all.out,
    `ROUTE  SHARD  OUTPUT  FROM  TO   DROPPED  LOST  AGAIN  PENDING
all    00     first    500  500        0     0      0        0
`
  )
  t.equal(await router.stop(), 0)
})

t.test('what is on the wire is not skipped, and nothing that is skipped arrives', async (t) => {
  const { first, send, start } = await world(t)
  // Stored at once, answered slowly: the first request is on the wire, all others come back.
  first.plan({ kind: 'trickle', byteDelayMs: 5 })
  refuse(first)
  const router = await start('  all: {match: "**", to: [first]}')
  await send(20)
  await eventually('a request is on the wire', LIMIT_MS, () => first.documents.length === 20)
  await send(480)
  const run = (...words: string[]) => command(['queue', ...words, '--admin', router.adminUrl])
  const skipped = await run('skip', 'all', 'first', '--range', '0-499', '--json')
  const [{ dropped }] = JSON.parse(skipped.out) as [{ dropped: number }]
  t.ok(dropped > 0 && dropped <= 480, `${dropped} skipped`)
  const before = arrivedSeqs(first)
  first.reset()
  const more = send(100)
  await eventually('nothing waits', LIMIT_MS, async () => {
    const { appended, pending } = totalOf(await queuesOf(router), 'all', 'first')
    return appended === 600 && pending === 0
  })
  await more
  const end = totalOf(await queuesOf(router), 'all', 'first')
  t.match(end, { delivered: 600 - dropped, dropped, lost: 0 })
  t.equal(before.length + arrivedSeqs(first).length, end.delivered, 'as many arrived')
  t.same((await queuesOf(router)).cursors.map(imbalance), [0])
  t.equal(await router.stop(), 0)
})

t.test(
  'a stopped store: back sends again, forward drops, drop deletes after a count',
  async (t) => {
    const { dataDir, second, send, start } = await world(t)
    refuse(second)
    const routes = '  all: {match: "**", to: [first, second]}'
    const before = await start(routes)
    await send(300)
    await eventually('one has all', LIMIT_MS, async () => {
      return totalOf(await queuesOf(before), 'all', 'first').delivered === 300
    })
    const run = (...words: string[]) => command(['queue', ...words, '--data-dir', dataDir])
    const locked = await run('cursor', 'set', 'all', 'first', '--to', 'oldest')
    t.equal(locked.exitCode, 75)
    t.match(locked.error, new RegExp(`in use by process ${before.child.pid}`))
    t.equal(await before.stop(), 0)

    const back = await run('cursor', 'set', 'all', 'first', '--to', '120', '--json')
    t.match(JSON.parse(back.out), [
      { fromOffset: 300, toOffset: 120, dropped: 0, again: 180, pending: 180 }
    ])
    const ahead = await run('cursor', 'set', 'all', 'second', '--to', '1h', '--json')
    t.match(JSON.parse(ahead.out), [{ toOffset: 0, dropped: 0, pending: 300 }])
    const skipped = await run('skip', 'all', 'second', '--range', '0-99', '--json')
    t.match(JSON.parse(skipped.out), [{ toOffset: 100, dropped: 100, pending: 200 }])
    t.match(await run('skip', 'no', 'second', '--range', '0-99'), { error: /no queue routes\/no/ })

    second.reset()
    const after = await start(routes)
    await eventually('both have the rest', LIMIT_MS, async () => {
      return (await queuesOf(after)).cursors.every(({ pending }) => pending === 0)
    })
    const { cursors, removed } = await queuesOf(after)
    t.match(cursors, [
      { destination: 'first', appended: 180, delivered: 180, duplicateSuppressed: 180 },
      { destination: 'second', appended: 300, delivered: 200, dropped: { operator: 100 } }
    ])
    t.match(removed, [{ destination: 'first', counts: { delivered: 300 } }], 'old counts are kept')
    t.same(cursors.map(imbalance), [0, 0])
    t.equal(await after.stop(), 0)

    const asked = await run('drop', 'all')
    t.equal(asked.exitCode, 1)
    t.match(asked.out, /300 records .*pending: 0 for first, 0 for second\nnothing was deleted/)
    t.ok(existsSync(join(dataDir, 'routes/all')))
    t.match(await run('drop', 'all', '--yes'), { exitCode: 0, out: /routes\/all is deleted/ })
    t.notOk(existsSync(join(dataDir, 'routes/all')))
  }
)
