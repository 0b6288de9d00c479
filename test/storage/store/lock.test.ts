import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import fs from 'node:fs'
import path from 'node:path'
import t from 'tap'
import { type LockHolder, lockStore } from '../../../src/storage/store/lock.ts'

const holder: LockHolder = {
  host: 'h1',
  pid: 42,
  startedAt: '2026-01-01T00:00:00Z',
  version: '1.2.3'
}
const isMissing = spawnSync('flock', ['--version']).error !== undefined

/** Takes the lock, says so and waits to be killed. */
const HOLD = `
import { lockStore } from ${JSON.stringify(new URL('../../../src/storage/store/lock.ts', import.meta.url).href)}
lockStore(process.argv[1], { host: 'h2', pid: process.pid, startedAt: 'now', version: '9' })
console.log('locked')
setInterval(() => {}, 1000)
`

t.test(
  'Q43 a second opening is refused and names the holder',
  { skip: isMissing && 'no flock' },
  (t) => {
    const directory = t.testdir()
    const lock = lockStore(directory, holder)
    t.throws(() => lockStore(directory, holder), {
      code: 'MR_STORE_LOCKED',
      message: /process 42 on h1 \(started 2026-01-01T00:00:00Z, version 1\.2\.3\)/
    })
    lock.release()
    lock.release()
    lockStore(directory, holder).release()
    t.end()
  }
)

t.test('Q43 a killed holder leaves no lock', { skip: isMissing && 'no flock' }, async (t) => {
  const directory = t.testdir()
  const child = spawn(process.execPath, ['--input-type=module', '-e', HOLD, directory])
  t.teardown(() => child.kill('SIGKILL'))
  await once(child.stdout, 'data')
  t.throws(() => lockStore(directory, holder), {
    message: new RegExp(`process ${child.pid} on h2`)
  })
  child.kill('SIGKILL')
  await once(child, 'exit')
  lockStore(directory, holder).release()
})

t.test(
  'a holder without a name, and no program for locking',
  { skip: isMissing && 'no flock' },
  (t) => {
    const directory = t.testdir()
    const lock = lockStore(directory, holder)
    fs.writeFileSync(path.join(directory, 'LOCK'), '{')
    t.throws(() => lockStore(directory, holder), { message: /has not written its name/ })
    lock.release()
    t.throws(() => lockStore(directory, holder, 'no-such-program'), {
      code: 'MR_STORE_LOCK',
      message: /cannot be locked: .*util-linux/
    })
    t.end()
  }
)

const cannotUnshare = spawnSync('unshare', ['--pid', '--fork', 'true']).status !== 0

t.test(
  'Q43 a process in another pid namespace is refused too, and a holder there is respected',
  { skip: isMissing ? 'no flock' : cannotUnshare && 'unshare --pid is not permitted' },
  async (t) => {
    const directory = t.testdir()
    const inside = ['--pid', '--fork', '--kill-child', process.execPath, '--input-type=module']
    const words = [...inside, '-e', HOLD, directory]
    const lock = lockStore(directory, holder)
    const refused = spawnSync('unshare', words, { encoding: 'utf8' })
    t.not(refused.status, 0)
    t.match(refused.stderr, /MR_STORE_LOCKED/)
    t.match(refused.stderr, /process 42 on h1/)
    lock.release()

    const child = spawn('unshare', words)
    t.teardown(() => child.kill('SIGKILL'))
    await once(child.stdout, 'data')
    // It is process 1 where it lives, which is alive here as well and somebody else.
    t.throws(() => lockStore(directory, holder), { message: /process 1 on h2/ })
    child.kill('SIGKILL')
    await once(child, 'close')
    lockStore(directory, holder).release()
  }
)

t.test('a lock that keeps nobody out is found out at the start, by trying', (t) => {
  const directory = t.testdir({ 'flock-of-nothing': '#!/bin/sh\nexit 0\n' })
  const program = path.join(directory, 'flock-of-nothing')
  fs.chmodSync(program, 0o755)
  fs.writeFileSync(path.join(directory, 'LOCK'), 'somebody')
  t.throws(() => lockStore(directory, holder, program), {
    code: 'MR_STORE_LOCK',
    message: /locked twice/
  })
  t.equal(fs.readFileSync(path.join(directory, 'LOCK'), 'utf8'), 'somebody', 'the name is kept')
  t.end()
})

t.test('a data directory that cannot be made is named', (t) => {
  const directory = t.testdir({ file: '' })
  t.throws(() => lockStore(path.join(directory, 'file', 'data'), holder), {
    code: 'MR_STORE_IO',
    message: /cannot be used as data_dir: ENOTDIR/
  })
  t.end()
})
