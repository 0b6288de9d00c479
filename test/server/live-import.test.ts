// `millrace queue import` into a running server: beside its traffic, all of a file or nothing, and twice without doubles.

import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { LIMIT_MS, range, refuse, world } from '../support/changing-router.ts'
import { command } from '../support/command-line.ts'
import { eventually } from '../support/eventually.ts'
import { arrivedSeqs, imbalance, missingSeqs, queuesOf, totalOf } from '../support/numbered-load.ts'

const COUNT = 400

t.setTimeout(180_000)

t.test('an export is imported into a running server, once', async (t) => {
  const { dataDir, first, second, send, start } = await world(t)
  refuse(first)
  const before = await start('  old: {match: "**", to: [first]}')
  await send(COUNT)
  t.equal(await before.stop(), 0)
  const file = join(dataDir, '../old.export')
  const out = await command(['queue', 'export', 'old', '--data-dir', dataDir, '--out', file])
  t.equal(out.exitCode, 0, out.error)
  const drop = await command(['queue', 'drop', 'old', '--yes', '--data-dir', dataDir])
  t.equal(drop.exitCode, 0, drop.error)
  first.reset()

  const router = await start('  new: {match: "**", to: [first, second]}')
  const admin = ['--admin', router.adminUrl]
  const load = (words: string[] = []) =>
    command(['queue', 'import', file, '--route', 'new', ...words, ...admin])
  t.match(await command(['queue', 'import', file, '--route', 'no', ...admin]), {
    exitCode: 1,
    error: /there is no route no; routes are: new/
  })

  // What is cut or changed on the way leaves nothing.
  const text = readFileSync(file, 'utf8')
  const sum = JSON.parse(text.trim().split('\n').at(-1) ?? '').sha256
  const send409 = async (body: string, named = sum) => {
    const url = `${router.adminUrl}/api/v1/queues/import?route=new&sum=${named}`
    const headers = { 'content-type': 'application/x-ndjson' }
    const answer = await fetch(url, { method: 'POST', headers, body })
    t.equal(answer.status, 409)
    return await answer.text()
  }
  t.match(await send409(text.slice(0, text.lastIndexOf('\n{'))), /MR_EXPORT.*is cut/)
  t.match(await send409(text, 'a'.repeat(64)), /the sum of the file is/)
  t.match(await send409(text, 'no'), /no SHA-256/)
  t.same((await queuesOf(router)).orphans, [])
  t.equal(first.documents.length + second.documents.length, 0, 'nothing of them was delivered')

  const imported = await load(['--json'])
  t.match(JSON.parse(imported.out), { route: 'new', records: COUNT, lost: 0 }, imported.error)
  await eventually('both outputs have all', LIMIT_MS, async () => {
    const queues = await queuesOf(router)
    return ['first', 'second'].every((name) => totalOf(queues, 'new', name).delivered === COUNT)
  })
  const name = `import-${sum.slice(0, 16)}`
  await eventually('its directory goes', LIMIT_MS, () => !existsSync(join(dataDir, 'routes', name)))
  t.same(missingSeqs(range(0, COUNT), arrivedSeqs(first)), [])

  const again = await load()
  t.match(again.out, new RegExp(`${COUNT} records .* route new, shard ${name}/00`), again.error)
  await eventually('it has them already', LIMIT_MS, () => first.stats.statuses[409] === COUNT)
  t.equal(first.documents.length, COUNT, 'ids follow from the file: no document twice')
  t.same(
    (await queuesOf(router)).cursors.map(imbalance).filter((each) => each !== 0),
    []
  )
  await send(20)
  await eventually('the route goes on', LIMIT_MS, () => first.documents.length === COUNT + 20)
  t.equal(await router.stop(), 0)
})

t.test(
  'an import that is not drained is refused a second time, and survives SIGKILL',
  async (t) => {
    const { dataDir, first, send, start } = await world(t)
    refuse(first)
    const route = '  all: {match: "**", to: [first]}'
    const before = await start(route)
    await send(COUNT)
    const file = join(dataDir, '../all.export')
    const out = await command(['queue', 'export', 'all', '--data-dir', dataDir, '--out', file])
    t.equal(out.exitCode, 0, out.error)
    const words = ['queue', 'import', file, '--route', 'all', '--admin', before.adminUrl]
    const imported = await command(words)
    t.equal(imported.exitCode, 0, imported.error)
    const refused = await command(words)
    t.match(refused, { exitCode: 1, error: /imported before and is not drained yet/ })
    const damaged = join(dataDir, '../damaged.export')
    writeFileSync(
      damaged,
      readFileSync(file, 'utf8').replace('"records":"pending"', '"records":"x"')
    )
    t.match(await command(words.with(2, damaged)), { exitCode: 1, error: /line 1/ })
    t.equal(totalOf(await queuesOf(before), 'all', 'first').pending, 2 * COUNT)
    await before.kill()
    first.reset()
    const after = await start(route)
    await eventually('all is delivered', LIMIT_MS, async () => {
      return totalOf(await queuesOf(after), 'all', 'first').delivered === 2 * COUNT
    })
    t.equal(first.documents.length, 2 * COUNT, 'the queue has its own copies of them')
    t.equal(await after.stop(), 0)
  }
)
