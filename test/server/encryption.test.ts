// A whole server whose queue is compressed and encrypted: nothing readable on the disk, rotation.

import { dirname } from 'node:path'
import t from 'tap'
import { command } from '../support/command-line.ts'
import {
  counted,
  down,
  KEY_ONE,
  KEY_TWO,
  numbersIn,
  readable,
  setUpKeyed
} from '../support/keyed-router.ts'

t.setTimeout(180_000)

t.test(
  'Q51 an encrypted queue: nothing readable on the disk, both generations drain',
  async (t) => {
    const { data, post, search, start } = await setUpKeyed(t)
    search.plan(...Array.from({ length: 5000 }, () => down))
    let router = await start(`encryption: {key: "${KEY_ONE}", id: 1}`)
    await post('app.a', [1, 2, 3, 4, 5, 6])
    await post('other', [100])
    await router.kill()
    t.same(readable(data), [], 'queue, unmatched')

    router = await start(
      `encryption: {key: "${KEY_TWO}", id: 2, old: [{id: 1, key: "${KEY_ONE}"}]}`
    )
    await post('app.a', [7, 8])
    search.reset()
    search.itemFaults({
      status: 400,
      type: 'mapper_parsing_exception',
      reason: 'no',
      contains: ' 8"'
    })
    t.match(await counted(router, { appended: 8, pending: 0 }), {
      delivered: 7,
      deadLettered: 1,
      lost: {}
    })
    t.same(readable(data), [], 'dead letters')
    search.itemFaults()
    const words = ['dlq', 'replay', 'out.search', '--json', '--admin', router.adminUrl]
    t.match(JSON.parse((await command(words)).out), { matched: 1, stored: 1, failed: 0 })
    t.same(numbersIn(search), [1, 2, 3, 4, 5, 6, 7, 8])
    t.equal(await router.stop(), 0)
  }
)

t.test('cursors of an encrypted queue whose server is stopped are moved and skipped', async (t) => {
  const { data, post, search, start } = await setUpKeyed(t)
  search.plan(...Array.from({ length: 5000 }, () => down))
  const keys = `encryption: {key: "${KEY_ONE}", id: 1}`
  const first = await start(keys)
  for (const n of [1, 2, 3, 4]) await post('app.a', [n, n + 10])
  await first.kill()
  const config = ['-c', 'millrace.yaml']
  const run = (...words: string[]) =>
    command(['queue', ...words], { workingDirectory: dirname(data) })
  const dump = await run('dump', 'app', '--limit', '3', ...config)
  t.equal(dump.error, '')
  const times = dump.out
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line).append_time)
  const cursor = ['cursor', 'set', 'app', 'search', '--json', '--to']
  // Times of arrival stand in the clear: without the keys the same record is found.
  const moved = await run(...cursor, times[2], '--data-dir', data)
  t.match(JSON.parse(moved.out), [{ toOffset: 2, dropped: 2, lost: 0, pending: 6 }], moved.error)
  const skip = ['skip', 'app', 'search', '--range', '4-5', '--json']
  const skipped = await run(...skip, ...config)
  t.match(JSON.parse(skipped.out), [{ dropped: 2, lost: 0, pending: 4 }], skipped.error)
  const shown = await run('cursor', 'get', 'app', 'search', '--json', ...config)
  const [{ counts }] = JSON.parse(shown.out)
  t.ok(counts['dropped:operator'].bytes > 0, 'bytes too')
  const on = await run(...cursor, '3', '--shard', '00', ...config)
  t.match(JSON.parse(on.out), [{ toOffset: 3, dropped: 1, again: 0 }], on.error)

  search.reset()
  const second = await start(keys)
  await counted(second, { pending: 0 })
  t.same(numbersIn(search), [4, 12, 14])
  t.equal(await second.stop(), 0)
})
