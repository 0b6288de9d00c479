// The systemd input over a program that stands in for journalctl: it follows a file of the test, and does what the test
// tells it by further files.

import fs from 'node:fs'
import path from 'node:path'
import t, { type Test } from 'tap'
import { WORD } from '../../../src/threads/shared.ts'
import { eventually } from '../../../test/support/eventually.ts'
import { FakeClock, settled } from '../../../test/support/fake-clock.ts'
import { type HostOptions, IngestHost } from '../../../test/support/ingest-host.ts'
import definition from './index.ts'
import { argumentsOf } from './journal-arguments.ts'
import type { SystemdOptions } from './options.ts'

const WAIT_MS = 20_000
/** Of the fake clock. */
const STOP_MS = 60_000
const SECONDS = 1_700_000_000

t.setTimeout(120_000)

/** Entries are lines of base64; the cursor of entry n is `c<n>`. `piece`: bytes of one write. */
const JOURNAL = `import fs from 'node:fs'
const dir = import.meta.dirname
const has = (name) => fs.existsSync(dir + '/' + name)
fs.appendFileSync(dir + '/calls', JSON.stringify(process.argv.slice(2)) + '\\n')
fs.writeFileSync(dir + '/pid', String(process.pid))
const after = process.argv.find((text) => text.startsWith('--after-cursor=c'))
let place = after === undefined ? 0 : Number(after.slice('--after-cursor=c'.length)) + 1
if (has('stubborn')) process.on('SIGTERM', () => fs.writeFileSync(dir + '/asked', ''))
if (has('fails')) {
  process.stderr.write('first line\\nno such journal\\n')
  process.exit(3)
}
const piece = has('piece') ? Number(fs.readFileSync(dir + '/piece', 'utf8')) : 1e9
setInterval(() => {
  const lines = fs.readFileSync(dir + '/journal', 'utf8').split('\\n').slice(0, -1)
  for (; place < lines.length; place++) {
    const bytes = Buffer.from(lines[place], 'base64')
    for (let at = 0; at < bytes.length; at += piece) fs.writeSync(1, bytes.subarray(at, at + piece))
  }
}, 5)
`

/** Without the flags that a test runner hands down to every Node. */
const JOURNALCTL = `#!/bin/sh
NODE_OPTIONS= exec "${process.execPath}" "$(dirname "$0")/journal.mjs" "$@"
`

interface Extra {
  readonly binary?: Buffer
  readonly fields?: string
}

class Place {
  readonly clock = new FakeClock((SECONDS + 1000) * 1000)
  readonly directory: string
  #count = 0
  #lives = 0

  constructor(t: Test) {
    this.directory = fs.realpathSync(t.testdir({ data: {} }))
    this.put('journal', '')
    this.put('journal.mjs', JOURNAL)
    this.put('journalctl', JOURNALCTL)
    fs.chmodSync(this.file('journalctl'), 0o755)
  }

  file(name: string): string {
    return path.join(this.directory, name)
  }

  put(name: string, text: string): void {
    fs.writeFileSync(this.file(name), text)
  }

  text(name: string): string {
    return fs.existsSync(this.file(name)) ? fs.readFileSync(this.file(name), 'utf8') : ''
  }

  get calls(): string[][] {
    return this.text('calls')
      .split('\n')
      .slice(0, -1)
      .map((line) => JSON.parse(line))
  }

  /** Adds entries to the journal, in one write. */
  log(messages: readonly string[], { binary, fields = '' }: Extra = {}): void {
    const lines = messages.map((message) => {
      const n = this.#count++
      const head = `__CURSOR=c${n}\n__REALTIME_TIMESTAMP=${SECONDS + n}000123\n_PID=7\n${fields}`
      const parts: Buffer[] = [Buffer.from(head)]
      if (binary === undefined) parts.push(Buffer.from(`MESSAGE=${message}\n`))
      else {
        const size = Buffer.alloc(8)
        size.writeBigUInt64LE(BigInt(binary.length))
        parts.push(Buffer.from('MESSAGE\n'), size, binary, Buffer.from('\n'))
      }
      return Buffer.concat([...parts, Buffer.from('\n')]).toString('base64')
    })
    fs.appendFileSync(this.file('journal'), `${lines.join('\n')}\n`)
  }

  async start(
    t: Test,
    options: Partial<SystemdOptions> = {},
    hostOptions: Partial<HostOptions> = {}
  ): Promise<Host> {
    const config = {
      command: this.file('journalctl'),
      directory: null,
      units: [],
      start_at: 'beginning',
      tag: 'systemd',
      key: 'log',
      fields: ['_SYSTEMD_UNIT', 'PRIORITY', '_PID'],
      ...options
    }
    const epoch = SECONDS + this.#lives
    const start = { epoch, nextOrdinal: 0, prevValidEndByte: 0, lastAppendTimeMs: 0 }
    const nextOffset = this.#lives++ * 1_000_000
    const logs = ['routes/all', 'routes/more', 'dlq/unmatched', 'dlq/in.journal']
    const host = new IngestHost({
      directory: this.file('data'),
      clock: this.clock,
      inputs: { journal: { type: 'systemd', config } },
      inputModules: { systemd: new URL('./input.ts', import.meta.url).href },
      starts: Object.fromEntries(logs.map((log) => [log, { ...start, nextOffset }])),
      ...hostOptions
    })
    await host.start(t)
    return new Host(host, this)
  }
}

class Host {
  readonly host: IngestHost
  readonly #place: Place

  constructor(host: IngestHost, place: Place) {
    this.host = host
    this.#place = place
  }

  async until(what: string, check: () => boolean): Promise<void> {
    await eventually(what, WAIT_MS, async () => {
      if (check()) return true
      this.#place.clock.advance(100)
      await settled()
      return check()
    })
  }

  /** What is on its way becomes durable before. */
  async stop(): Promise<void> {
    let isStopped = false
    const stopping = this.host.main.stop(STOP_MS).then(() => {
      isStopped = true
    })
    await this.until('it stops', () => isStopped)
    await stopping
  }

  texts(log?: string): string[] {
    return this.host.records(log).map(({ record }) => String(Object(record)['log']))
  }

  async untilTexts(expected: readonly string[], t: Test, log?: string): Promise<void> {
    const what = `${expected.length} records`
    await this.until(what, () => this.host.recordCount(log) >= expected.length)
    t.same(this.texts(log), expected)
  }

  async untilCursor(cursor: string): Promise<void> {
    await this.until(`${cursor} is written`, () => cursorOf(this.#place) === cursor)
  }
}

function cursorOf(place: Place): string | null {
  const text = place.text('data/inputs/journal/cursor')
  return text === '' ? null : JSON.parse(text).cursor
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

t.test(
  'entries are records with their text, chosen fields and the time of the journal',
  async (t) => {
    const place = new Place(t)
    place.log(['one'], { fields: '_SYSTEMD_UNIT=a.service\nPRIORITY=6\nOTHER=x\n' })
    const host = await place.start(t)
    await host.untilTexts(['one'], t)
    const [record] = host.host.records()
    t.equal(record?.tag, 'systemd')
    t.same(record?.record, { _PID: '7', _SYSTEMD_UNIT: 'a.service', PRIORITY: '6', log: 'one' })
    const { data } = Object(record?.time)
    t.equal(Buffer.from(data).readUInt32BE(0), SECONDS)
    t.equal(Buffer.from(data).readUInt32BE(4), 123_000)
    place.log(['two', 'three'])
    await host.untilTexts(['one', 'two', 'three'], t)
    t.equal(host.host.counter('received_records'), 3)
  }
)

t.test('with fields: * records have all but the addresses, and a key of their own', async (t) => {
  const place = new Place(t)
  place.log(['one'], { fields: 'OTHER=x\n' })
  const host = await place.start(t, { fields: ['*'], key: 'message', tag: 'host' })
  await host.until('a record', () => host.host.recordCount() === 1)
  const [record] = host.host.records()
  t.same(record?.record, { _PID: '7', OTHER: 'x', message: 'one' })
  t.equal(record?.tag, 'host')
})

t.test('an export that comes byte by byte, and a binary field, are read', async (t) => {
  const place = new Place(t)
  place.put('piece', '1')
  place.log(['one'])
  place.log([''], { binary: Buffer.from('two\n\nlines=ü') })
  const host = await place.start(t)
  await host.untilTexts(['one', 'two\n\nlines=ü'], t)
})

t.test('when the child is killed another one goes on behind the last entry', async (t) => {
  const place = new Place(t)
  place.log(['one', 'two'])
  const host = await place.start(t)
  await host.untilTexts(['one', 'two'], t)
  process.kill(Number(place.text('pid')), 'SIGKILL')
  place.log(['three'])
  await host.until('there is a second child', () => place.calls.length >= 2)
  await host.untilTexts(['one', 'two', 'three'], t)
  t.equal(host.host.counter('journal_restarts'), 1)
  t.match(place.calls[1], /--after-cursor=c[12]/)
  t.equal(host.host.warnings.length, 1)
})

t.test(
  'a child that fails is said once, with its last line, and tried ever more rarely',
  async (t) => {
    const place = new Place(t)
    place.put('fails', '')
    place.log(['one'])
    const host = await place.start(t)
    await host.until('five tries', () => host.host.counter('journal_restarts') >= 5)
    t.ok(place.clock.monotonicMs() >= 1000 + 2000 + 4000 + 8000)
    t.equal(host.host.warnings.length, 1)
    const line = host.host.messages.find(({ kind }) => kind === 'log')
    t.match(line, { fields: { reason: 'it ended with 3: no such journal' } })
    fs.rmSync(place.file('fails'))
    await host.untilTexts(['one'], t)
  }
)

t.test('a program that is not there is said once, and run when it is', async (t) => {
  const place = new Place(t)
  place.log(['one'])
  fs.renameSync(place.file('journalctl'), place.file('hidden'))
  const host = await place.start(t)
  await host.until('three tries', () => host.host.counter('journal_restarts') >= 3)
  t.match(
    host.host.messages.find(({ kind }) => kind === 'log'),
    { fields: { reason: /ENOENT/ } }
  )
  t.equal(host.host.warnings.length, 1)
  fs.renameSync(place.file('hidden'), place.file('journalctl'))
  await host.untilTexts(['one'], t)
})

t.test(
  'output that is no export ends the child, and is read on behind what was good',
  async (t) => {
    const place = new Place(t)
    place.log(['one', 'two'], { fields: '=broken\n' })
    const lines = place.text('journal').split('\n')
    const good = Buffer.from(lines[0] ?? '', 'base64')
      .toString()
      .replace('=broken\n', '')
    place.put('journal', `${Buffer.from(good).toString('base64')}\n${lines[1]}\n`)
    const host = await place.start(t)
    await host.until('it was tried again', () => host.host.counter('journal_restarts') >= 2)
    t.same(host.texts(), ['one'])
    t.match(
      host.host.messages.find(({ kind }) => kind === 'log'),
      {
        fields: { reason: /no export of a journal/ }
      }
    )
    t.same(place.calls[1]?.at(-1), '--after-cursor=c0')
  }
)

t.test('a full queue stops the reading, and nothing is lost or doubled', async (t) => {
  const place = new Place(t)
  const host = await place.start(t)
  const words = host.host.words('routes/all')
  words[WORD.isFull] = 1n
  const long = 'x'.repeat(100_000)
  const expected = Array.from({ length: 80 }, (_, i) => `${i} ${long}`)
  place.log(expected)
  await host.until('it waits', () => host.host.counter('input_paused_total/room') > 0)
  for (let i = 0; i < 50; i++) {
    place.clock.advance(100)
    await settled()
  }
  t.equal(host.host.recordCount(), 0)
  t.equal(cursorOf(place), null)
  words[WORD.isFull] = 0n
  await host.untilTexts(expected, t)
  await host.untilCursor('c79')
  t.equal(place.calls.length, 1)
})

t.test('a batch that is given back comes again, and not to the route that has it', async (t) => {
  const place = new Place(t)
  const more = { id: 'more', overflow: 'drop_newest' as const }
  const host = await place.start(t, {}, { routes: [{ id: 'all', goesOn: true }, more] })
  const words = host.host.words('routes/more')
  words[WORD.isFull] = 1n
  place.log(['one'])
  await host.until('it was given back twice', () => host.host.counter('journal_retries') >= 2)
  t.equal(cursorOf(place), null)
  place.log(['two'])
  words[WORD.isFull] = 0n
  await host.untilTexts(['one', 'two'], t, 'routes/more')
  await host.untilTexts(['one', 'two'], t)
  await host.untilCursor('c1')
})

t.test(
  'a stop ends the child and writes the cursor; the next start goes on behind it',
  async (t) => {
    const place = new Place(t)
    place.log(['one', 'two'])
    const first = await place.start(t)
    await first.untilTexts(['one', 'two'], t)
    const pid = Number(place.text('pid'))
    await first.stop()
    t.notOk(isAlive(pid))
    t.equal(cursorOf(place), 'c1')
    place.log(['three'])
    const second = await place.start(t)
    await second.untilTexts(['one', 'two', 'three'], t)
    t.equal(place.calls[1]?.at(-1), '--after-cursor=c1')
  }
)

t.test('a child that does not end when it is asked to is killed', async (t) => {
  const place = new Place(t)
  place.put('stubborn', '')
  place.log(['one'])
  const host = await place.start(t)
  await host.untilTexts(['one'], t)
  const pid = Number(place.text('pid'))
  await host.stop()
  t.notOk(isAlive(pid))
})

t.test('a stop without room leaves the cursor where it is', async (t) => {
  const place = new Place(t)
  const host = await place.start(t)
  host.host.words('routes/all')[WORD.isFull] = 1n
  place.log(['one'])
  await host.until('it waits', () => host.host.counter('input_paused_total/room') > 0)
  await host.stop()
  t.equal(cursorOf(place), null)
  const second = await place.start(t)
  await second.untilTexts(['one'], t)
})

t.test('start_at: end counts from the first start, also at the next one', async (t) => {
  const place = new Place(t)
  const sinceMs = place.clock.nowMs()
  const first = await place.start(t, { start_at: 'end' })
  await first.until('it runs', () => place.calls.length === 1)
  await first.stop()
  place.log(['one'])
  const second = await place.start(t, { start_at: 'end' })
  await second.untilTexts(['one'], t)
  for (const call of place.calls) t.equal(call.at(-1), `--since=@${sinceMs / 1000}`)
})

t.test(
  'a cursor that cannot be read is said, and the journal is read from the beginning',
  async (t) => {
    const place = new Place(t)
    place.log(['one'])
    fs.mkdirSync(place.file('data/inputs/journal'), { recursive: true })
    place.put('data/inputs/journal/cursor', '{"version":1,"cur')
    const host = await place.start(t, { start_at: 'end' })
    await host.untilTexts(['one'], t)
    t.match(host.host.warnings, [/cursor of the journal cannot be read/])
  }
)

t.test('only one ingest thread has the input', async (t) => {
  const place = new Place(t)
  const host = await place.start(t, {}, { thread: { index: 1, count: 2 } })
  await host.stop()
  t.same(place.calls, [])
  t.notOk(fs.existsSync(place.file('data/inputs/journal')))
})

t.test('journalctl is asked for what is configured', (t) => {
  const place = { cursor: null, sinceSeconds: 0 }
  const always = ['--output=export', '--follow', '--no-tail', '--no-pager', '--quiet']
  t.same(argumentsOf({ directory: null, units: [] }, place), always)
  t.same(argumentsOf({ directory: '/j', units: ['a', 'b*'] }, { ...place, cursor: 's=1' }), [
    ...always,
    '--directory=/j',
    '--unit=a',
    '--unit=b*',
    '--after-cursor=s=1'
  ])
  t.end()
})

t.test('options that cannot be meant are found before a start', (t) => {
  const check = (fields: string[], key = 'log') =>
    definition.check?.({ fields, key } as never).map(({ message }) => message)
  t.same(check(['_PID']), [])
  t.same(check(['*']), [])
  t.same(check(['_PID', '*']), ['"*" stands beside other names'])
  t.same(check(['_PID'], '_PID'), ['"_PID" is the field of the text already (key)'])
  t.end()
})
