// Client libraries of other projects, unmodified, against a real router; what they sent is read from its output files.

import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { certificate } from '../support/certificates.ts'
import { CLIENT_SECURITY, clientRouter, isRecent } from '../support/client-router.ts'
import { NODE_RECORD, sendWithNew, sendWithOld } from '../support/node-clients.ts'
import { findProgram, requireAll } from '../support/require-program.ts'

const CLIENTS = join(import.meta.dirname, 'clients')
const COUNT = 300
const run = promisify(execFile)
const python = process.env['MILLRACE_TEST_PYTHON'] ?? ''
const goClient = findProgram('MILLRACE_TEST_GO_CLIENT', 'millrace-test-go-client') ?? ''
const java = findProgram('MILLRACE_TEST_JAVA', 'java') ?? ''
const javaClients = process.env['MILLRACE_TEST_JAVA_CLIENTS'] ?? ''
const php = findProgram('MILLRACE_TEST_PHP', 'php') ?? ''

t.setTimeout(300_000)

const router = await clientRouter(t)
const { port, tlsPort, socket, caFile } = router
const ca = certificate('ca.pem')
const keyed = { host: '127.0.0.1', port: router.keyPort }
const tcp = { host: '127.0.0.1', port }

for (const mode of ['Message', 'Forward', 'PackedForward', 'CompressedPackedForward'] as const) {
  for (const ack of [true, false]) {
    t.test(`@fluent-org/logger in ${mode} mode ${ack ? 'with' : 'without'} acks`, async (t) => {
      const tag = `new.${mode}.${ack}`
      await sendWithNew(tcp, mode, { tag, count: COUNT, ack })
      const records = await router.stored(t, `${tag}.app`, COUNT)
      t.match(records[0], { seq: 0, ...NODE_RECORD })
      t.ok(records.every(({ time }) => isRecent(time)))
    })
  }
}

t.test('@fluent-org/logger by a Unix socket and by TLS', async (t) => {
  const tls = { host: '127.0.0.1', port: tlsPort, tls: { ca } }
  for (const [name, place] of [['unix', { path: socket }] as const, ['tls', tls] as const]) {
    await sendWithNew(place, 'PackedForward', { tag: `new.${name}`, count: COUNT, ack: true })
    const records = await router.stored(t, `new.${name}.app`, COUNT)
    t.match(records[0], { seq: 0, ...NODE_RECORD })
  }
})

for (const eventMode of ['Message', 'PackedForward', 'CompressedPackedForward']) {
  for (const ack of [true, false]) {
    t.test(`npm fluent-logger in ${eventMode} mode ${ack ? 'with' : 'without'} acks`, async (t) => {
      const tag = `old.${eventMode}.${ack}`
      await sendWithOld({ ...tcp, eventMode }, { tag, count: COUNT, ack })
      const records = await router.stored(t, `${tag}.app`, COUNT)
      t.match(records[0], { seq: 0, ...NODE_RECORD })
      t.ok(records.every(({ time }) => isRecent(time)))
    })
  }
}

t.test('npm fluent-logger with milliseconds, which it sends as a float', async (t) => {
  await sendWithOld({ ...tcp, milliseconds: 1 }, { tag: 'old.ms', count: COUNT, ack: true })
  const records = await router.stored(t, 'old.ms.app', COUNT)
  t.ok(records.every(({ time }) => isRecent(time)))
})

t.test('npm fluent-logger by a Unix socket and by TLS', async (t) => {
  const tls = { host: '127.0.0.1', port: tlsPort, tls: true, tlsOptions: { ca } }
  for (const [name, place] of [['unix', { path: socket }] as const, ['tls', tls] as const]) {
    await sendWithOld(place, { tag: `old.${name}`, count: COUNT, ack: true })
    t.match((await router.stored(t, `old.${name}.app`, COUNT))[0], { seq: 0, ...NODE_RECORD })
  }
})

t.test(
  'both Node loggers with shared key, user and password; a wrong key stores nothing',
  async (t) => {
    const security = CLIENT_SECURITY
    await sendWithNew(keyed, 'PackedForward', { tag: 'new.key', count: COUNT, ack: true, security })
    t.match((await router.stored(t, 'new.key.app', COUNT))[0], { seq: 0, ...NODE_RECORD })
    await sendWithOld(keyed, { tag: 'old.key', count: COUNT, ack: true, security })
    t.match((await router.stored(t, 'old.key.app', COUNT))[0], { seq: 0, ...NODE_RECORD })
    const wrong = { ...security, sharedKey: 'another' } as unknown as typeof CLIENT_SECURITY
    const load = { tag: 'old.wrong', count: 1, ack: true, security: wrong }
    await t.rejects(sendWithOld(keyed, load))
    t.same(router.lines('old.wrong.app'), [])
  }
)

requireAll(t, [[python, 'a Python with fluent-logger in MILLRACE_TEST_PYTHON']], () => {
  const script = join(CLIENTS, 'python', 'client.py')
  const cases = [
    ['tcp', '127.0.0.1', []],
    ['nanoseconds', '127.0.0.1', ['nanosecond']],
    ['unix', `unix://${socket}`, []]
  ] as const
  for (const [name, host, words] of cases) {
    t.test(`Python fluent-logger: ${name}`, async (t) => {
      const tag = `python.${name}`
      await run(python, [script, host, String(port), tag, String(COUNT), ...words])
      const records = await router.stored(t, `${tag}.app`, COUNT)
      t.match(records[0], { text: 'héllo 😀', real: 1.5, none: null, bytes: 'raw' })
      t.same([records[0]?.['list'], records[0]?.['map']], [[1, 'two'], { a: true }])
      t.equal(records[0]?.['7'], 'a number as key')
      t.match(router.lines(`${tag}.app`)[0], '"big":18446744073709551615')
      t.match(router.lines(`${tag}.app`)[0], '"small":-9223372036854775808')
      t.ok(records.every(({ time }) => isRecent(time)))
    })
  }
})

requireAll(t, [[goClient, 'the Go client in MILLRACE_TEST_GO_CLIENT']], () => {
  const cases = [
    ['tcp', port, []],
    ['tcp', port, ['ack']],
    ['tcp', port, ['json']],
    ['unix', socket, ['ack']],
    ['tls', tlsPort, ['ack']]
  ] as const
  for (const [network, address, form] of cases) {
    t.test(`Go fluent-logger-golang by ${network} ${form.join()}`.trim(), async (t) => {
      const tag = ['go', network, ...form].join('.')
      await run(goClient, [network, String(address), tag, String(COUNT), ...form])
      const records = await router.stored(t, tag, COUNT)
      t.match(records[0], { text: 'héllo 😀', real: 1.5, flag: true, none: null })
      t.same([records[0]?.['list'], records[0]?.['map']], [[1, 'two'], { a: true }])
      t.equal(records[0]?.['bytes'], form[0] === 'json' ? undefined : 'raw')
      t.match(router.lines(tag)[0], '"big":18446744073709551615')
      t.match(router.lines(tag)[0], '"small":-9223372036854775808')
      t.ok(records.every(({ time }) => isRecent(time)))
    })
  }
})

const needsJava = [
  [java, 'java'],
  [existsSync(javaClients), 'the jars of the Java clients in MILLRACE_TEST_JAVA_CLIENTS']
] as const
requireAll(t, needsJava, () => {
  const client = (...words: (string | number)[]) =>
    run(java, [
      '-cp',
      join(javaClients, '*'),
      join(CLIENTS, 'java/Client.java'),
      ...words.map(String)
    ])

  for (const form of ['plain', 'ack', 'tls']) {
    t.test(`Java Fluency: ${form}`, async (t) => {
      const tag = `fluency.${form}`
      await client('fluency', tag, COUNT, form, form === 'tls' ? tlsPort : port, caFile)
      const records = await router.stored(t, tag, COUNT)
      t.match(records[0], { seq: 0, text: 'héllo 😀', real: 1.5, flag: true, bytes: 'raw' })
      t.same([records[0]?.['list'], records[0]?.['map']], [[1, 'two'], { a: { b: 2 } }])
      t.match(router.lines(tag)[0], '"big":9223372036854775807')
      t.ok(records.every(({ time }) => isRecent(time)))
    })
  }

  t.test('Java Fluency gets answers to its datagrams without a byte', async (t) => {
    const before = await router.router.metric('millrace_forward_heartbeats_total')
    await client('heartbeat', port)
    t.ok((await router.router.metric('millrace_forward_heartbeats_total')) >= before + 3)
  })

  t.test('Java fluent-logger', async (t) => {
    await client('logger', 'java', COUNT, port)
    const records = await router.stored(t, 'java.app', COUNT)
    t.match(records[0], { seq: 0, text: 'héllo 😀', real: 1.5, long: 'x'.repeat(40) })
    t.match(router.lines('java.app')[0], '"big":9223372036854775807')
    t.ok(records.every(({ time }) => isRecent(time)))
  })
})

requireAll(t, [[php, 'php']], () => {
  const script = join(CLIENTS, 'php', 'client.php')
  for (const [name, address] of [
    ['tcp', `tcp://127.0.0.1:${port}`],
    ['unix', `unix://${socket}`]
  ] as const) {
    t.test(`PHP in the form of its fluent-logger, JSON: ${name}`, async (t) => {
      await run(php, [script, address, `php.${name}`, String(COUNT)])
      const records = await router.stored(t, `php.${name}`, COUNT)
      t.match(records[0], { text: 'héllo 😀', path: '/a/b', real: 1.5, none: null })
      t.same(records[0]?.['list'], [1, 'two'])
      t.ok(records.every(({ time }) => isRecent(time)))
    })
  }
})

t.test('the router stops cleanly after all of them', async (t) => {
  t.equal(await router.router.stop(), 0)
})
