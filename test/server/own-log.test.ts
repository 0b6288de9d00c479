import t from 'tap'
import { BUILT_INS } from '../../plugins/index.ts'
import { OWN_LOG_BURST_MAX, OWN_LOG_BYTES_MAX, OWN_LOG_RATE_MAX } from '../../src/core/limits.ts'
import { ingestCounterPlace } from '../../src/metrics/ingest-counters.ts'
import type { OwnLogLines } from '../../src/plugin/input.ts'
import { createRegistry } from '../../src/plugin/registry.ts'
import { createLog } from '../../src/server/log.ts'
import { OwnLogFeed } from '../../src/server/own-log.ts'
import { FakeClock } from '../support/fake-clock.ts'

const ORDINAL = 2

function feedOf() {
  const clock = new FakeClock()
  const feed = new OwnLogFeed('info', ORDINAL, clock)
  const printed: string[] = []
  const log = createLog({
    level: 'warn',
    format: 'json',
    out: { write: (line) => printed.push(line) },
    second: feed
  })
  feed.warnBy(log)
  const batches: (readonly OwnLogLines[])[] = []
  const connect = () => feed.connect((batch) => batches.push(batch))
  const dropped = (reason: string, ordinal = ORDINAL) =>
    feed.counter(ordinal, ingestCounterPlace(`input_rejected_records_total/${reason}`) ?? -1)
  const messages = () =>
    batches.flat().flatMap(({ text }) =>
      text
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line).msg)
    )
  return { clock, feed, log, printed, batches, connect, dropped, messages }
}

t.test('lines wait for the listeners, then one batch at a time is on its way', (t) => {
  const { batches, connect, feed, log, messages, printed } = feedOf()
  log.info('one')
  log.debug('below its level')
  log.warn({ component: 'disk' }, 'two')
  log.warn({ component: 'no.tag part' }, 'three')
  t.same(batches, [])
  connect()
  t.same(
    batches.flat().map(({ component }) => component),
    ['main', 'disk', 'main']
  )
  log.info('four')
  log.info('five')
  t.equal(batches.length, 1)
  feed.taken()
  t.equal(batches.length, 2)
  t.equal(batches[1]?.length, 1, 'lines of one component are one text')
  t.same(messages(), ['one', 'two', 'three', 'four', 'five'])
  t.equal(printed.length, 2, 'the output has its own level')
  t.end()
})

t.test('what waits is bounded; more is dropped and counted, and said once a minute', (t) => {
  const { clock, connect, dropped, feed, log, messages, printed } = feedOf()
  const long = 'x'.repeat(OWN_LOG_BYTES_MAX / 4)
  for (let i = 0; i < 10; i++) log.info(long)
  t.equal(dropped('overflow'), 7)
  t.equal(dropped('overflow', 0), 0, 'other inputs have no part in it')
  t.equal(printed.length, 0, 'nothing is logged within a call of the logger')
  clock.advance(1)
  t.match(printed[0], /"event":"internal.dropped","count":7/)
  log.info(long)
  clock.advance(59_000)
  t.equal(printed.length, 1)
  clock.advance(2000)
  t.match(printed[1], /"count":1,/)
  connect()
  t.same(messages(), [long, long, long], 'its own warning is not among them')
  log.info(long)
  t.equal(dropped('overflow'), 9, 'what is on its way counts too')
  feed.taken()
  log.info(long)
  t.equal(messages().length, 4)
  t.end()
})

t.test('records that cause lines do not go round without a bound', (t) => {
  const { clock, dropped, feed, log } = feedOf()
  let storedCount = 0
  let isBusy = true
  feed.connect((batch) => {
    for (const { text } of batch) storedCount += text.split('\n').length - 1
    isBusy = true
  })
  log.info('the first')
  const seconds = 20
  for (let ms = 0; ms < seconds * 1000; ms += 10) {
    // Each of three outputs complains about each batch.
    for (let turn = 0; turn < 50 && isBusy; turn++) {
      isBusy = false
      for (let i = 0; i < 3; i++) log.warn('failed')
      feed.taken()
    }
    clock.advance(10)
    isBusy = true
  }
  const bound = OWN_LOG_BURST_MAX + seconds * OWN_LOG_RATE_MAX
  t.ok(storedCount > bound / 2 && storedCount <= bound, `${storedCount} of at most ${bound}`)
  t.ok(dropped('rate') > 0)
  t.end()
})

t.test('a stop hands over what waits, and counts what comes later', (t) => {
  const { connect, dropped, feed, log, messages } = feedOf()
  connect()
  log.info('one')
  log.info('two')
  feed.close()
  log.info('three')
  feed.taken()
  feed.close()
  t.same(messages(), ['one', 'two'])
  t.equal(dropped('stopped'), 1)
  t.end()
})

t.test('a start that fails counts what nobody took', (t) => {
  const { connect, dropped, feed, log, messages } = feedOf()
  log.info('one')
  log.info('two')
  feed.close()
  connect()
  t.same(messages(), [])
  t.equal(dropped('stopped'), 2)
  t.end()
})

t.test('it is there for an input that takes it, with its level', (t) => {
  const registry = createRegistry(BUILT_INS)
  const feed = (type: string) =>
    OwnLogFeed.of(
      // The list of inputs is all that is read.
      { inputs: { a: { type, config: { level: 'error' } } } } as never,
      registry,
      new FakeClock()
    )
  t.equal(feed('internal')?.level, 'error')
  t.equal(feed('udp'), null)
  t.end()
})
