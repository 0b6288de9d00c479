// A whole server whose queue is compressed and encrypted: nothing readable on the disk, rotation.

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
