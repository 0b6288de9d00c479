import t from 'tap'
import { packageVersion } from '../../src/cli/package-version.ts'
import { exitCodeOf } from '../../src/cli/program.ts'
import { ERROR_CODES } from '../../src/core/errors.ts'
import { command } from '../support/command-line.ts'

t.test('help and version go to stdout and end with 0', async (t) => {
  const help = await command(['--help'])
  t.equal(help.exitCode, 0)
  for (const name of ['run', 'validate', 'config', 'schema', 'healthcheck', 'queue', 'dlq']) {
    t.match(help.out, new RegExp(`^  ${name} `, 'm'))
  }
  t.equal(help.error, '')
  t.same(await command(['--version']), { exitCode: 0, out: `${packageVersion()}\n`, error: '' })
  t.match(packageVersion(), /^\d+\.\d+\.\d+/)
  t.equal((await command(['dlq', 'show', '--help'])).exitCode, 0)
})

t.test('what is no command line ends with 64 and says what was probably meant', async (t) => {
  const unknown = await command(['valdate'])
  t.equal(unknown.exitCode, 64)
  t.match(unknown.error, /Did you mean validate/)
  t.equal((await command(['validate', '--jsn'])).exitCode, 64)
  t.equal((await command(['dlq', 'show'])).exitCode, 64, 'an argument is missing')
  t.equal((await command(['dlq', 'show', 'out.x', '--limit', '0'])).exitCode, 64)
  t.equal((await command(['run', '--log-level', 'loud'])).exitCode, 64)
  t.equal((await command(['healthcheck', '--admin', 'nonsense'])).exitCode, 64)
  const environment = { MILLRACE_LOG_FORMAT: 'xml' }
  const variable = await command(['run'], { environment, workingDirectory: t.testdir() })
  t.equal(variable.exitCode, 64)
  t.match(variable.error, /MILLRACE_LOG_FORMAT=xml is invalid\. Allowed choices are json, pretty/)
})

t.test('every error code has an exit code of sysexits', (t) => {
  const codes = Object.fromEntries(ERROR_CODES.map((code) => [code, exitCodeOf(code)]))
  t.match(codes, {
    MR_CONFIG_READ: 78,
    MR_CONFIG_UNKNOWN_KEY: 78,
    MR_LISTEN: 69,
    MR_STORE_LOCKED: 75,
    MR_STORE_META: 74,
    MR_STORE_FORMAT: 74,
    MR_STORE_IO: 74,
    MR_USAGE: 64,
    MR_ADMIN: 1
  })
  t.end()
})

t.test('an error of an unknown kind is not swallowed', async (t) => {
  const workingDirectory = t.testdir({
    'm.yaml': 'version: 1\nroutes: {all: {to: [s]}}\noutputs: {s: {type: null}}\n'
  })
  const runServer = () => Promise.reject(new TypeError('broken'))
  await t.rejects(command(['run', '-c', 'm.yaml'], { workingDirectory, runServer }), {
    message: 'broken'
  })
})
