import { readdirSync } from 'node:fs'
import t from 'tap'
import { parse } from 'yaml'
import type { ServerOptions } from '../../src/cli/run.ts'
import type { MillraceConfig } from '../../src/config/schema.ts'
import { MillraceError } from '../../src/core/errors.ts'
import { command } from '../support/command-line.ts'

const GOOD = 'version: 1\nroutes: {all: {to: [s]}}\noutputs: {s: {type: null, delay: 1500ms}}\n'
const BAD = 'version: 1\nroutes: {all: {to: [s], mach: "**"}}\noutputs: {s: {type: null}}\n'
const WARNING = `${GOOD.trimEnd().slice(0, -1)}, t: {type: null}}\n`

t.test('validate names a valid file on stdout', async (t) => {
  const workingDirectory = t.testdir({ 'm.yaml': GOOD })
  t.same(await command(['validate', 'm.yaml'], { workingDirectory }), {
    exitCode: 0,
    out: 'm.yaml: valid\n',
    error: ''
  })
})

t.test('validate writes findings to stderr and ends with 78', async (t) => {
  const workingDirectory = t.testdir({ 'm.yaml': BAD })
  t.same(await command(['validate', 'm.yaml'], { workingDirectory }), {
    exitCode: 78,
    out: '',
    error:
      'm.yaml:2:25 routes.all.mach MR_CONFIG_UNKNOWN_KEY unknown key "mach" (did you mean match?)\n'
  })
})

t.test('validate looks at each file on the line by itself', async (t) => {
  const workingDirectory = t.testdir({ 'a.yaml': GOOD, 'b.yaml': BAD, 'c.yaml': GOOD })
  const result = await command(['validate', 'a.yaml', 'b.yaml', 'c.yaml'], { workingDirectory })
  t.equal(result.exitCode, 78)
  t.equal(result.out, 'a.yaml: valid\nc.yaml: valid\n')
})

t.test('validate takes several -c files as one', async (t) => {
  const workingDirectory = t.testdir({
    'a.yaml': 'version: 1\nroutes: {all: {to: [s]}}\n',
    'b.yaml': 'outputs: {s: {type: null}}\n'
  })
  const result = await command(['validate', '-c', 'a.yaml', '-c', 'b.yaml'], { workingDirectory })
  t.same(result, { exitCode: 0, out: 'a.yaml, b.yaml: valid\n', error: '' })
})

t.test('warnings fail only when they are asked to', async (t) => {
  const workingDirectory = t.testdir({ 'm.yaml': WARNING })
  const lenient = await command(['validate', 'm.yaml'], { workingDirectory })
  t.equal(lenient.exitCode, 0)
  t.match(lenient.error, /MR_CONFIG_UNUSED warning:/)
  const strict = await command(['validate', '--deny-warnings', 'm.yaml'], { workingDirectory })
  t.equal(strict.exitCode, 78)
})

t.test('validate --json is for machines', async (t) => {
  const workingDirectory = t.testdir({ 'm.yaml': BAD })
  const { out, exitCode } = await command(['validate', '--json', 'm.yaml'], { workingDirectory })
  t.equal(exitCode, 78)
  t.match(JSON.parse(out), {
    valid: false,
    reports: [
      {
        valid: false,
        files: ['m.yaml'],
        findings: [
          {
            level: 'error',
            code: 'MR_CONFIG_UNKNOWN_KEY',
            place: { file: 'm.yaml', line: 2, column: 25 },
            path: 'routes.all.mach'
          }
        ]
      }
    ]
  })
})

t.test('config prints the built-in file as it is written, and it validates', async (t) => {
  const workingDirectory = t.testdir()
  const { out, exitCode } = await command(['config'], { workingDirectory })
  t.equal(exitCode, 0)
  t.match(out, /^# .*\nversion: 1\n/)
  const again = t.testdir({ 'm.yaml': out })
  t.equal((await command(['validate', 'm.yaml'], { workingDirectory: again })).exitCode, 0)
  const full = await command(['config', '--full'], { workingDirectory })
  t.match(parse(full.out), { drain_timeout: '20s', queue: { min_free: '5%' } })
})

t.test('config prints a file with its defaults, and what it prints is valid again', async (t) => {
  const workingDirectory = t.testdir({ 'm.yaml': GOOD })
  const { out } = await command(['config', '-c', 'm.yaml'], { workingDirectory })
  t.match(parse(out), {
    version: 1,
    routes: { all: { durability: 'sync', max_bytes: '8GiB' } },
    outputs: { s: { type: 'null', delay: '1500ms' } }
  })
  const again = t.testdir({ 'm.yaml': out })
  t.equal((await command(['validate', 'm.yaml'], { workingDirectory: again })).error, '')
})

t.test('config of a faulty file shows the findings', async (t) => {
  const workingDirectory = t.testdir({ 'm.yaml': BAD })
  const { exitCode, out, error } = await command(['config', 'm.yaml'], { workingDirectory })
  t.equal(exitCode, 78)
  t.equal(out, '')
  t.match(error, /did you mean match/)
})

t.test('run hands the checked configuration to the server and ends with its code', async (t) => {
  const workingDirectory = t.testdir({ 'm.yaml': GOOD })
  const calls: { config: MillraceConfig; options: ServerOptions }[] = []
  const runServer = (config: MillraceConfig, options: ServerOptions) => {
    calls.push({ config, options })
    return Promise.resolve(75)
  }
  const environment = {
    MILLRACE_CONFIG: 'm.yaml',
    MILLRACE_DATA_DIR: 'q',
    MILLRACE_LOG_LEVEL: 'error',
    MILLRACE_LOG_FORMAT: 'pretty'
  }
  const words = ['run', '--drain-only', '--log-level', 'warn']
  const { exitCode } = await command(words, { workingDirectory, environment, runServer })
  t.equal(exitCode, 75)
  t.match(calls, [
    {
      config: { dataDir: `${workingDirectory}/q`, outputs: { s: { config: { delay: 1500 } } } },
      options: {
        isDrainOnly: true,
        isLockedSkipped: false,
        logLevel: 'warn',
        logFormat: 'pretty',
        configFiles: ['m.yaml']
      }
    }
  ])
})

t.test('Q45 run with a faulty file starts no server and touches no file', async (t) => {
  const workingDirectory = t.testdir({ 'm.yaml': BAD, 'millrace-data': { META: 'x' } })
  const before = readdirSync(workingDirectory, { recursive: true })
  const { exitCode, error } = await command(['run', 'm.yaml'], { workingDirectory })
  t.equal(exitCode, 78)
  t.match(error, /MR_CONFIG_UNKNOWN_KEY/)
  t.same(readdirSync(workingDirectory, { recursive: true }), before)
})

t.test('run --dry-run starts no server', async (t) => {
  const workingDirectory = t.testdir({ 'm.yaml': GOOD })
  const { exitCode, out } = await command(['run', '--dry-run', 'm.yaml'], { workingDirectory })
  t.equal(exitCode, 0)
  t.equal(out, 'm.yaml: valid\n')
})

t.test('an error of the server ends the command with its exit code', async (t) => {
  const workingDirectory = t.testdir({ 'm.yaml': GOOD })
  const runServer = () =>
    Promise.reject(new MillraceError('MR_STORE_LOCKED', 'data directory is in use'))
  const { exitCode, error } = await command(['run', 'm.yaml'], { workingDirectory, runServer })
  t.equal(exitCode, 75)
  t.equal(error, 'MR_STORE_LOCKED data directory is in use\n')
})
