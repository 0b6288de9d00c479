// Rules that hold over all files: floors, headers, lengths, dead files, homes of packages, words that have no place here.

import t from 'tap'
import {
  filesOf,
  type Import,
  importsOf,
  type SourceFile,
  sourceFiles,
  withoutComments
} from './support/source-tree.ts'

const FILE_LINES_MAX = 500
const TEST_LINES_MAX = 800

const files = sourceFiles()
const folderOf = (path: string): string => path.split('/')[1] ?? ''

/** Folder or file, and what it may import besides itself and what is on the floors below. Imports point down. */
const FLOORS: Readonly<Record<string, readonly string[]>> = {
  core: [],
  kernel: ['core'],
  codec: ['core', 'kernel'],
  net: ['core'],
  storage: ['core', 'kernel'],
  plugin: ['core', 'kernel', 'codec', 'net'],
  metrics: ['core'],
  config: ['core', 'net', 'plugin'],
  ingest: ['core', 'kernel', 'codec', 'net', 'storage', 'plugin', 'metrics', 'config'],
  steps: ['core', 'kernel', 'codec', 'storage', 'plugin', 'metrics', 'config'],
  delivery: ['core', 'kernel', 'codec', 'storage', 'plugin', 'metrics', 'config'],
  threads: ['core', 'kernel', 'codec', 'storage', 'plugin', 'metrics', 'config']
}

/** Shapes of what crosses between threads: types that every stage may name, constants for those above storage. */
const SHAPES = ['src/threads/messages.ts', 'src/threads/shared.ts']
const SHAPE_USERS = ['storage', 'ingest', 'steps', 'delivery']

/** Entries of threads import the stage that they run. */
const STAGES = ['ingest', 'steps', 'delivery']

function mayImport(file: SourceFile, { target, isType }: Import): boolean {
  if (!target.startsWith('src/') && !target.startsWith('plugins/')) return true
  const from = folderOf(file.path)
  const to = folderOf(target)
  if (file.path.startsWith('plugins/')) return pluginMayImport(file.path, target)
  const allowed = FLOORS[from]
  // cli, admin, server, main: the top floor.
  if (allowed === undefined || file.path === `src/${from}`) return !target.startsWith('src/main.ts')
  if (target.startsWith('plugins/')) return false
  if (from === to || allowed.includes(to)) return true
  if (SHAPES.includes(target)) return SHAPE_USERS.includes(from) && (isType || from !== 'storage')
  return file.path.endsWith('.thread.ts') && STAGES.includes(to)
}

function pluginMayImport(path: string, target: string): boolean {
  if (target.startsWith('src/')) {
    return ['core', 'kernel', 'codec', 'net', 'plugin'].includes(folderOf(target))
  }
  const [, kind, type, file] = path.split('/')
  // plugins/index.ts and its like list the plugins; a plugin sees its own folder alone.
  if (type === undefined || file === undefined) return true
  return target.startsWith(`plugins/${kind}/${type}/`)
}

t.test('imports point down the floors', (t) => {
  const wrong = files.flatMap((file) =>
    importsOf(file)
      .filter((each) => !mayImport(file, each))
      .map(({ target }) => `${file.path} -> ${target}`)
  )
  t.same(wrong, [])
  t.end()
})

t.test('core imports nothing of Node but pure functions', (t) => {
  const pure = ['node:util', 'node:buffer', 'node:crypto']
  const wrong = files
    .filter(({ path }) => path.startsWith('src/core/'))
    .flatMap((file) => importsOf(file).map(({ target }) => ({ path: file.path, target })))
    .filter(({ target }) => !target.startsWith('src/core/') && !pure.includes(target))
  t.same(wrong, [])
  t.end()
})

/** Package, and the only places that import it. */
const HOMES: Readonly<Record<string, readonly string[]>> = {
  fastify: ['src/admin/', 'plugins/inputs/http/'],
  'prom-client': ['src/metrics/registry.ts'],
  piscina: ['src/threads/'],
  'node:worker_threads': ['src/threads/'],
  '@msgpack/msgpack': ['src/codec/'],
  '@aws-sdk/client-cloudwatch-logs': ['plugins/outputs/cloudwatch_logs/'],
  '@opensearch-project/opensearch': ['plugins/outputs/opensearch/'],
  ajv: ['src/config/'],
  yaml: ['src/config/', 'src/cli/'],
  commander: ['src/cli/'],
  pino: ['src/server.ts', 'src/server/'],
  typebox: ['src/plugin/', 'src/config/', 'plugins/']
}

t.test('every package has one home', (t) => {
  const wrong: string[] = []
  for (const file of files) {
    for (const { target } of importsOf(file)) {
      const homes = HOMES[target]
      if (homes !== undefined && !homes.some((home) => file.path.startsWith(home))) {
        wrong.push(`${file.path} -> ${target}`)
      }
    }
  }
  t.same(wrong, [])
  t.end()
})

/** `// Step 4. Runs on: ingest.`; a script's first line is its interpreter. */
const HEADER = /^\/\/ (?:Steps? [^:]*\. )?Runs on: (main|ingest|pool|any)\b/

const headerOf = (file: SourceFile): string =>
  (file.lines[0]?.startsWith('#!') ? file.lines[1] : file.lines[0]) ?? ''

t.test('the first line of every file says where it runs', (t) => {
  t.same(
    files
      .filter((file) => !file.path.endsWith('.d.ts') && !HEADER.test(headerOf(file)))
      .map((file) => file.path),
    []
  )
  t.end()
})

t.test('files that run anywhere or on the pool touch no sockets and no admin', (t) => {
  const wrong = files.flatMap((file) => {
    const runsOn = HEADER.exec(headerOf(file))?.[1]
    const banned = runsOn === 'pool' ? ['net', 'admin'] : ['storage', 'admin']
    if (runsOn !== 'any' && runsOn !== 'pool') return []
    if (SHAPES.includes(file.path) || banned.includes(folderOf(file.path))) return []
    return importsOf(file)
      .filter(({ target, isType }) => !isType && target.startsWith('src/'))
      .filter(({ target }) => banned.includes(folderOf(target)))
      .map(({ target }) => `${file.path} (${runsOn}) -> ${target}`)
  })
  t.same(wrong, [])
  t.end()
})

t.test('files are short', (t) => {
  const tests = filesOf('test/**/*.ts', 'plugins/**/*.test.ts')
  const kernel = filesOf('src/kernel/assembly/**/*.ts')
  const long = [
    ...[...files, ...kernel].filter(({ lines }) => lines.length - 1 > FILE_LINES_MAX),
    ...tests.filter(({ lines }) => lines.length - 1 > TEST_LINES_MAX)
  ]
  t.same(
    long.map(({ path, lines }) => `${path} ${lines.length - 1}`),
    []
  )
  t.end()
})

/** Where execution starts, and what is a tool of the repository. */
const ENTRIES = [
  'src/main.ts',
  'src/index.ts',
  'src/kernel/build.ts',
  'src/threads/ingest.thread.ts',
  'src/threads/pool.thread.ts'
]

t.test('every file is reached from an entry', (t) => {
  const byPath = new Map(files.map((file) => [file.path, file]))
  const reached = new Set<string>()
  const open = [...ENTRIES]
  for (let path = open.pop(); path !== undefined; path = open.pop()) {
    const file = byPath.get(path)
    if (file === undefined || reached.has(path)) continue
    reached.add(path)
    // A URL of a module names the compiled file or the source.
    open.push(...importsOf(file).map(({ target }) => target.replace(/\.(js|\$\{\w+\})$/, '.ts')))
  }
  const dead = files.map(({ path }) => path).filter((path) => !reached.has(path))
  t.same(
    dead.filter((path) => !path.endsWith('.d.ts')),
    []
  )
  t.end()
})

/** What must not stand in code, and where it may. */
const BANNED: { what: RegExp; why: string; except: readonly string[] }[] = [
  { what: /\bsetTimeout\(|\bsetInterval\(/, why: 'a timer', except: ['src/core/clock.ts'] },
  { what: /\bconsole\./, why: 'the console', except: [] },
  {
    what: /\bprocess\.env\b/,
    why: 'the environment',
    except: ['src/config/load.ts', 'src/start-environment.ts']
  },
  // A stop that hangs is given up by the file that is the process.
  {
    what: /\bprocess\.exit\(/,
    why: 'an exit from within',
    except: ['src/server/process-end.ts']
  },
  { what: /\bMath\.random\b/, why: 'randomness', except: ['src/core/clock.ts'] }
]

t.test('timers, console, environment and randomness come in from outside', (t) => {
  const wrong: string[] = []
  for (const file of files) {
    const code = withoutComments(file.text)
    for (const { what, why, except } of BANNED) {
      if (what.test(code) && !except.includes(file.path)) wrong.push(`${file.path}: ${why}`)
    }
  }
  t.same(wrong, [])
  t.end()
})

t.test('nothing is left over: marks, folders without a meaning, paths of a machine', (t) => {
  const all = filesOf(
    'src/**/*.ts',
    'plugins/**/*.{ts,md}',
    'test/**/*.ts',
    'bench/**/*.ts',
    'docs/**/*.md',
    'deploy/**/*',
    '*.{md,json}'
  ).filter(({ path }) => path !== 'test/tidy.test.ts' && path !== 'package-lock.json')
  const wrong: string[] = []
  for (const { path, text } of all) {
    if (/\b(TODO|FIXME|XXX|HACK)\b/.test(text)) wrong.push(`${path}: a mark`)
    if (/\/(home|Users)\/[a-z]+\/|\/work\/|\/tmp\/mr\b/.test(text)) wrong.push(`${path}: a path`)
    if (/(^|\/)(utils?|helpers?|common|lib|misc)(\/|\.ts$)|(^|\/)scripts\//.test(path)) {
      wrong.push(`${path}: a name without a meaning`)
    }
  }
  t.same(wrong, [])
  t.end()
})

t.test('every test has a source or a subject, and no test sleeps', (t) => {
  const tests = filesOf('test/**/*.test.ts', 'plugins/**/*.test.ts')
  const sleeping = tests.filter(({ path, text }) => {
    return path !== 'test/tidy.test.ts' && /\bsetTimeout\(\w+, ?\d{2,}|timers\/promises/.test(text)
  })
  t.same(
    sleeping.map(({ path }) => path),
    []
  )
  t.end()
})
