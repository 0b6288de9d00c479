import t from 'tap'
import type { FlushOutcome } from '../../src/plugin/output.ts'
import { TroubleLog } from '../../src/plugin/trouble-log.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { outputContext } from '../support/output-batches.ts'

const failed = (reason: string): FlushOutcome => ({
  kind: 'all',
  verdict: { kind: 'retry', reason }
})
const stored: FlushOutcome = { kind: 'all', verdict: { kind: 'stored' } }

function setUp() {
  const clock = new FakeClock()
  const context = outputContext(clock)
  const log = new TroubleLog(context.log, clock)
  const lines = () =>
    context.lines.splice(0).map(({ level, fields }) => [level, fields['reason'], fields['count']])
  return { clock, log, lines }
}

t.test('trouble is one line a minute and reason, with what happened in between', (t) => {
  const { clock, log, lines } = setUp()
  log.note(failed('throttled'))
  for (let i = 0; i < 10; i++) log.note(failed('throttled'))
  log.note(failed('reset'))
  t.strictSame(lines(), [
    ['warn', 'throttled', 1],
    ['warn', 'reset', 1]
  ])
  clock.advance(60_000)
  log.note(failed('throttled'))
  t.strictSame(lines(), [['warn', 'throttled', 11]])
  t.end()
})

t.test('the end of trouble is told, with its length, and only then', (t) => {
  const { clock, log, lines } = setUp()
  log.note(stored)
  t.strictSame(lines(), [])
  log.note(failed('connect'))
  clock.advance(5000)
  log.note(stored)
  t.strictSame(
    lines().map(([level]) => level),
    ['warn', 'info']
  )
  log.note(stored)
  t.strictSame(lines(), [])
  log.note(failed('connect'))
  t.strictSame(lines(), [['warn', 'connect', 1]], 'new trouble is told at once')
  t.end()
})

t.test('rows are counted by reason', (t) => {
  const { log, lines } = setUp()
  log.note({
    kind: 'rows',
    verdicts: [
      { kind: 'stored' },
      { kind: 'refuse', reason: 'mapping' },
      { kind: 'refuse', reason: 'mapping' },
      { kind: 'park', reason: 'forbidden' }
    ]
  })
  log.note({ kind: 'split', reason: 'too_large' })
  t.strictSame(lines(), [
    ['warn', 'mapping', 2],
    ['warn', 'forbidden', 1],
    ['warn', 'too_large', 1]
  ])
  t.end()
})
