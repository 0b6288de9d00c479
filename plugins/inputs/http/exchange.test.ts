// What senders are told while the disk is in trouble.

import t from 'tap'
import { nodeStorage, type Storage } from '../../../src/storage/storage.ts'
import { eventually } from '../../../test/support/eventually.ts'
import { FakeClock } from '../../../test/support/fake-clock.ts'
import { httpHost } from '../../../test/support/http-host.ts'

t.test('W10 a disk that fails is answered 503, and takes requests when it works', async (t) => {
  let isBroken = false
  const storage: Storage = {
    ...nodeStorage,
    writev: (file, parts, atByte) => {
      if (isBroken) throw Object.assign(new Error('broken'), { code: 'EIO' })
      return nodeStorage.writev(file, parts, atByte)
    }
  }
  const clock = new FakeClock(1_800_000_000_000)
  const { host, url } = await httpHost(t, {}, { storage, clock })
  const post = async () => {
    let answer: Response | null = null
    const sent = fetch(`${url}/t`, {
      method: 'POST',
      body: '{"a":1}',
      headers: { 'content-type': 'application/json' }
    }).then((received) => {
      answer = received
    })
    await eventually('an answer', 20_000, () => {
      clock.advance(500)
      return answer !== null
    })
    await sent
    // Set by now, which the compiler does not see.
    return answer as unknown as Response
  }
  t.equal((await post()).status, 200)
  isBroken = true
  const answer = await post()
  t.equal(answer.status, 503)
  t.equal(answer.headers.get('retry-after'), '1')
  isBroken = false
  await eventually('records', 20_000, async () => (await post()).status === 200)
  t.ok(host.recordCount() >= 2)
})
