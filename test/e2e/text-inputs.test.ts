// A whole server takes text by TCP, UDP and syslog, parses it behind its queues, and writes files.

import { join } from 'node:path'
import t from 'tap'
import { eventually } from '../support/eventually.ts'
import { freePort } from '../support/free-port.ts'
import { readRecords } from '../support/output-files.ts'
import { startRouter } from '../support/router-process.ts'
import { sendDatagrams, sendPieces } from '../support/text-host.ts'

const LIMIT_MS = 20_000

t.test('lines, datagrams and syslog messages arrive parsed in files', async (t) => {
  const folder = t.testdir()
  const [admin, lines, packets, syslog] = await Promise.all(
    Array.from({ length: 4 }, () => freePort())
  )
  const config = `
version: 1
data_dir: ${folder}/data
admin: {listen: "127.0.0.1:${admin}"}
inputs:
  lines: {type: tcp, listen: "127.0.0.1:${lines}", tag: app.lines, source_key: sender}
  packets: {type: udp, listen: "udp://127.0.0.1:${packets}", tag: app.packets, parser: json}
  devices: {type: syslog, listen: ["udp://127.0.0.1:${syslog}", "tcp://127.0.0.1:${syslog}"]}
routes:
  all: {match: "**", to: [files]}
outputs:
  files: {type: file, path: "${folder}/out/\${tag}.ndjson"}
`
  const router = await startRouter(t, { folder, config, adminPort: admin ?? 0 })
  const old = '<34>2026-11-20T17:05:09+00:00 h su[12]: it failed'
  const fresh = '<165>1 2026-11-20T17:05:10Z h app - - [x y="z"] two\nlines'
  await sendPieces(`tcp://127.0.0.1:${lines}`, ['one\ntwo'])
  await sendDatagrams(`udp://127.0.0.1:${packets}`, ['{"level":"info"}'])
  await sendDatagrams(`udp://127.0.0.1:${syslog}`, [old])
  await sendPieces(`tcp://127.0.0.1:${syslog}`, [`${Buffer.byteLength(fresh)} ${fresh}`])
  await sendPieces(`tcp://127.0.0.1:${syslog}`, ['no syslog\n'])
  const out = join(folder, 'out')
  await eventually('six records', LIMIT_MS, () => readRecords(out).length === 6)
  const of = (tag: string) =>
    readRecords(out)
      .filter((record) => record.tag === tag)
      .map(({ tag: _, time, ...rest }) => rest)
  t.same(of('app.lines'), [
    { sender: '127.0.0.1', log: 'one' },
    { sender: '127.0.0.1', log: 'two' }
  ])
  t.same(of('app.packets'), [{ level: 'info' }])
  const messages = of('syslog')
  t.equal(messages.length, 3)
  t.match(
    messages.find(({ ident }) => ident === 'su'),
    { facility: 'auth', severity: 'crit', host: 'h', pid: '12', message: 'it failed' }
  )
  t.match(
    messages.find(({ ident }) => ident === 'app'),
    { facility: 'local4', structured_data: { x: { y: 'z' } }, message: 'two\nlines' }
  )
  t.match(
    messages.find(({ ident }) => ident === undefined),
    { message: 'no syslog' }
  )
  t.equal(await router.metric('millrace_input_received_records_total'), 6)
  t.equal(await router.stop(), 0)
})
