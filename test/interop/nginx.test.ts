// A real nginx whose access log is followed through rotation: rename, requests into the old file, USR1, and again.

import { execFile } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t, { type Test } from 'tap'
import { compare, nothingWrong } from '../support/event-source.ts'
import { eventually } from '../support/eventually.ts'
import { freePort } from '../support/free-port.ts'
import { readRecords } from '../support/output-files.ts'
import { findProgram, requireAll } from '../support/require-program.ts'
import { startRouter } from '../support/router-process.ts'
import { shortDir } from '../support/short-dir.ts'

const REQUESTS_PER_STEP = 30
const ROTATIONS = 3
const LIMIT_MS = 60_000
const SYSTEM_NGINX = '/usr/sbin/nginx'
const run = promisify(execFile)
const nginx =
  findProgram('MILLRACE_TEST_NGINX', 'nginx') ?? (existsSync(SYSTEM_NGINX) ? SYSTEM_NGINX : '')

t.setTimeout(300_000)

interface WebServer {
  readonly url: string
  /** Tells the master to open its log files anew, and waits until the new one is there. */
  reopen(): Promise<void>
}

async function startNginx(t: Test, folder: string): Promise<WebServer> {
  const port = await freePort()
  const pidFile = join(folder, 'nginx.pid')
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    .map((name) => `${name}_temp_path ${folder}/${name};`)
    .join(' ')
  writeFileSync(
    join(folder, 'nginx.conf'),
    `pid ${pidFile};
error_log ${folder}/error.log;
worker_processes 2;
events {}
http {
  ${temporary}
  access_log ${folder}/log/access.log combined;
  server { listen 127.0.0.1:${port}; location / { return 200 "ok"; } }
}
`
  )
  mkdirSync(join(folder, 'log'))
  await run(nginx, [
    '-p',
    folder,
    '-e',
    join(folder, 'error.log'),
    '-c',
    join(folder, 'nginx.conf')
  ])
  const pid = await eventually('nginx has written its number', LIMIT_MS, () => {
    return existsSync(pidFile) && Number(readFileSync(pidFile, 'utf8'))
  })
  t.teardown(() => process.kill(pid, 'SIGTERM'))
  return {
    url: `http://127.0.0.1:${port}`,
    reopen: async () => {
      process.kill(pid, 'SIGUSR1')
      const file = join(folder, 'log/access.log')
      await eventually('nginx has opened its log anew', LIMIT_MS, () => existsSync(file))
    }
  }
}

requireAll(t, [[nginx, 'nginx']], () => {
  t.test('every request to nginx is one record, through rotations and a kill', async (t) => {
    const folder = shortDir(t)
    const adminPort = await freePort()
    const web = await startNginx(t, folder)
    const setup = {
      folder,
      adminPort,
      config: `version: 1
data_dir: ${folder}/data
admin: {listen: "127.0.0.1:${adminPort}"}
inputs: {access: {type: tail, paths: "${folder}/log/access.log*", tag: nginx.access, refresh_interval: 200ms}}
routes: {web: {match: "nginx.**", steps: [{parse: {type: nginx, key: log}}], to: [files]}}
outputs: {files: {type: file, path: "${folder}/out/\${tag}.ndjson"}}
`
    }
    let router = await startRouter(t, setup)
    let count = 0
    const request = async () => {
      for (let i = 0; i < REQUESTS_PER_STEP; i++) {
        const answer = await fetch(`${web.url}/page/${count++}`, {
          headers: { 'User-Agent': 'mr' }
        })
        await answer.text()
      }
    }
    const found = () =>
      readRecords(join(folder, 'out')).map((record) => Number(String(record['path']).slice(6)))
    for (let rotation = 1; rotation <= ROTATIONS; rotation++) {
      await request()
      for (let old = rotation - 1; old >= 0; old--) {
        const name = join(folder, 'log', old === 0 ? 'access.log' : `access.log.${old}`)
        renameSync(name, join(folder, 'log', `access.log.${old + 1}`))
      }
      // These go into the renamed file: nginx has it open.
      await request()
      if (rotation === 2) await router.kill()
      await web.reopen()
      await request()
      if (rotation === 2) router = await startRouter(t, setup)
    }
    const isAll = () => compare(found(), count).missing.length === 0
    await eventually('all requests are stored', LIMIT_MS, isAll).catch(() => undefined)
    t.same(compare(found(), count), nothingWrong)
    t.match(readRecords(join(folder, 'out'))[0], { method: 'GET', path: '/page/0', agent: 'mr' })
    t.equal(await router.stop(), 0)
  })
})
