// Each file test/transcripts/config-*.txt is a story: configuration files and an environment in, findings out, exact to
// the character. UPDATE=1 writes what came out; the diff is then reviewed.

import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { formatFinding } from '../../src/config/findings.ts'
import { loadConfig } from '../../src/config/load.ts'
import { validateConfig } from '../../src/config/validate.ts'
import { sampleRegistry } from '../support/sample-plugins.ts'

const FOLDER = join(import.meta.dirname, '../transcripts')

interface Section {
  readonly title: string
  readonly text: string
}

/** Sections start with `=== title`; a title is `env NAME=value`, `file NAME` or `findings`. */
function sectionsOf(text: string): { header: string; sections: Section[] } {
  const [header = '', ...rest] = text.split(/^=== /m)
  const sections = rest.map((part) => {
    const end = part.indexOf('\n')
    return { title: part.slice(0, end), text: part.slice(end + 1) }
  })
  return { header, sections }
}

/** Step names that the sample registry does not know are the business of the step checker; this one stands for it. */
const checkSteps = (steps: readonly unknown[]) =>
  steps.flatMap((step, index) => {
    const keys = Object.keys(Object(step))
    return keys.length === 1 ? [] : [{ path: [index], message: 'a step is one key' }]
  })

function findingsOf(sections: readonly Section[], directory: string): string {
  const environment: Record<string, string> = {}
  const files: string[] = []
  for (const { title, text } of sections) {
    const [kind, name = ''] = title.split(' ')
    if (kind === 'file') {
      writeFileSync(join(directory, name), text)
      if (name.endsWith('.yaml')) files.push(name)
    }
    const [variable = '', value = ''] = name.split('=')
    if (kind === 'env') environment[variable] = value
  }
  const loaded = loadConfig({ files, directory: null, environment, workingDirectory: directory })
  const { findings, config } = validateConfig(loaded, {
    registry: sampleRegistry,
    checkSteps,
    coreCount: 8,
    workingDirectory: directory
  })
  const lines = findings.map((finding) => `${formatFinding(finding)}\n`)
  return `${lines.join('')}${config === null ? 'refused' : 'accepted'}\n`
}

const names = readdirSync(FOLDER).filter((name) => /^config-.*\.txt$/.test(name))
t.ok(names.length > 0, 'there are transcripts')

for (const name of names.toSorted()) {
  t.test(`findings of ${name} are as written`, (t) => {
    const path = join(FOLDER, name)
    const { header, sections } = sectionsOf(readFileSync(path, 'utf8'))
    const given = sections.filter((section) => section.title !== 'findings')
    const expected = sections.find((section) => section.title === 'findings')?.text
    const actual = findingsOf(given, t.testdir())
    if (process.env['UPDATE'] === '1') {
      const text = given.map((section) => `=== ${section.title}\n${section.text}`).join('')
      writeFileSync(path, `${header}${text}=== findings\n${actual}`)
    } else t.equal(actual, expected)
    t.end()
  })
}
