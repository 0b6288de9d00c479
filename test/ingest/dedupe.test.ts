import t from 'tap'
import { RESENDS_MAX, type ResendNews, ResendTable } from '../../src/ingest/dedupe.ts'

const silent = { onDurable() {}, onRejected() {} }

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

t.test('C26 an unconfirmed message is found once, an honest second one is fresh', (t) => {
  const table = new ResendTable([], null)
  t.ok(table.isEmpty)
  t.equal(table.find('k', false, silent), 'fresh')
  table.addStored('k')
  t.notOk(table.isEmpty)
  t.equal(table.find('other', false, silent), 'fresh')
  t.equal(table.find('k', false, silent), 'stored')
  t.equal(table.find('k', false, silent), 'fresh')
  t.ok(table.isEmpty)
  t.end()
})

t.test('a window keeps what was found', (t) => {
  const table = new ResendTable([], null)
  table.addStored('k')
  t.equal(table.find('k', true, silent), 'stored')
  t.equal(table.find('k', true, silent), 'stored')
  t.end()
})

t.test('recovered ids are known from the start', (t) => {
  const table = new ResendTable(['a', 'b'], null)
  t.equal(table.find('b', false, silent), 'stored')
  t.equal(table.count, 1)
  t.end()
})

t.test('a resend of a message that is not durable yet shares its fate', (t) => {
  for (const isStored of [true, false]) {
    const table = new ResendTable([], null)
    const listener = recorder()
    table.addPending('k')
    t.equal(table.find('k', false, listener), 'pending')
    t.same(listener.seen, [])
    table.settle('k', isStored)
    t.same(listener.seen, [isStored ? 'durable' : 'sync'])
    t.equal(table.find('k', false, silent), 'fresh', 'its sender was answered')
  }
  const table = new ResendTable([], null)
  table.addPending('k')
  table.settle('k', true)
  t.equal(table.find('k', false, silent), 'stored', 'nobody came meanwhile')
  table.addPending('l')
  table.settle('l', false)
  t.equal(table.find('l', false, silent), 'fresh', 'it was never stored')
  t.end()
})

t.test('threads learn from each other', (t) => {
  const tables: ResendTable[] = []
  const connect = (own: number) =>
    new ResendTable([], {
      send: (news: ResendNews) => {
        for (const [i, table] of tables.entries()) if (i !== own) table.hear(news)
      }
    })
  tables.push(connect(0), connect(1))
  const [here, there] = tables as [ResendTable, ResendTable]
  here.addPending('k')
  const listener = recorder()
  t.equal(there.find('k', false, listener), 'pending')
  here.settle('k', true)
  t.same(listener.seen, ['durable'])
  t.equal(here.find('k', false, silent), 'fresh', 'answered there, so forgotten here')
  here.addStored('l')
  t.equal(there.find('l', false, silent), 'stored')
  t.equal(here.find('l', false, silent), 'fresh', 'found there, so forgotten here')
  here.addPending('m')
  here.settle('m', false)
  t.equal(there.find('m', false, silent), 'fresh')
  t.end()
})

t.test('the oldest id leaves a full table, unless somebody waits for it', (t) => {
  const table = new ResendTable([], null)
  const listener = recorder()
  table.addPending('waited')
  table.find('waited', false, listener)
  for (let i = 0; i < RESENDS_MAX; i++) table.addStored(`k${i}`)
  t.equal(table.count, RESENDS_MAX)
  t.equal(table.find('k0', false, silent), 'fresh')
  t.equal(table.find('k1', false, silent), 'stored')
  table.settle('waited', true)
  t.same(listener.seen, ['durable'])
  t.end()
})
