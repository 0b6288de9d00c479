import fs from 'node:fs'
import t from 'tap'
import { connectionsMaxOf, openFilesMax } from '../../src/plugin/connection-cap.ts'

const limits = (
  soft: string
) => `Limit                     Soft Limit           Hard Limit           Units
Max processes             127462               127462               processes
Max open files            ${soft.padEnd(20)} 1048576              files
Max locked memory         8388608              8388608              bytes
`

function capOf(max_connections: number, filesMax: number | null, index = 0, count = 1) {
  const lines: { fields: object; text: string }[] = []
  const warn = (fields: object, text: string) => lines.push({ fields, text })
  const log = { info: warn, warn, error: warn }
  const context = { id: 'fwd', log, thread: { index, count } }
  return { cap: connectionsMaxOf({ max_connections }, context, filesMax), lines }
}

t.test('C15 the limit of open files is read as the system writes it', (t) => {
  t.equal(openFilesMax(limits('65536')), 65_536)
  t.equal(openFilesMax(limits('unlimited')), null)
  t.equal(openFilesMax('Max processes 5 5 processes\n'), null)
  t.equal(openFilesMax(''), null)
  if (fs.existsSync('/proc/self/limits')) {
    const own = openFilesMax(fs.readFileSync('/proc/self/limits', 'utf8'))
    t.ok(own === null || own > 0)
  }
  t.end()
})

t.test('C15 connections leave 1,000 open files to the rest; less is told with what to do', (t) => {
  t.same(capOf(20_000, null), { cap: 20_000, lines: [] })
  t.same(capOf(20_000, 21_000), { cap: 20_000, lines: [] })
  const { cap, lines } = capOf(20_000, 20_999)
  t.equal(cap, 19_999)
  t.match(lines, [
    {
      fields: { input: 'fwd', max_connections: 20_000, open_files_max: 20_999, cap: 19_999 },
      text: /LimitNOFILE.* to 21000$/
    }
  ])
  t.equal(lines.length, 1)
  t.equal(capOf(20_000, 1000).cap, 1, 'one sender is always taken')
  t.end()
})

t.test('C15 threads share the cap, and one of them speaks', (t) => {
  t.same(capOf(5, null, 0, 2), { cap: 3, lines: [] })
  t.same(
    [0, 1].map((index) => {
      const { cap, lines } = capOf(20_000, 2001, index, 2)
      return [cap, lines.length]
    }),
    [
      [500, 1],
      [500, 0]
    ]
  )
  t.equal(capOf(20_000, 1001, 1, 2).cap, 1)
  t.end()
})
