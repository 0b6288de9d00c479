import t from 'tap'
import { createRegistry } from '../../src/plugin/registry.ts'
import { cutFilter, jsonParser, nullOutput, socketInput } from '../support/sample-plugins.ts'

t.test('a plugin is found by kind and type', (t) => {
  const registry = createRegistry([socketInput, nullOutput, jsonParser, cutFilter])
  t.equal(registry.input('socket'), socketInput)
  t.equal(registry.output('null'), nullOutput)
  t.equal(registry.parser('json'), jsonParser)
  t.equal(registry.filter('cut'), cutFilter)
  t.equal(registry.output('socket'), undefined, 'an input is no output')
  t.equal(registry.filter('json'), undefined, 'a parser is no step of its own')
  t.equal(registry.input('nothing'), undefined)
  t.equal(registry.parser('nothing'), undefined)
  t.same(registry.types('output'), ['null'])
  t.end()
})

t.test('two plugins of one kind and type are a bug', (t) => {
  t.throws(() => createRegistry([nullOutput, nullOutput]), { name: 'InvariantError' })
  t.end()
})
