import { hash } from 'node:crypto'
import { once } from 'node:events'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { join } from 'node:path'
import t from 'tap'
import { eventually } from '../support/eventually.ts'
import { arrivedSeqs } from '../support/numbered-load.ts'
import { RouterProcess, startRouter } from '../support/router-process.ts'
import { stoppedRouter } from '../support/stopped-router.ts'

const LIMIT_MS = 60_000

t.setTimeout(180_000)

t.test('SIGTERM during the start ends with 0 and leaves a whole store', async (t) => {
  const { load, search, setup } = await stoppedRouter(t, '10s')
  const early = new RouterProcess(setup)
  t.teardown(() => early.kill())
  const lock = join(setup.folder, 'data/LOCK')
  await eventually('it has the lock', LIMIT_MS, () => {
    return existsSync(lock) && readFileSync(lock, 'utf8').includes(`"pid":${early.child.pid}`)
  })
  t.equal(await early.stop(), 0, early.log.slice(-500))
  const second = await startRouter(t, setup)
  const sender = load({ recordsMax: 20 })
  await eventually('it works', LIMIT_MS, () => sender.acked.length === 20)
  await eventually('and delivers', LIMIT_MS, () => arrivedSeqs(search).length === 20)
  t.equal(await second.stop(), 0)
})

t.test('Q43 a second process is refused with 75 and the first goes on', async (t) => {
  const { load, search, setup } = await stoppedRouter(t, '10s')
  const first = await startRouter(t, setup)
  const other = new RouterProcess(setup)
  t.teardown(() => other.kill())
  t.equal(await other.exit, 75, other.log.slice(-500))
  t.match(other.log, new RegExp(`MR_STORE_LOCKED .* is in use by process ${first.child.pid} on `))
  const sender = load({ recordsMax: 100 })
  await eventually('the first takes records', LIMIT_MS, () => sender.acked.length === 100)
  await eventually('and delivers them', LIMIT_MS, () => arrivedSeqs(search).length === 100)
  await first.kill()
  const next = await startRouter(t, setup)
  t.equal(await next.stop(), 0, 'the lock of a killed process is free')
})

t.test('a port that is taken ends the start with 69, and the process by itself', async (t) => {
  const { setup } = await stoppedRouter(t, '10s')
  const holder = createServer().listen(0, '127.0.0.1')
  await once(holder, 'listening')
  t.teardown(() => holder.close())
  // A TCP server that listens has an object as address.
  const { port } = holder.address() as AddressInfo
  const config = String(setup.config).replace(
    /load: \{.*\}/,
    `load: {type: forward, listen: "tcp://127.0.0.1:${port}"}`
  )
  const router = new RouterProcess({ ...setup, config })
  t.teardown(() => router.kill())
  t.equal(await router.exit, 69, router.log)
  t.match(router.log, /MR_LISTEN cannot listen on .* \(another process listens there\)/)
  t.notMatch(router.log, /exit\.abandoned|stop\.abandoned/)
})

t.test('Q45 a configuration with a fault leaves a backlog untouched, with 78', async (t) => {
  const { load, refuse, setup } = await stoppedRouter(t, '10ms')
  refuse()
  const first = await startRouter(t, setup)
  const sender = load({ recordsMax: 200 })
  await eventually('all is acked', LIMIT_MS, () => sender.acked.length === 200)
  t.equal(await first.stop(), 0)
  sender.stop()
  const image = () =>
    readdirSync(join(setup.folder, 'data'), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map(({ name, parentPath }) => join(parentPath, name))
      .toSorted()
      .map((file) => [file, hash('sha256', readFileSync(file))])
  const before = image()
  t.ok(before.length > 4)
  const config = setup.config.replace('to: [search]', 'to: [serach]')
  const wrong = new RouterProcess({ ...setup, config })
  t.teardown(() => wrong.kill())
  t.equal(await wrong.exit, 78)
  t.match(wrong.log, /did you mean "?search/)
  t.same(image(), before)
})
