import t from 'tap'
import { AddressSet, plainAddress } from '../../src/net/address-set.ts'

t.test('addresses and networks of both families, mapped ones and zones', (t) => {
  const set = new AddressSet(['10.1.0.0/16', '192.0.2.7', 'fd00::/8', '::1'])
  const inside = ['10.1.255.255', '192.0.2.7', '::ffff:10.1.0.1', 'fd12::9', '::1', 'fd00::1%eth0']
  for (const address of inside) t.ok(set.has(address), address)
  const outside = ['10.2.0.0', '192.0.2.8', 'fe80::1', '', 'unix', '::ffff:10.2.0.1']
  for (const address of outside) t.notOk(set.has(address), address)
  t.notOk(new AddressSet([]).has('127.0.0.1'))
  t.ok(new AddressSet(['0.0.0.0/0']).has('203.0.113.1'))
  t.equal(plainAddress('::FFFF:192.0.2.7'), '192.0.2.7')
  t.equal(plainAddress('2001:db8::1'), '2001:db8::1')
  t.end()
})

t.test('what is neither is refused with the text', (t) => {
  for (const text of [
    '',
    'host',
    '10.0.0.0/33',
    '10.0.0/8',
    '::/129',
    '10.0.0.0/8/8',
    '1.2.3.4/'
  ]) {
    t.throws(() => new AddressSet([text]), { code: 'MR_CONFIG_INVALID', message: `"${text}"` })
  }
  t.end()
})
