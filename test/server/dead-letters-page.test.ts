// The page about dead letters: every command on it is run, in its order, and prints what the page says but for ids, times
// and sizes.

import { readFileSync } from 'node:fs'
import t from 'tap'
import { command } from '../support/command-line.ts'
import { settledAt, setUp } from '../support/letter-router.ts'

const PAGE = new URL('../../docs/dead-letters.md', import.meta.url)

/** What differs from run to run. */
const plain = (text: string): string =>
  text
    .replaceAll(/\b[\w-]{24}(?= )/g, '<id>')
    .replaceAll(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, '<time>')
    .replaceAll(/ +[\d.]+(?:B|KiB)/g, ' <size>')
    .replaceAll(/DISK +/g, 'DISK ')
    .trim()

t.test('every command of the page about dead letters prints what the page says', async (t) => {
  const { post, search, start } = await setUp(t)
  const router = await start()
  search.itemFaults({
    status: 400,
    type: 'mapper_parsing_exception',
    reason: 'failed to parse',
    contains: 'bad'
  })
  await post('app.web', [{ log: 'bad one' }])
  await settledAt(router, 1)
  await post('app.web', [{ log: 'bad two' }])
  await settledAt(router, 2)
  await post('other', [{ log: 'where to?' }])
  search.itemFaults()
  const blocks = [
    ...readFileSync(PAGE, 'utf8').matchAll(/^ {4}\$ millrace (.*)\n((?: {4}.*\n)*)/gm)
  ]
  t.ok(blocks.length >= 8)
  for (const [, line = '', shown = ''] of blocks) {
    const words = [...line.matchAll(/"([^"]*)"|(\S+)/g)].map(([, quoted, word]) => quoted ?? word)
    const all = [...words.map(String), '--admin', router.adminUrl]
    const { error, out } = await command(all)
    t.equal(plain(`${out}${error}`), plain(shown.replaceAll(/^ {4}/gm, '')), line)
  }
  t.equal(await router.stop(), 0)
})
