import t from 'tap'
import { FakeClock, settled } from '../../../test/support/fake-clock.ts'
import { batchOf, never, outputContext } from '../../../test/support/output-batches.ts'
import definition from './index.ts'

t.test('everything is stored at once', async (t) => {
  const output = definition.create({ delay: 0 }, outputContext())
  await output.start(never)
  t.strictSame(await output.flush(batchOf(['1\n']), never), {
    kind: 'all',
    verdict: { kind: 'stored' }
  })
})

t.test('or after the delay', async (t) => {
  const clock = new FakeClock()
  const output = definition.create({ delay: 500 }, outputContext(clock))
  await output.start(never)
  let isSettled = false
  const flush = output.flush(batchOf(['1\n']), never).finally(() => {
    isSettled = true
  })
  clock.advance(499)
  await settled()
  t.notOk(isSettled)
  clock.advance(1)
  t.match(await flush, { verdict: { kind: 'stored' } })
})
