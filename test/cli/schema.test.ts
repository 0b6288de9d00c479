import { Ajv2020 } from 'ajv/dist/2020.js'
import t from 'tap'
import { parse } from 'yaml'
import { command } from '../support/command-line.ts'
import { filesOf } from '../support/source-tree.ts'

const { out } = await command(['schema'])
const schema = JSON.parse(out)
const validate = new Ajv2020({ strict: false, allErrors: true }).compile(schema)

t.test('the published schema takes every example', (t) => {
  for (const { path, text } of filesOf('deploy/examples/*.yaml')) {
    const isValid = validate(parse(text))
    t.ok(isValid, `${path} ${JSON.stringify(validate.errors?.slice(0, 3))}`)
  }
  t.end()
})

t.test('the published schema takes the file with nothing but what is required', (t) => {
  t.ok(validate(parse('version: 1\nroutes: {a: {to: s}}\noutputs: {s: {type: null}}')))
  t.end()
})

t.test('the published schema refuses typos in the shell, in plugins and in steps', (t) => {
  const file = (route: string, output: string) =>
    parse(`version: 1\nroutes: {a: {to: s${route}}}\noutputs: {s: {type: file, path: /x${output}}}`)
  t.ok(validate(file('', '')))
  t.notOk(validate(file(', mach: a', '')))
  t.notOk(validate(file('', ', paht: /y')))
  t.ok(validate(file(', steps: [{parse: {type: json}}, {remove: [a]}]', '')))
  t.notOk(validate(file(', steps: [{parse: {type: jsn}}]', '')))
  t.notOk(validate(file(', steps: [{nothing: {}}]', '')))
  t.end()
})

t.test('annotations of ours stay inside', (t) => {
  t.notMatch(out, /"x-(unit|secret|template|alias|min|max)"/)
  t.end()
})
