import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import t from 'tap'

const MODULE = join(import.meta.dirname, '../src/start-environment.ts')

/** Runs a script in a process of its own that imports the module first. */
function run(script: string, environment: Record<string, string> = {}): string {
  const { stdout, stderr, status } = spawnSync(
    process.execPath,
    ['--input-type=module', '--eval', `await import(${JSON.stringify(MODULE)})\n${script}`],
    { env: { PATH: process.env['PATH'] ?? '', ...environment }, encoding: 'utf8' }
  )
  t.equal(status, 0, stderr)
  return stdout
}

t.test('the pool of libuv gets 16 threads, unless the environment says otherwise', (t) => {
  const script = `
    const { readdirSync } = await import('node:fs')
    const { pbkdf2 } = await import('node:crypto')
    await Promise.all(Array.from({ length: 40 }, () =>
      new Promise((resolve) => pbkdf2('a', 'b', 1000, 32, 'sha256', resolve))))
    console.log(readdirSync('/proc/self/task').length)`
  const usual = Number(run(script))
  const few = Number(run(script, { UV_THREADPOOL_SIZE: '4' }))
  t.equal(usual - few, 12)
  t.end()
})

t.test('SIGUSR1 opens no inspector', (t) => {
  // Both signals come through one pipe, in order: once the second is heard, the first was dealt with.
  const script = `
    const { url } = await import('node:inspector')
    const heard = new Promise((resolve) => process.on('SIGUSR2', resolve))
    const alive = setInterval(() => {}, 1000)
    process.kill(process.pid, 'SIGUSR1')
    process.kill(process.pid, 'SIGUSR2')
    await heard
    clearInterval(alive)
    console.log(process.listenerCount('SIGUSR1'), url())`
  t.equal(run(script).trim(), '1 undefined')
  t.end()
})

t.test('a pattern that backtracks for ever falls back to the linear engine', (t) => {
  // Without the fallback this takes longer than any test may: 2^40 steps.
  t.equal(run(`console.log(/^(a+)+$/.test('a'.repeat(40) + '!'))`).trim(), 'false')
  t.end()
})
