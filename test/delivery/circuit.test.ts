import t from 'tap'
import { Circuit } from '../../src/delivery/circuit.ts'
import type { RetryPolicy } from '../../src/delivery/retry.ts'
import { FakeClock, settled } from '../support/fake-clock.ts'

const POLICY: RetryPolicy = { firstDelayMs: 1000, delayMsMax: 8000 }

/** A circuit whose waits are their ceilings, and requests that ask to be sent. */
function setUp() {
  const clock = new FakeClock()
  const circuit = new Circuit(clock, () => 1, POLICY)
  const passes: string[] = []
  let closedCount = 0
  circuit.onClose(() => closedCount++)
  return {
    clock,
    circuit,
    passes,
    closedCount: () => closedCount,
    ask(name: string, signal = new AbortController().signal) {
      void circuit.enter(signal).then((pass) => passes.push(`${name} ${pass}`))
    },
    open() {
      for (let failure = 0; failure < 5; failure++) circuit.failed('free', 0)
    }
  }
}

t.test('five failures in a row open it, an answer between them does not', async (t) => {
  const { circuit } = setUp()
  for (let failure = 0; failure < 4; failure++) circuit.failed('free', 0)
  circuit.worked()
  for (let failure = 0; failure < 4; failure++) circuit.failed('free', 0)
  t.equal(circuit.isOpen, false)
  circuit.failed('free', 0)
  t.equal(circuit.isOpen, true)
})

t.test('while it is open one probe goes at a time, later and later', async (t) => {
  const { ask, circuit, clock, open, passes } = setUp()
  open()
  for (const name of ['a', 'b', 'c', 'd']) ask(name)
  await settled()
  t.same(passes, [])
  clock.advance(999)
  await settled()
  t.same(passes, [], 'not before its time')
  clock.advance(1)
  await settled()
  t.same(passes, ['a probe'])
  clock.advance(60_000)
  await settled()
  t.same(passes, ['a probe'], 'the others wait for its answer, however long that takes')
  const waits = [2000, 4000, 8000, 8000]
  for (const [index, waitMs] of waits.slice(0, 3).entries()) {
    circuit.failed('probe', 0)
    clock.advance(waitMs - 1)
    await settled()
    t.equal(passes.length, index + 1, `nothing goes for ${waitMs} ms`)
    clock.advance(1)
    await settled()
    t.equal(passes.length, index + 2)
  }
  t.same(passes, ['a probe', 'b probe', 'c probe', 'd probe'], 'each time another request')
})

t.test('failures of requests sent before it opened put no probe off', async (t) => {
  const { ask, circuit, clock, open, passes } = setUp()
  open()
  ask('a')
  clock.advance(900)
  circuit.failed('free', 0)
  clock.advance(100)
  await settled()
  t.same(passes, ['a probe'])
})

t.test('a wait that the destination asks for is kept', async (t) => {
  const { ask, circuit, clock, open, passes } = setUp()
  open()
  ask('a')
  clock.advance(1000)
  await settled()
  circuit.failed('probe', 5000)
  ask('b')
  clock.advance(4999)
  await settled()
  t.same(passes, ['a probe'])
  clock.advance(1)
  await settled()
  t.same(passes, ['a probe', 'b probe'])
})

t.test('when the probe works it closes, and everything that waits goes on at once', async (t) => {
  const { ask, circuit, clock, closedCount, open, passes } = setUp()
  open()
  for (const name of ['a', 'b', 'c']) ask(name)
  clock.advance(1000)
  await settled()
  circuit.worked()
  await settled()
  t.same(passes, ['a probe', 'b free', 'c free'], 'no clock moved')
  t.equal(circuit.isOpen, false)
  t.equal(closedCount(), 1)
  t.equal(clock.timerCount, 0)
  ask('d')
  await settled()
  t.equal(passes.at(-1), 'd free')
  circuit.worked()
  t.equal(closedCount(), 1, 'told once')
  open()
  ask('e')
  clock.advance(1000)
  await settled()
  t.equal(passes.at(-1), 'e probe', 'the next outage begins with the shortest wait')
})

t.test('a probe that is not used is the next one to be given', async (t) => {
  const { ask, circuit, clock, open, passes } = setUp()
  open()
  ask('a')
  ask('b')
  clock.advance(1000)
  await settled()
  circuit.unused('probe')
  clock.advance(0)
  await settled()
  t.same(passes, ['a probe', 'b probe'])
})

t.test('shutdown ends the waits; a later one still gets its probe', async (t) => {
  const { ask, clock, open, passes } = setUp()
  open()
  const abort = new AbortController()
  ask('a', abort.signal)
  ask('b')
  await settled()
  abort.abort()
  await settled()
  t.same(passes, ['a null'])
  clock.advance(1000)
  await settled()
  t.same(passes, ['a null', 'b probe'])
})
