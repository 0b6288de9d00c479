// A real Docker engine: containers with the fluentd driver, and the image that our Dockerfile makes.

import {
  chownSync,
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  writeFileSync
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import t, { type Test } from 'tap'
import { DockerEngine } from '../support/docker-engine.ts'
import { compare, EventSource, nothingWrong } from '../support/event-source.ts'
import { eventually } from '../support/eventually.ts'
import { ForwardSender } from '../support/forward-sender.ts'
import { freePort } from '../support/free-port.ts'
import { readRecords } from '../support/output-files.ts'
import { findProgram, requireAll } from '../support/require-program.ts'
import { startRouter } from '../support/router-process.ts'
import { shortDir } from '../support/short-dir.ts'

const PROJECT = join(import.meta.dirname, '../..')
const daemon = findProgram('MILLRACE_TEST_DOCKERD', 'dockerd')
const client = findProgram('MILLRACE_TEST_DOCKER', 'docker')
const rootTar = process.env['MILLRACE_TEST_ROOT_TAR'] ?? ''
const npm = findProgram('MILLRACE_TEST_NPM', 'npm')
const isRoot = process.getuid?.() === 0
const LIMIT_MS = 60_000
const LINES = 200
const LONG_LINE_BYTES = 40_000
const IMAGE_USER = 65532

t.setTimeout(900_000)

/** Numbered lines, one of three parts, and a last one without newline. */
const SCRIPT = [
  `i=0; while [ $i -lt ${LINES} ]; do echo "seq $i"; i=$((i+1)); done`,
  `head -c ${LONG_LINE_BYTES} /dev/zero | tr "\\0" x; echo`,
  'printf "last without newline"'
].join('; ')
/**
 * A line on the other stream, from a container of its own: with acks, Docker's client takes the ack of one stream for the
 * other's when both wait, and drops the connection.
 */
const STDERR_SCRIPT = 'echo "on stderr" >&2'

interface DriverCase {
  readonly tag: string
  readonly address: string
  readonly options: readonly string[]
  readonly isPrecise: boolean
}

function driverCases(port: number, socket: string): DriverCase[] {
  const cases: DriverCase[] = []
  for (const [transport, address] of [
    ['tcp', `127.0.0.1:${port}`],
    ['unix', `unix://${socket}`]
  ] as const) {
    for (const isAcked of [false, true]) {
      const isPrecise = isAcked === (transport === 'tcp')
      cases.push({
        tag: `docker.${transport}${isAcked ? '.ack' : ''}${isPrecise ? '.precise' : ''}`,
        address,
        options: [
          ...(isAcked ? ['fluentd-request-ack=true'] : []),
          ...(isPrecise ? ['fluentd-sub-second-precision=true'] : [])
        ],
        isPrecise
      })
    }
  }
  return cases
}

async function runLogging(engine: DockerEngine, each: DriverCase): Promise<void> {
  const options = [`fluentd-address=${each.address}`, `tag=${each.tag}`, ...each.options]
  for (const script of [SCRIPT, STDERR_SCRIPT]) {
    await engine.docker(
      ...['run', '--rm', '--network', 'none', '--name', each.tag, '--log-driver', 'fluentd'],
      ...options.flatMap((option) => ['--log-opt', option]),
      ...['debian:test', '/bin/sh', '-c', script]
    )
  }
}

function checkCase(t: Test, each: DriverCase, folder: string): void {
  const records = readRecords(folder).filter(({ tag }) => tag === each.tag)
  const logs = records.map((record) => String(record['log']))
  const seqs = logs.filter((log) => log.startsWith('seq ')).map((log) => Number(log.slice(4)))
  t.same(compare(seqs, LINES), nothingWrong, 'every line arrives once')
  const others = records.filter((record) => !String(record['log']).startsWith('seq '))
  t.equal(others.length, 3, 'the line on stderr, the long one and the last one')
  const find = (log: string) => others.filter((record) => record['log'] === log)
  t.equal(find('on stderr')[0]?.['source'], 'stderr')
  const [long, ...more] = find('x'.repeat(LONG_LINE_BYTES))
  t.ok(long, 'the long line is joined')
  t.same(more, [], 'once')
  const leftovers = Object.keys(long ?? {}).filter((key) => key.startsWith('partial_'))
  t.same(leftovers, [], 'the keys of the parts are gone')
  t.equal(find('last without newline').length, 1, 'the last line needs no newline')
  t.ok(records.every((record) => record['container_name'] === `/${each.tag}`))
  t.ok(records.every((record) => /^[0-9a-f]{64}$/.test(String(record['container_id']))))
  const hasFraction = records.some(({ time }) => /\.\d*[1-9]/.test(time))
  t.equal(hasFraction, each.isPrecise, 'time below the second is kept when it is sent')
}

async function driver(t: Test, engine: DockerEngine): Promise<void> {
  const folder = shortDir(t)
  const [port, adminPort] = [await freePort(), await freePort()]
  const socket = join(folder, 'fluent.sock')
  const router = await startRouter(t, {
    folder,
    adminPort,
    config: `version: 1
data_dir: ${folder}/data
admin: {listen: "127.0.0.1:${adminPort}"}
inputs: {containers: {type: forward, listen: ["tcp://127.0.0.1:${port}", "unix://${socket}"]}}
routes: {all: {match: "**", to: [files]}}
outputs: {files: {type: file, path: "${folder}/out/\${tag}.ndjson"}}
`
  })
  const cases = driverCases(port, socket)
  for (const each of cases) await runLogging(engine, each)
  const expected = cases.length * (LINES + 3)
  await eventually('all lines are stored', LIMIT_MS, () => {
    return readRecords(join(folder, 'out')).length >= expected
  }).catch(() => undefined)
  t.equal(await router.stop(), 0, 'the router stops cleanly')
  for (const each of cases) {
    t.test(each.tag, async (t) => checkCase(t, each, join(folder, 'out')))
  }
}

/** A base image with Node and npm, as the Dockerfile wants it, from what runs this test. */
async function buildNodeImage(engine: DockerEngine, folder: string): Promise<void> {
  mkdirSync(folder, { recursive: true })
  copyFileSync(process.execPath, join(folder, 'node'))
  const npmFolder = dirname(dirname(realpathSync(npm!)))
  cpSync(npmFolder, join(folder, 'npm'), { recursive: true })
  const certificates = '/etc/ssl/certs/ca-certificates.crt'
  copyFileSync(certificates, join(folder, 'ca-certificates.crt'))
  const lines = [
    'FROM debian:test',
    'COPY node /usr/local/bin/node',
    'COPY npm /usr/local/lib/node_modules/npm',
    `COPY ca-certificates.crt ${certificates}`,
    'RUN ln -s ../lib/node_modules/npm/bin/npm-cli.js /usr/local/bin/npm',
    `ENV NODE_EXTRA_CA_CERTS=${certificates}`
  ]
  writeFileSync(join(folder, 'Dockerfile'), lines.join('\n'))
  await engine.docker('build', '--network', 'host', '-t', 'node:test', folder)
}

async function image(t: Test, engine: DockerEngine): Promise<void> {
  const folder = shortDir(t)
  await buildNodeImage(engine, join(folder, 'node'))
  const build = ['build', '--network', 'host', '--build-arg', 'NODE_IMAGE=node:test']
  await engine.docker(...build, '-t', 'millrace:test', PROJECT)
  for (const name of ['data', 'run']) {
    mkdirSync(join(folder, name))
    chownSync(join(folder, name), IMAGE_USER, IMAGE_USER)
  }
  // The configuration of the image itself, a read-only root, no capability, no network: what is left is what it needs.
  const hardened = ['--read-only', '--cap-drop', 'ALL', '--security-opt', 'no-new-privileges']
  const mounts = ['-v', `${folder}/data:/var/lib/millrace`, '-v', `${folder}/run:/run/millrace`]
  const health = ['--health-interval', '1s', '--health-start-period', '1s']
  const start = ['run', '-d', '--name', 'router', '--network', 'none', '--tmpfs', '/tmp']
  await engine.docker(...start, ...hardened, ...mounts, ...health, 'millrace:test')
  t.teardown(() => engine.docker('rm', '-f', 'router'))
  const state = (field: string) => engine.docker('inspect', '-f', `{{${field}}}`, 'router')
  await eventually('the image finds itself healthy', LIMIT_MS, async () => {
    if ((await state('.State.Running')) !== 'true') {
      throw new Error(await engine.docker('logs', 'router'))
    }
    return (await state('.State.Health.Status')) === 'healthy'
  })
  t.equal(await engine.docker('exec', 'router', 'id', '-u'), String(IMAGE_USER))
  t.match(await engine.docker('exec', 'router', 'millrace', '--version'), /\d+\.\d+\.\d+/)

  const source = new EventSource({
    name: 'image',
    chunkEvents: 10,
    tag: () => 'docker.app',
    event: (seq) => ({ seq })
  })
  source.limit = 100
  const sender = new ForwardSender({
    address: { path: join(folder, 'run', 'fluent.sock') },
    window: 2,
    pauseMs: 0,
    next: () => source.next('packed'),
    onAck: (chunk) => source.onAck(chunk)
  })
  sender.start()
  t.teardown(() => sender.stop())
  const seqs = () =>
    readRecords(join(folder, 'data', 'logs')).map((record) => Number(record['seq']))
  await eventually('all are stored', LIMIT_MS, () => seqs().length >= source.limit).catch(
    () => undefined
  )
  t.same(compare(seqs(), source.limit), nothingWrong)
  sender.stop()
  await engine.docker('stop', 'router')
  t.equal(await state('.State.ExitCode'), '0', 'docker stop ends it cleanly')
}

requireAll(
  t,
  [
    [daemon, 'dockerd'],
    [client, 'docker'],
    [isRoot, 'root'],
    [npm, 'npm'],
    [existsSync(rootTar), 'the root file system in MILLRACE_TEST_ROOT_TAR']
  ],
  () => {
    t.test('a real Docker engine', async (t) => {
      const folder = mkdtempSync(join(tmpdir(), 'mr-docker-'))
      const engine = new DockerEngine(daemon!, client!, folder)
      t.teardown(() => engine.stop())
      await engine.start().catch((cause) => {
        throw new Error(`${cause}\n${readFileSync(engine.logFile, 'utf8').slice(-4000)}`)
      })
      await engine.docker('import', rootTar, 'debian:test')
      await t.test('the fluentd driver', (t) => driver(t, engine))
      await t.test('the image of our Dockerfile', (t) => image(t, engine))
    })
  }
)
