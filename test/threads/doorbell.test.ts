import t from 'tap'
import { watchDoorbell } from '../../src/threads/doorbell.ts'
import { packEnd, unpackEnd } from '../../src/threads/shared.ts'

t.test('rings are heard, also those before the wait, until the abort', async (t) => {
  const shared = new SharedArrayBuffer(4)
  const word = new Int32Array(shared)
  const abort = new AbortController()
  let heard = 0
  const ring = () => {
    Atomics.add(word, 0, 1)
    Atomics.notify(word, 0)
  }
  const { promise, resolve } = Promise.withResolvers<void>()
  const done = watchDoorbell(
    shared,
    () => {
      if (++heard === 3) resolve()
      else ring()
    },
    abort.signal
  )
  ring()
  await promise
  t.equal(heard, 3)
  abort.abort()
  await done
  ring()
  await new Promise((next) => setImmediate(next))
  t.equal(heard, 3, 'nothing is heard after the abort')
})

t.test('an end keeps its ordinal and its byte', (t) => {
  for (const [segmentOrdinal, byte] of [
    [0, 0],
    [1, 64],
    [2 ** 23 - 1, 2 ** 40 - 1]
  ] as const) {
    t.same(unpackEnd(packEnd(segmentOrdinal, byte)), { segmentOrdinal, byte })
  }
  t.end()
})
