import { existsSync, statSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { command } from '../support/command-line.ts'
import { freePort } from '../support/free-port.ts'
import { startRouter } from '../support/router-process.ts'
import { shortDir } from '../support/short-dir.ts'

t.setTimeout(120_000)

const configOf = (port: number, adminPort: number) => `
version: 1
data_dir: ./data
admin: {listen: "127.0.0.1:${adminPort}", token: secret}
inputs: {load: {type: forward, listen: "tcp://127.0.0.1:${port}"}}
routes: {all: {match: "**", to: [trash]}}
outputs: {trash: {type: "null"}}
`

t.test('the socket in the data directory serves its user without a token', async (t) => {
  const folder = shortDir(t)
  const adminPort = await freePort()
  const config = configOf(await freePort(), adminPort)
  const router = await startRouter(t, { folder, config, adminPort })
  const socket = join(folder, 'data/admin.sock')
  t.equal(statSync(socket).mode & 0o777, 0o600)
  const move = (admin: string) =>
    command(['queue', 'cursor', 'set', 'all', 'trash', '--to', 'newest', '--admin', admin])
  t.match(await move(router.adminUrl), { exitCode: 1, error: /401/ })
  t.match(await move(`unix://${socket}`), { exitCode: 0, out: /^all +00 +trash/m })
  t.equal(await router.stop(), 0)
  t.notOk(existsSync(socket))
})

t.test('a path that is too long for a socket costs a warning', async (t) => {
  const folder = join(t.testdir({ ['d'.repeat(120)]: {} }), 'd'.repeat(120))
  const adminPort = await freePort()
  const config = configOf(await freePort(), adminPort)
  const router = await startRouter(t, { folder, config, adminPort })
  t.match(router.log, /"event":"admin.socket"/)
  t.equal(await router.stop(), 0)
})
