import { Writable } from 'node:stream'
import t from 'tap'
import { batchOf, never, renderContext } from '../../../test/support/output-batches.ts'
import { renderInPool } from '../../../test/support/pool-render.ts'
import { StreamOutput } from './index.ts'
import createRender from './render.ts'

/** A stream that takes a write only when told. */
class SlowStream extends Writable {
  readonly taken: string[] = []
  readonly waiting: ((error?: Error) => void)[] = []

  override _write(chunk: Buffer, _encoding: string, callback: (error?: Error | null) => void) {
    this.taken.push(chunk.toString())
    this.waiting.push(callback)
  }
}

t.test('one line per record, time and tag in front', (t) => {
  const { batches } = renderInPool(createRender({}, renderContext), [
    { tag: 'a', record: { log: 'one\ntwo' } },
    { tag: 'b', record: { log: 'three' } }
  ])
  t.strictSame(
    batches.map(({ body }) => body.toString()),
    [
      '{"time":"2025-11-20T14:47:00.000000000Z","tag":"a","log":"one\\ntwo"}\n' +
        '{"time":"2025-11-20T14:47:00.000000000Z","tag":"b","log":"three"}\n'
    ]
  )
  t.end()
})

t.test('a row is stored when the stream has taken it', async (t) => {
  const stream = new SlowStream()
  const output = new StreamOutput(stream)
  await output.start()
  let isSettled = false
  const flush = output.flush(batchOf(['1\n']), never).finally(() => {
    isSettled = true
  })
  await new Promise((resolve) => setImmediate(resolve))
  t.notOk(isSettled, 'not before')
  stream.waiting[0]?.()
  t.match(await flush, { verdict: { kind: 'stored' } })
  t.strictSame(stream.taken, ['1\n'])
})

t.test('the body may be overwritten once a flush was given up', async (t) => {
  const stream = new SlowStream()
  const output = new StreamOutput(stream)
  await output.start()
  void output.flush(batchOf(['1\n']), never)
  const abort = new AbortController()
  const batch = batchOf(['2\n'])
  const flush = output.flush(batch, abort.signal)
  abort.abort()
  t.match(await flush, { verdict: { kind: 'retry', reason: 'aborted' } })
  batch.body.fill(0)
  stream.waiting[0]?.()
  await new Promise((resolve) => setImmediate(resolve))
  t.strictSame(stream.taken, ['1\n', '2\n'])
})

t.test('a reader that went away is no crash', async (t) => {
  const stream = new SlowStream()
  const output = new StreamOutput(stream)
  await output.start()
  const flush = output.flush(batchOf(['1\n']), never)
  await new Promise((resolve) => setImmediate(resolve))
  stream.waiting[0]?.(Object.assign(new Error('write EPIPE'), { code: 'EPIPE' }))
  t.match(await flush, { verdict: { kind: 'retry', reason: 'EPIPE' } })
  await output.stop()
})
