import { getEventListeners } from 'node:events'
import t from 'tap'
import { linkAbort } from '../../src/core/abort.ts'

t.test('a linked signal aborts with the first of those that it follows', (t) => {
  const one = new AbortController()
  const two = new AbortController()
  const linked = linkAbort(one.signal, two.signal)
  t.notOk(linked.signal.aborted)
  two.abort('second')
  t.equal(linked.signal.reason, 'second')
  one.abort('first')
  t.equal(linked.signal.reason, 'second')
  t.end()
})

t.test('it is aborted from the start under a signal that is', (t) => {
  t.equal(linkAbort(new AbortController().signal, AbortSignal.abort('gone')).signal.reason, 'gone')
  t.end()
})

t.test('it can be aborted by itself, and leaves the others alone', (t) => {
  const one = new AbortController()
  const linked = linkAbort(one.signal)
  linked.abort('late')
  t.equal(linked.signal.reason, 'late')
  t.notOk(one.signal.aborted)
  t.end()
})

t.test('after release nothing of it is held, and nothing followed', (t) => {
  const one = new AbortController()
  const linked = linkAbort(one.signal)
  t.equal(getEventListeners(one.signal, 'abort').length, 1)
  linked.release()
  t.equal(getEventListeners(one.signal, 'abort').length, 0)
  one.abort()
  t.notOk(linked.signal.aborted)
  t.end()
})
