// Every command of docs/http.md does what the page says.

import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { promisify } from 'node:util'
import t from 'tap'
import { httpHost } from '../../../test/support/http-host.ts'

const PAGE = new URL('../../../docs/http.md', import.meta.url)
const run = promisify(execFile)

t.test('every command of the page about HTTP prints what the page says', async (t) => {
  try {
    await run('curl', ['--version'])
  } catch {
    t.comment('skipped: needs curl')
    return
  }
  const elasticsearch = { enabled: true, version: '8.0.0', tag: null }
  const { host, url } = await httpHost(t, { elasticsearch })
  const blocks = readFileSync(PAGE, 'utf8').matchAll(/^```console\n([\s\S]*?)^```$/gm)
  let count = 0
  for (const [, block = ''] of blocks) {
    for (const part of block.split(/^\$ /m).slice(1)) {
      const [line = '', ...shown] = part.split('\n')
      const command = line.replaceAll('http://127.0.0.1:9880', url)
      const { stdout } = await run('sh', ['-c', command])
      t.equal(stdout.trimEnd(), shown.join('\n').trimEnd(), line)
      count++
    }
  }
  t.ok(count >= 9, `${count} commands`)
  t.same(
    host.records().map(({ tag, record }) => `${tag} ${JSON.stringify(record)}`),
    [
      'app.access {"message":"hello"}',
      'app.lines {"n":1}',
      'app.lines {"n":2}',
      'app {"n":3}',
      'app {"n":4}',
      'app {"n":5}',
      'app {"n":6}',
      'otlp.shop {"severity_text":"INFO","resource":{"attributes":{"service.name":"shop"}},"log":"hello"}'
    ]
  )
})
