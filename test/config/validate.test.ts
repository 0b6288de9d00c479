import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { type LoadRequest, loadConfig } from '../../src/config/load.ts'
import { type ValidatedConfig, validateConfig } from '../../src/config/validate.ts'
import { sampleRegistry } from '../support/sample-plugins.ts'

const DIRECTORY = '/work-directory'
const DESTINATION_DEFAULTS = {
  isRequired: true,
  startAt: 'newest',
  lagBytesMax: null,
  parkAfterMs: 30_000,
  drainOrder: 'oldest_first',
  lagThresholdMs: 900_000,
  backfillShare: 0.3
}
const ROUTE_DEFAULTS = {
  ageMsMax: null,
  keepMs: 0,
  lanes: 1,
  laneKey: null,
  compression: 'none'
}

function validated(text: string, request: Partial<LoadRequest> = {}): ValidatedConfig {
  const directory = request.workingDirectory ?? t.testdir()
  writeFileSync(join(directory, 'm.yaml'), text)
  const loaded = loadConfig({
    files: ['m.yaml'],
    directory: null,
    environment: {},
    workingDirectory: directory,
    ...request
  })
  return validateConfig(loaded, {
    registry: sampleRegistry,
    checkSteps: () => [],
    coreCount: 8,
    workingDirectory: DIRECTORY
  })
}

t.test('an input names a parser or gives its options; faults are found at their place', (t) => {
  const file = (parser: string) => `
version: 1
inputs:
  app: {type: socket, listen: "127.0.0.1:1", parser: ${parser}}
routes: {all: {match: "**", to: [trash]}}
outputs: {trash: {type: null}}
`
  const { config, findings, shown } = validated(file('json'))
  t.same(findings, [])
  t.match(config?.inputs['app']?.parser, { type: 'json' })
  t.match(shown, { inputs: { app: { parser: { type: 'json' } } } })
  const wrong = validated(file('jsn'))
  t.match(wrong.findings, [{ code: 'MR_CONFIG_REFERENCE', path: 'inputs.app.parser' }])
  const unknown = validated(file('{type: json, prefx: x}'))
  t.match(unknown.findings, [{ code: 'MR_CONFIG_UNKNOWN_KEY', path: 'inputs.app.parser.prefx' }])
  t.end()
})

const FULL = `
version: 1
data_dir: queues
admin: {listen: ["127.0.0.1:9480", "unix:///run/m.sock"], hosts: logs.example, token: abc}
queue: {min_free: 2GiB}
drain_timeout: 1m30s
defaults:
  outputs: {type: search, endpoints: "http://a", password: pass}
  routes: {durability: interval}
inputs:
  app: {type: socket, listen: "127.0.0.1:1", idle_timeout: 2m, shared_key: "a$\${b"}
routes:
  web:
    match: ["web.**", "api.*"]
    from: app
    continue: true
    steps: [{parse: {type: json}}, {cut: {at: 2KiB}}]
    to: [one, {output: two, required: false, start_at: oldest}]
    overflow: drop_newest
    drop_newest_ack: true
    max_bytes: 1GiB
    sync_interval: 0.5
  rest: {to: [one]}
outputs:
  one: {index: "x-\${tag}"}
  two: {buffer_size: 64m}
`

t.test('a full file becomes the configuration with units converted and defaults filled in', (t) => {
  const workingDirectory = t.testdir()
  const { config, findings } = validated(FULL, { workingDirectory })
  t.same(
    findings.map((finding) => finding.code),
    ['MR_CONFIG_ALIAS']
  )
  t.same(config, {
    dataDir: '/work-directory/queues',
    baseDir: workingDirectory,
    threads: { ingest: 2, pool: 6 },
    admin: {
      listen: ['tcp://127.0.0.1:9480', 'unix:///run/m.sock'],
      hosts: ['logs.example'],
      token: 'abc'
    },
    queue: {
      minFree: { kind: 'bytes', bytes: 2 ** 31 },
      segmentBytesMax: 2 ** 27,
      dlqBytesMax: 2 ** 30,
      dlqOverflow: 'drop_oldest',
      parkBytesMax: 2 ** 30,
      onIoError: 'degrade',
      isNetworkFsAllowed: false,
      catchupBytesPerSecond: 2 ** 26,
      keys: null,
      scrubBytesPerSecond: 0
    },
    drainTimeoutMs: 90_000,
    inputs: {
      app: {
        type: 'socket',
        config: {
          listen: ['tcp://127.0.0.1:1'],
          idle_timeout: 120_000,
          backlog: 1024,
          udp: true,
          shared_key: 'a${b'
        }
      }
    },
    routes: [
      {
        id: 'web',
        match: { kind: 'parts', patterns: ['web.**', 'api.*'] },
        from: ['app'],
        goesOn: true,
        steps: [{ parse: { type: 'json', key: 'log' } }, { cut: { at: 2048 } }],
        to: [
          { ...DESTINATION_DEFAULTS, output: 'one' },
          { ...DESTINATION_DEFAULTS, output: 'two', isRequired: false, startAt: 'oldest' }
        ],
        durability: 'interval',
        syncIntervalMs: 500,
        overflow: 'drop_newest',
        isDroppedAcked: true,
        bytesMax: 2 ** 30,
        ...ROUTE_DEFAULTS
      },
      {
        id: 'rest',
        match: { kind: 'all' },
        from: null,
        goesOn: false,
        steps: [],
        to: [{ ...DESTINATION_DEFAULTS, output: 'one' }],
        durability: 'interval',
        syncIntervalMs: 200,
        overflow: 'block',
        isDroppedAcked: false,
        bytesMax: 8 * 2 ** 30,
        ...ROUTE_DEFAULTS
      }
    ],
    outputs: {
      one: {
        type: 'search',
        config: {
          endpoints: ['http://a'],
          password: 'pass',
          index: 'x-${tag}',
          bulk_bytes: 2 ** 22,
          operation: 'create'
        }
      },
      two: {
        type: 'search',
        config: {
          endpoints: ['http://a'],
          password: 'pass',
          index: 'logs-${time:%Y.%m.%d}',
          bulk_bytes: 2 ** 26,
          operation: 'create'
        }
      }
    }
  })
  t.end()
})

t.test('the configuration crosses to threads: it survives a structured clone', (t) => {
  const { config } = validated(FULL)
  t.not(config, null)
  t.same(structuredClone(config), config)
  t.end()
})

t.test('what is shown has defaults and no secrets, and two secrets can be told apart', (t) => {
  const { shown } = validated(FULL)
  const text = JSON.stringify(shown)
  t.notMatch(text, /"pass"|"abc"|a\$\$\{b/)
  t.match(shown, {
    data_dir: 'queues',
    admin: { token: '***ad' },
    inputs: { app: { type: 'socket', backlog: 1024, shared_key: /^\*\*\*[0-9a-f]{2}$/ } },
    outputs: { one: { type: 'search', bulk_bytes: '4MiB', password: '***f1' } }
  })
  t.equal(Object.hasOwn(shown, 'defaults'), false)
  t.end()
})

t.test('a secret stands in no finding', (t) => {
  const text = `
version: 1
inputs: {app: {type: socket, listen: "127.0.0.1:1", shared_key: [hunter2]}}
routes: {all: {to: [s]}}
outputs: {s: {type: search, endpoints: "http://a", user: me, password: "hunter2 \${record.x}"}}
`
  const { findings } = validated(text)
  t.equal(findings.length, 2)
  t.notMatch(JSON.stringify(findings), /hunter2/)
  t.end()
})

t.test(
  'values from the environment take the type that the schema asks for and stay values',
  (t) => {
    const text = `
version: 1
threads: {ingest: "\${INGEST}", pool: 2}
inputs: {app: {type: socket, listen: "127.0.0.1:1", udp: "\${UDP}", shared_key: "\${KEY}"}}
routes: {all: {to: [s]}}
outputs: {s: {type: search, endpoints: "\${URL:-http://a}", index: "\${INDEX}-\${record.a}"}}
`
    const environment = { INGEST: '3', UDP: 'false', KEY: '12345', INDEX: 'a${record.b}', URL: '' }
    const { config, findings } = validated(text, { environment })
    t.same(findings, [])
    t.equal(config?.threads.ingest, 3)
    t.equal(config?.inputs['app']?.config['udp'], false)
    t.equal(config?.inputs['app']?.config['shared_key'], '12345')
    t.same(config?.outputs['s']?.config['endpoints'], ['http://a'])
    t.equal(config?.outputs['s']?.config['index'], 'a$${record.b}-${record.a}', 'a value is text')
    t.end()
  }
)

t.test('variables stand for the data directory and the admin address', (t) => {
  const text = 'version: 1\nroutes: {all: {to: [s]}}\noutputs: {s: {type: null}}\n'
  const environment = { MILLRACE_DATA_DIR: '/q', MILLRACE_ADMIN_LISTEN: '0.0.0.0:9480' }
  const { config } = validated(text, { environment })
  t.equal(config?.dataDir, '/q')
  t.same(config?.admin.listen, ['tcp://0.0.0.0:9480'])
  const bad = validated(text, { environment: { MILLRACE_ADMIN_LISTEN: 'nonsense' } })
  t.equal(bad.findings[0]?.place.file, 'MILLRACE_ADMIN_LISTEN')
  t.end()
})

t.test(
  'an aliased value that refers to itself and a file of aliases of aliases are refused',
  (t) => {
    const levels = Array.from(
      { length: 8 },
      (_, i) => `  l${i + 1}: &l${i + 1} [${`*l${i}, `.repeat(9)}]`
    )
    const bomb = `version: 1\ninputs:\n  l0: &l0 [x]\n${levels.join('\n')}\n`
    const { config, findings } = validated(bomb)
    t.equal(config, null)
    t.match(findings[0], { code: 'MR_CONFIG_SYNTAX' })
    t.ok(findings.length < 100, 'and the findings are few')
    t.equal(validated('version: 1\ninputs: &a {x: *a}\n').config, null)
    t.end()
  }
)

t.test('more queues than an ingest thread has room for are refused', (t) => {
  const routes = Array.from({ length: 512 }, (_, i) => `  r${i}: {match: "t${i}", to: [s]}`)
  const text = `version: 1\nroutes:\n${routes.join('\n')}\noutputs: {s: {type: null}}\n`
  const { findings } = validated(text)
  t.match(findings.at(-1)?.message, /513 queues exceed the 512/)
  t.end()
})

t.test('Q45 an invalid configuration touches nothing of an existing data directory', (t) => {
  const directory = t.testdir({ queues: { routes: { web: {} } } })
  const before = readdirSync(directory, { recursive: true })
  const { config } = validated('version: 1\ndata_dir: queues\nroutes: 5\n', {
    workingDirectory: directory
  })
  t.equal(config, null)
  t.same(
    readdirSync(directory, { recursive: true }).filter((name) => name !== 'm.yaml'),
    before
  )
  t.end()
})

t.test('a valid configuration touches nothing either: the data directory is not made', (t) => {
  const directory = t.testdir()
  mkdirSync(join(directory, 'cwd'))
  t.not(validated(FULL, { workingDirectory: join(directory, 'cwd') }).config, null)
  t.equal(existsSync(join(directory, 'cwd/queues')), false)
  t.end()
})

t.test('lanes: what decides them, and how many there may be', (t) => {
  const text = (threads: number, options: string) => `
version: 1
threads: {ingest: ${threads}}
inputs: {app: {type: socket, listen: "127.0.0.1:1"}}
outputs: {found: {type: search, endpoints: "http://a", index: x}}
routes: {all: {to: found, ${options}}}
`
  const keyOf = (options: string) => validated(text(1, options)).config?.routes[0]?.laneKey
  t.same(keyOf('lanes: 8'), { kind: 'tag' })
  t.same(keyOf('lanes: 8, shard_by: tag'), { kind: 'tag' })
  t.same(keyOf('lanes: 8, shard_by: tenant'), { kind: 'field', path: ['tenant'] })
  t.same(keyOf('lanes: 8, shard_by: "kubernetes.labels[\\"a.b\\"]"'), {
    kind: 'field',
    path: ['kubernetes', 'labels', 'a.b']
  })
  t.equal(keyOf('lanes: 1'), null)
  const findingOf = (threads: number, options: string) => {
    const { findings } = validated(text(threads, options))
    return findings.map(({ path, message }) => `${path}: ${message}`)
  }
  t.same(findingOf(8, 'lanes: 8'), [])
  t.same(findingOf(9, 'lanes: 8'), [
    'routes.all.lanes: 8 lanes on each of 9 ingest threads are over 64'
  ])
  t.same(findingOf(1, 'lanes: 8, max_bytes: 15MiB'), [
    'routes.all.lanes: each of 8 lanes would hold 1.88MiB'
  ])
  t.same(findingOf(1, 'shard_by: tenant'), [
    'routes.all.shard_by: one lane has nothing to decide on'
  ])
  t.same(findingOf(1, 'lanes: 2, shard_by: ".x"'), ['routes.all.shard_by: ".x" is no field'])
  const many = Array.from({ length: 9 }, (_, i) => `r${i}: {match: a${i}, to: found, lanes: 64}`)
  const crowded = validated(text(1, '').replace(/routes:.*/, `routes: {${many.join(', ')}}`))
  t.same(
    crowded.findings.map(({ message }) => message),
    ['578 queues exceed the 512 of an ingest thread']
  )
  t.end()
})
