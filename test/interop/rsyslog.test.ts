// A real rsyslog that forwards to the syslog input: by UDP, by TCP with lines, and by TCP with octet counting, in both formats.

import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { compare, nothingWrong } from '../support/event-source.ts'
import { eventually } from '../support/eventually.ts'
import { freePort } from '../support/free-port.ts'
import { readRecords } from '../support/output-files.ts'
import { findProgram, requireAll } from '../support/require-program.ts'
import { startRouter } from '../support/router-process.ts'
import { shortDir } from '../support/short-dir.ts'

const COUNT = 100
const LIMIT_MS = 60_000
const SYSTEM_RSYSLOG = '/usr/sbin/rsyslogd'
const rsyslog =
  findProgram('MILLRACE_TEST_RSYSLOG', 'rsyslogd') ??
  (existsSync(SYSTEM_RSYSLOG) ? SYSTEM_RSYSLOG : '')

t.setTimeout(300_000)

function startRsyslog(t: Test, folder: string, config: string): ChildProcess {
  const file = join(folder, 'rsyslog.conf')
  writeFileSync(file, config)
  const child = spawn(rsyslog, ['-n', '-f', file, '-i', join(folder, 'rsyslog.pid')], {
    stdio: 'ignore'
  })
  t.teardown(() => child.kill('SIGKILL'))
  return child
}

const FORWARDS = {
  udp: 'protocol="udp" template="RSYSLOG_SyslogProtocol23Format"',
  tcp: 'protocol="tcp" template="RSYSLOG_ForwardFormat"',
  counted: 'protocol="tcp" TCP_Framing="octet-counted" template="RSYSLOG_SyslogProtocol23Format"'
} as const

requireAll(t, [[rsyslog, 'rsyslogd']], () => {
  for (const [name, words] of Object.entries(FORWARDS)) {
    t.test(`every line that rsyslog reads is one record: ${name}`, async (t) => {
      const folder = shortDir(t)
      const [port, adminPort] = [await freePort(), await freePort()]
      const router = await startRouter(t, {
        folder,
        adminPort,
        config: `version: 1
data_dir: ${folder}/data
admin: {listen: "127.0.0.1:${adminPort}"}
inputs: {devices: {type: syslog, listen: ["udp://127.0.0.1:${port}", "tcp://127.0.0.1:${port}"]}}
routes: {all: {match: "**", to: [files]}}
outputs: {files: {type: file, path: "${folder}/out/\${tag}.ndjson"}}
`
      })
      const lines = Array.from({ length: COUNT }, (_, seq) => `line ${seq} héllo\n`)
      writeFileSync(join(folder, 'app.log'), lines.join(''))
      startRsyslog(
        t,
        folder,
        `global(workDirectory="${folder}")
module(load="imfile")
input(type="imfile" file="${folder}/app.log" tag="app" severity="warning" facility="local3")
action(type="omfwd" target="127.0.0.1" port="${port}" ${words})
`
      )
      const read = () => readRecords(join(folder, 'out'))
      const found = () =>
        read().map((record) => Number(/line (\d+) héllo/.exec(String(record['message']))?.[1]))
      const isAll = () => compare(found(), COUNT).missing.length === 0
      await eventually('all lines are stored', LIMIT_MS, isAll).catch(() => undefined)
      t.same(compare(found(), COUNT), nothingWrong)
      t.match(read()[0], { tag: 'syslog', facility: 'local3', severity: 'warning' })
      t.equal(await router.stop(), 0)
    })
  }
})
