// The documentation says what the code does: generated pages are current, every code is documented, every example holds.

import { existsSync, globSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { parseAllDocuments } from 'yaml'
import { folderOf, generatedFiles } from '../docs/generate.ts'
import { BUILT_INS } from '../plugins/index.ts'
import { findingLines, readConfig } from '../src/cli/config-source.ts'
import { DEFAULT_CONFIG_NAME } from '../src/config/default-config.ts'
import { ERROR_CODES } from '../src/core/errors.ts'
import { command } from './support/command-line.ts'
import { filesOf, ROOT } from './support/source-tree.ts'
import { damageFrame, writeStoredQueue } from './support/stored-queue.ts'

t.test('generated pages are current; npm run docs writes them', (t) => {
  for (const [path, text] of generatedFiles()) {
    const file = join(ROOT, path)
    t.equal(existsSync(file) ? readFileSync(file, 'utf8') : '', text, path)
  }
  t.end()
})

t.test('every error code has its paragraph, and no paragraph is about anything else', (t) => {
  const text = readFileSync(join(ROOT, 'docs/reference/errors.md'), 'utf8')
  const sections = text.split(/^### /m).slice(1)
  const documented = sections.map((section) => section.slice(0, section.indexOf('\n')))
  t.same(documented.toSorted(), [...ERROR_CODES].toSorted())
  for (const section of sections) {
    const [code = '', ...body] = section.split('\n')
    t.ok(body.join(' ').trim().length > 80, `${code} says what happened and what to do`)
  }
  t.end()
})

t.test('every built-in plugin has a page with a hand-written top', (t) => {
  for (const definition of BUILT_INS) {
    const path = `${folderOf(definition)}/README.md`
    t.ok(existsSync(join(ROOT, path)), path)
  }
  t.end()
})

t.test('every option has a description, and ends it with a full stop', (t) => {
  const wrong: string[] = []
  const walk = (node: unknown, path: string) => {
    const { properties = {} } = Object(node)
    for (const [name, below] of Object.entries(properties)) {
      const { description, const: constant } = Object(below)
      const isSentence = typeof description === 'string' && /[.:]$/.test(description)
      if (!isSentence && constant === undefined) wrong.push(`${path}.${name}`)
      walk(below, `${path}.${name}`)
    }
  }
  for (const { kind, type, config } of BUILT_INS) walk(config, `${kind} ${type}`)
  t.same(wrong, [])
  t.end()
})

/** Places of a page that stand as text: not in blocks of code. */
const proseOf = (page: string): string =>
  readFileSync(join(ROOT, page), 'utf8').replaceAll(/^```[\s\S]*?^```$/gm, '')

t.test('every path that the architecture names in backticks is there', (t) => {
  const names = [...proseOf('docs/ARCHITECTURE.md').matchAll(/`([^`\s]+\/[^`\s]*)`/g)]
  const paths = names.map(([, name = '']) => name)
  t.ok(paths.length > 20, 'there are paths')
  const missing = paths.filter((path) => globSync(path, { cwd: ROOT }).length === 0)
  t.same(missing, [])
  t.end()
})

t.test('every relative link of the pages at the top and about clients leads to a file', (t) => {
  for (const page of [
    'README.md',
    'CONTRIBUTING.md',
    ...globSync('docs/clients/*.md', { cwd: ROOT })
  ]) {
    const links = [...proseOf(page).matchAll(/\]\(([^)#\s]+)[^)]*\)/g)].map(([, link = '']) => link)
    const folder = join(ROOT, page, '..')
    const missing = links.filter(
      (link) => !/^[a-z]+:/.test(link) && !existsSync(join(folder, link))
    )
    t.same(missing, [], page)
  }
  t.end()
})

t.test('every path that CONTRIBUTING.md names in backticks is there', (t) => {
  const names = [...proseOf('CONTRIBUTING.md').matchAll(/`([^`\s<]+\/[^`\s<]*)`/g)]
  const missing = names.filter(([, name = '']) => globSync(name, { cwd: ROOT }).length === 0)
  t.same(
    missing.map(([, name]) => name),
    []
  )
  t.end()
})

t.test('the commands that the top pages tell to run are scripts of the package', (t) => {
  const { scripts } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'))
  for (const page of ['README.md', 'CONTRIBUTING.md']) {
    const text = readFileSync(join(ROOT, page), 'utf8')
    const called = [...text.matchAll(/\bnpm (?:run ([a-z:]+)|(start|test)\b)/g)]
    t.ok(called.length > 0, page)
    const unknown = called.map(([, run, own]) => run ?? own).filter((name) => !scripts[name ?? ''])
    t.same(unknown, [], page)
  }
  t.end()
})

const io = (workingDirectory: string) => ({
  environment: {},
  workingDirectory,
  out: () => {},
  error: () => {},
  write: async () => true
})

/** Findings of a configuration text, by the checks that users run. */
function findingsOf(text: string, directory: string): string {
  mkdirSync(directory, { recursive: true })
  writeFileSync(join(directory, 'example.yaml'), text)
  const { config, findings } = readConfig(['example.yaml'], { config: [] }, io(directory))
  return config === null ? findingLines(findings) : ''
}

t.test('the built-in configuration is valid', (t) => {
  const { config, findings, files } = readConfig([], { config: [] }, io(t.testdir()))
  t.same(files, [DEFAULT_CONFIG_NAME])
  t.equal(findingLines(findings), '')
  t.not(config, null)
  t.end()
})

t.test('the examples in deploy/examples are valid without a warning', (t) => {
  const examples = filesOf('deploy/examples/*.yaml')
  t.ok(examples.length >= 4)
  for (const { path } of examples) {
    const { config, findings } = readConfig([path], { config: [] }, io(ROOT))
    t.equal(findingLines(findings), '', path)
    t.not(config, null, path)
  }
  t.end()
})

/** Runs the commands of a page in the order of the page. */
async function runsAsShown(t: Test, page: string, folder: string): Promise<number> {
  const text = readFileSync(join(ROOT, page), 'utf8')
  const blocks = [...text.matchAll(/^```console\n([\s\S]*?)^```$/gm)]
  for (const [, block = ''] of blocks) {
    const [line = '', ...shown] = block.split('\n')
    const words = line.replace(/^\$ millrace /, '').split(' ')
    const { error, out } = await command(words, { workingDirectory: folder })
    t.equal(`${out}${error}`, shown.join('\n'), line)
  }
  return blocks.length
}

t.test('every command of the page about the queue prints what the page says', async (t) => {
  const folder = t.testdir()
  await writeStoredQueue(join(folder, 'data'))
  await writeStoredQueue(join(folder, 'damaged'), damageFrame)
  t.ok((await runsAsShown(t, 'docs/queue.md', folder)) >= 9)
})

t.test('every command of the page about operations prints what the page says', async (t) => {
  const config = `
version: 1
data_dir: ./imported
threads: {ingest: 1}
inputs: {load: {type: forward, listen: "tcp://127.0.0.1:24224"}}
routes: {site: {match: "**", to: [trash]}}
outputs: {trash: {type: "null"}}
`
  const folder = t.testdir({ 'millrace.yaml': config })
  await writeStoredQueue(join(folder, 'data'))
  await writeStoredQueue(join(folder, 'gone'))
  t.ok((await runsAsShown(t, 'docs/operations.md', folder)) >= 7)
  // What was imported is what was exported.
  const dump = (directory: string, route: string) =>
    command(['queue', 'dump', route, '--data-dir', directory], { workingDirectory: folder })
  const records = ({ out }: { out: string }) =>
    out
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line))
      .map(({ event_time, record, source, tag }) => ({ event_time, record, source, tag }))
  const imported = await dump('imported', 'site')
  t.same(records(imported), records(await dump('gone', 'web')))
  t.match(imported.out.split('\n')[0], /"offset":0,/)
})

t.test(
  'every YAML block of the documentation is YAML, and every whole file in it is valid',
  (t) => {
    const pages = filesOf('*.md', 'docs/**/*.md', 'plugins/**/*.md', 'deploy/**/*.md')
    const directory = t.testdir()
    let fileCount = 0
    for (const { path, text } of pages) {
      for (const [, block = ''] of text.matchAll(/^```ya?ml\n([\s\S]*?)^```$/gm)) {
        const errors = parseAllDocuments(block).flatMap((document) => document.errors ?? [])
        t.same(errors, [], `${path} holds YAML`)
        if (!/^version: 1$/m.test(block)) continue
        fileCount++
        t.equal(findingsOf(block, directory), '', `${path}\n${block}`)
      }
    }
    t.ok(fileCount > 0, 'there are whole files')
    t.end()
  }
)

t.test('every case that the page about reliability names is a test of that file', (t) => {
  const rows = readFileSync(join(ROOT, 'docs/reliability.md'), 'utf8').matchAll(
    /^\| (Q\d\d) \|[^|]*\| ([^|]+) \|$/gm
  )
  let count = 0
  for (const [, number = '', files = ''] of rows) {
    for (const [, file = ''] of files.matchAll(/`([^`]+)`/g)) {
      count++
      t.match(readFileSync(join(ROOT, file), 'utf8'), number, `${number} in ${file}`)
    }
  }
  t.ok(count > 50, `${count} places`)
  t.end()
})
