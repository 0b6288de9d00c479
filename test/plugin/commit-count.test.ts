import t from 'tap'
import { CommitCount } from '../../src/plugin/commit-count.ts'

function recorder() {
  const seen: string[] = []
  return {
    seen,
    onDurable: () => {
      seen.push('durable')
    },
    onRejected: (reason: string) => {
      seen.push(reason)
    }
  }
}

t.test('the listener is told once, after the last commit', (t) => {
  const listener = recorder()
  const count = new CommitCount(listener, 3)
  count.onDurable()
  count.onDurable()
  t.same(listener.seen, [])
  count.onDurable()
  t.same(listener.seen, ['durable'])
  t.throws(() => count.onDurable(), /told twice/)
  t.end()
})

t.test('one rejected commit rejects the message with the first reason', (t) => {
  const listener = recorder()
  const count = new CommitCount(listener, 3)
  count.onRejected('sync')
  count.onRejected('other')
  t.same(listener.seen, [])
  count.onDurable()
  t.same(listener.seen, ['sync'])
  t.end()
})

t.test('a count of nothing is a bug', (t) => {
  t.throws(() => new CommitCount(recorder(), 0), /waits for no commit/)
  t.end()
})
