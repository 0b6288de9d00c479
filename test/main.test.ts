import { spawnSync } from 'node:child_process'
import { openSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'

const MAIN = join(import.meta.dirname, '../src/main.ts')

t.test('a reader that leaves early is no fault', (t) => {
  const script = '"$0" "$1" schema | true; exit "${PIPESTATUS[0]}"'
  const { status, stderr } = spawnSync('bash', ['-c', script, process.execPath, MAIN], {
    encoding: 'utf8'
  })
  t.equal(stderr, '')
  t.equal(status, 0)
  t.end()
})

t.test('a result that cannot be written ends with 74', (t) => {
  const full = openSync('/dev/full', 'w')
  const { status } = spawnSync(process.execPath, [MAIN, 'schema'], {
    stdio: ['ignore', full, 'pipe']
  })
  t.equal(status, 74)
  t.end()
})

t.test('the exit code of a command is the exit code of the process', (t) => {
  const cwd = t.testdir({ 'm.yaml': 'version: 1\n' })
  const { status, stderr } = spawnSync(process.execPath, [MAIN, 'validate', 'm.yaml'], {
    cwd,
    encoding: 'utf8'
  })
  t.equal(status, 78)
  t.match(stderr, /^m\.yaml:1:1 routes MR_CONFIG_NO_ROUTES /)
  t.end()
})
