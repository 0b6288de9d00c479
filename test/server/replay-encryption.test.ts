// Replays of a queue that is encrypted: nothing readable on the disk while they run, after a kill, and when they are done.

import { statSync } from 'node:fs'
import t from 'tap'
import { command } from '../support/command-line.ts'
import { eventually } from '../support/eventually.ts'
import {
  counted,
  filesBelow,
  KEY_ONE,
  LIMIT_MS,
  numbersIn,
  readable,
  SECRET,
  setUpKeyed
} from '../support/keyed-router.ts'

t.setTimeout(180_000)

t.test('Q51 replays of an encrypted queue leave nothing readable on the disk', async (t) => {
  const { data, post, search, start } = await setUpKeyed(t, 'keep: 1h,')
  const encryption = `encryption: {key: "${KEY_ONE}", id: 1}`
  const refused = { status: 400, type: 'mapper_parsing_exception', reason: 'no' }
  search.itemFaults({ ...refused, contains: ' 8"' })
  let router = await start(encryption)
  await post('app.a', [1, 2, 3, 4, 5, 6, 7, 8])
  await counted(router, { delivered: 7, deadLettered: 1 })
  search.itemFaults()
  const run = async (...words: string[]) => {
    const { error, out } = await command([...words, '--json', '--admin', router.adminUrl])
    if (out === '') throw new Error(error)
    return JSON.parse(out) as { id: number }
  }
  const spool = () => filesBelow(data).filter((file) => file.includes('/spool/'))
  const hang = () => search.plan(...Array.from({ length: 100 }, () => ({ kind: 'hang' as const })))
  const letters = ['dlq', 'replay', 'out.search']
  const records = ['queue', 'replay', 'app', 'search', '--from', 'oldest']
  /** A replay whose request is on its way. */
  const underWay = async (words: readonly string[]) => {
    search.reset()
    hang()
    const { id } = await run(...words, '--detach')
    await eventually('a request is there', LIMIT_MS, () => search.requests.length > 0)
    return id
  }

  const first = await underWay(letters)
  t.ok(
    spool().some((file) => statSync(file).size > SECRET.length),
    'a file to read from'
  )
  t.same(readable(data), [], 'while dead letters are replayed')
  t.match(await run('jobs', 'stop', String(first)), { state: 'stopped', stored: 0 })
  t.same(spool(), [])

  await underWay(letters)
  await router.kill()
  t.ok(spool().length > 0, 'a kill leaves the file')
  t.same(readable(data), [], 'and nothing readable in it')
  search.reset()
  router = await start(encryption)
  await eventually('the replay goes on by itself', LIMIT_MS, () => numbersIn(search).includes(8))
  await eventually('its file is gone', LIMIT_MS, () => spool().length === 0)
  t.same(readable(data), [], 'after a replay over two lives')

  const second = await underWay(records)
  t.same(readable(data), [], 'while records are replayed')
  t.match(await run('jobs', 'stop', String(second)), { state: 'stopped', stored: 0 })
  search.reset()
  t.match(await run(...letters), { matched: 0, stored: 0, failed: 0 })
  t.match(await run(...records), { matched: 8, stored: 8, duplicates: 0, failed: 0 })
  t.same(numbersIn(search), [1, 2, 3, 4, 5, 6, 7, 8])
  t.same([spool(), readable(data)], [[], []], 'when all is done')
  t.equal(await router.stop(), 0)
  t.same(readable(data), [])
})
