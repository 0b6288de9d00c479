// kill -9 of the router while clients that ask for acks send, and a start on the same data: nothing that was sent is lost.

import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { FluentClient } from '@fluent-org/logger'
import oldClient from 'fluent-logger'
import t, { type Test } from 'tap'
import { systemClock } from '../../src/core/clock.ts'
import { CLIENT_LIMIT_MS, clientRouter } from '../support/client-router.ts'
import { compare } from '../support/event-source.ts'
import { eventually } from '../support/eventually.ts'
import { findProgram, requireAll } from '../support/require-program.ts'

const CLIENTS = join(import.meta.dirname, 'clients')
/** So many that a client of its own process is still sending when its first ones are stored. */
const COUNT = 10_000
const SEEN_BEFORE_KILL = 50
/** A client in this process goes on until the second life has acknowledged so many. */
const AFTER_KILL = 100
const BATCH = 20
const PAUSE_MS = 20
const run = promisify(execFile)
const goClient = findProgram('MILLRACE_TEST_GO_CLIENT', 'millrace-test-go-client') ?? ''
const java = findProgram('MILLRACE_TEST_JAVA', 'java') ?? ''
const javaClients = process.env['MILLRACE_TEST_JAVA_CLIENTS'] ?? ''

t.setTimeout(300_000)

const router = await clientRouter(t)
const seqsOf = (tag: string): number[] =>
  router.lines(tag).map((line) => Number(JSON.parse(line).seq))

interface Life {
  isSecond: boolean
}

/** Kills the router when `send` is under way; `send` says how many records it was told are stored. */
async function survives(t: Test, tag: string, send: (life: Life) => Promise<number>) {
  const life = { isSecond: false }
  let isOver = false
  const sent = send(life).finally(() => {
    isOver = true
  })
  await Promise.race([
    sent,
    eventually('the sender is under way', CLIENT_LIMIT_MS, () => {
      return seqsOf(tag).length >= SEEN_BEFORE_KILL
    })
  ])
  t.notOk(isOver, 'the router is killed while the client sends')
  await router.killAndStart()
  life.isSecond = true
  const count = await sent
  const isAll = () => compare(seqsOf(tag), count).missing.length === 0
  await eventually('all are stored', CLIENT_LIMIT_MS, isAll).catch(() => undefined)
  const { missing, doubled, unknown } = compare(seqsOf(tag), count)
  t.same({ missing, unknown }, { missing: [], unknown: [] })
  t.comment(`${tag}: ${count} sent, ${seqsOf(tag).length - count} stored again, ${doubled.length}`)
}

/** Sends batches until the second life has taken enough; a record whose sending failed is sent again. */
async function sendUntilSecondLife(life: Life, emit: (seq: number) => Promise<void>) {
  const deliver = async (seq: number): Promise<void> => {
    for (;;) {
      const isDone = await emit(seq).then(
        () => true,
        () => false
      )
      if (isDone) return
      await systemClock.sleep(PAUSE_MS)
    }
  }
  let count = 0
  for (let after = 0; after < AFTER_KILL; ) {
    const wasSecond = life.isSecond
    await Promise.all(Array.from({ length: BATCH }, () => deliver(count++)))
    if (wasSecond) after += BATCH
  }
  return count
}

t.test('@fluent-org/logger, which reconnects and is told of acks that did not come', async (t) => {
  const client = new FluentClient('new', {
    socket: { host: '127.0.0.1', port: router.port },
    ack: { ackTimeout: 2000 }
  })
  await survives(t, 'new.app', (life) => {
    return sendUntilSecondLife(life, (seq) => client.emit('app', { seq }))
  })
  await client.shutdown()
})

t.test('npm fluent-logger, which connects again with the next record', async (t) => {
  const sender = oldClient.createFluentSender('old', {
    host: '127.0.0.1',
    port: router.port,
    requireAckResponse: true,
    ackResponseTimeout: 2000,
    reconnectInterval: 100,
    internalLogger: { info: () => {}, error: () => {} }
  })
  Object(sender).on('error', () => {})
  const emit = (seq: number) =>
    new Promise<void>((resolve, reject) => {
      sender.emit('app', { seq }, (cause) => (cause ? reject(cause) : resolve()))
    })
  await survives(t, 'old.app', (life) => sendUntilSecondLife(life, emit))
  Object(sender).end(null, null)
})

requireAll(t, [[goClient, 'the Go client in MILLRACE_TEST_GO_CLIENT']], () => {
  t.test('Go fluent-logger-golang with acks', async (t) => {
    await survives(t, 'go', async () => {
      await run(goClient, ['tcp', String(router.port), 'go', String(COUNT), 'ack'])
      return COUNT
    })
  })
})

const needsJava = [
  [java, 'java'],
  [existsSync(javaClients), 'the jars of the Java clients in MILLRACE_TEST_JAVA_CLIENTS']
] as const
requireAll(t, needsJava, () => {
  t.test('Java Fluency with acks', async (t) => {
    const script = join(CLIENTS, 'java/Client.java')
    const words = ['-cp', join(javaClients, '*'), script, 'fluency', 'fluency', String(COUNT)]
    await survives(t, 'fluency', async () => {
      await run(java, [...words, 'ack', String(router.port)])
      return COUNT
    })
  })
})
