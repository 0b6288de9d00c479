// A whole server whose META is destroyed.

import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { counted, down, EXIT_IO, setUpKeyed, treeHash } from '../support/keyed-router.ts'

t.setTimeout(180_000)

t.test(
  'Q12 META destroyed: repaired from its copy; both destroyed: refused, nothing touched',
  async (t) => {
    const { data, post, refusal, search, start } = await setUpKeyed(t)
    search.plan(...Array.from({ length: 5000 }, () => down))
    let router = await start('')
    await post('app.a', [1, 2])
    await router.stop()
    const meta = readFileSync(join(data, 'META'))
    for (const name of ['META', 'META.bak']) writeFileSync(join(data, name), Buffer.alloc(56, 0x5a))
    const before = treeHash(data)
    t.equal(await refusal(''), EXIT_IO)
    t.equal(treeHash(data), before)
    writeFileSync(join(data, 'META.bak'), meta)
    search.reset()
    router = await start('')
    t.match(await counted(router, { appended: 2, pending: 0 }), { delivered: 2 })
    t.ok(readFileSync(join(data, 'META')).equals(meta))
    t.equal(await router.stop(), 0)
  }
)
