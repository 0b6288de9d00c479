// A whole server that misses the keys of its encrypted queue.

import t from 'tap'
import {
  counted,
  down,
  EXIT_IO,
  KEY_ONE,
  KEY_TWO,
  numbersIn,
  setUpKeyed,
  treeHash
} from '../support/keyed-router.ts'

t.setTimeout(180_000)

t.test(
  'Q51 a missing or wrong key: refused, the tree unchanged; --skip-locked loses nothing',
  async (t) => {
    const { data, post, refusal, search, start } = await setUpKeyed(t)
    search.plan(...Array.from({ length: 5000 }, () => down))
    let router = await start(`encryption: {key: "${KEY_ONE}", id: 1}`)
    await post('app.a', [1, 2, 3, 4])
    await router.stop()
    const before = treeHash(data)
    t.equal(await refusal(''), EXIT_IO, 'no key')
    t.equal(await refusal(`encryption: {key: "${KEY_TWO}", id: 2}`), EXIT_IO, 'another key')
    t.equal(await refusal(`encryption: {key: "${KEY_TWO}", id: 1}`), EXIT_IO, 'a wrong key')
    t.equal(treeHash(data), before)

    search.reset()
    router = await start(`encryption: {key: "${KEY_TWO}", id: 2}`, '--skip-locked')
    await post('app.a', [5, 6])
    t.match(await counted(router, { delivered: 2 }), {
      appended: 6,
      pending: 4,
      lost: {},
      dropped: {}
    })
    t.same(numbersIn(search), [5, 6])
    t.equal(await router.stop(), 0)

    router = await start(
      `encryption: {key: "${KEY_TWO}", id: 2, old: [{id: 1, key: "${KEY_ONE}"}]}`
    )
    t.match(await counted(router, { delivered: 6 }), { pending: 0, lost: {} })
    t.same(numbersIn(search), [1, 2, 3, 4, 5, 6])
    t.equal(await router.stop(), 0)
  }
)
