import { join } from 'node:path'
import t from 'tap'
import { DEFAULT_CONFIG_NAME } from '../../src/config/default-config.ts'
import { type LoadRequest, loadConfig, processEnvironment } from '../../src/config/load.ts'

const load = (request: Partial<LoadRequest>) =>
  loadConfig({
    files: [],
    directory: null,
    environment: {},
    workingDirectory: '/nowhere',
    ...request
  })

t.test('files are looked for on the command line, in MILLRACE_CONFIG, then by name', (t) => {
  const workingDirectory = t.testdir({
    'millrace.yaml': 'version: 1',
    'a.yaml': 'version: 1',
    'b.yaml': 'version: 1'
  })
  const environment = { MILLRACE_CONFIG: 'a.yaml:b.yaml' }
  t.same(load({ workingDirectory, environment, files: ['b.yaml'] }).files, ['b.yaml'])
  t.same(load({ workingDirectory, environment }).files, ['a.yaml', 'b.yaml'])
  t.same(load({ workingDirectory }).files, ['./millrace.yaml'])
  t.end()
})

t.test('without any file the built-in configuration is read', (t) => {
  const { data, files, findings } = load({ workingDirectory: t.testdir() })
  t.same(files, [DEFAULT_CONFIG_NAME])
  t.same(findings, [])
  t.match(data, { version: 1, inputs: { forward: { type: 'forward' } } })
  t.end()
})

t.test('a directory is read in order of names, and old copies are left out with a warning', (t) => {
  const workingDirectory = t.testdir({
    conf: {
      '2.yml': 'inputs: {b: {}}',
      '1.yaml': 'version: 1\ninputs: {a: {}}',
      '3.json': '{"inputs": {"c": {}}}',
      '0.yaml.bak': 'inputs: [',
      'notes.txt': '['
    }
  })
  const { data, files, findings } = load({ workingDirectory, directory: 'conf' })
  t.same(files, ['conf/1.yaml', 'conf/2.yml', 'conf/3.json'])
  t.same(data, { version: 1, inputs: { a: {}, b: {}, c: {} } })
  t.match(findings, [{ level: 'warning', place: { file: 'conf/0.yaml.bak' } }])
  t.equal(findings.length, 1)
  t.end()
})

t.test('files and directories that cannot be read are findings', (t) => {
  const workingDirectory = t.testdir({ empty: {} })
  const codes = (request: Partial<LoadRequest>) =>
    load({ workingDirectory, ...request }).findings.map(({ code, message }) => `${code} ${message}`)
  t.same(codes({ files: ['no.yaml'] }), ['MR_CONFIG_READ file cannot be read: ENOENT'])
  t.same(codes({ directory: 'no' }), ['MR_CONFIG_READ directory cannot be read: ENOENT'])
  t.match(codes({ directory: 'empty' }), [/holds no/])
  t.end()
})

t.test('a secret file is found beside the configuration file, and its last newline is cut', (t) => {
  const workingDirectory = t.testdir({
    conf: { 'm.yaml': 'secret: "${file:key}"', key: 'abc\n\n' },
    key: 'wrong'
  })
  t.same(load({ workingDirectory, files: ['conf/m.yaml'] }).data, { secret: 'abc\n' })
  const absolute = join(workingDirectory, 'key')
  const other = t.testdir({ 'm.yaml': `secret: "\${file:${absolute}}"`, key: 'wrong' })
  t.match(load({ workingDirectory: other, files: ['m.yaml'] }).findings, [])
  t.end()
})

t.test('a placeholder is replaced in a value and never in the text of the file', (t) => {
  const workingDirectory = t.testdir({ 'm.yaml': 'a: ${A}\nb: "$${A} ${A:-x} ${B:-y}"\n' })
  const environment = { A: 'x\nc: [1]' }
  t.same(load({ workingDirectory, files: ['m.yaml'], environment }).data, {
    a: 'x\nc: [1]',
    b: '$${A} x\nc: [1] y'
  })
  t.end()
})

t.test('integers beyond 53 bits keep their digits', (t) => {
  const workingDirectory = t.testdir({ 'm.yaml': 'a: 9007199254740993\nb: 7\n' })
  t.same(load({ workingDirectory, files: ['m.yaml'] }).data, { a: 9007199254740993n, b: 7 })
  t.end()
})

t.test('the environment of the process is the one that configuration sees', (t) => {
  t.equal(processEnvironment(), process.env)
  t.end()
})
