import t from 'tap'
import { runSteps } from '../../../test/support/task-harness.ts'

const LINE =
  '10.1.2.3 - frank [12/Jul/2019:12:57:59 +0900] "GET /a/b?c=d HTTP/1.1" 200 1234 "https://x.test/" "curl/8.0"'
const parse = (log: string, options: object = {}) =>
  runSteps([{ parse: { type: 'nginx', ...options } }], [{ log }], {
    spec: { timeField: { key: '@timestamp', precision: 0 } }
  }).documents[0]

t.test('a combined line: integers, and the time of the line as that of the record', (t) => {
  t.match(parse(LINE), {
    '@timestamp': '2019-07-12T03:57:59Z',
    remote: '10.1.2.3',
    user: 'frank',
    method: 'GET',
    path: '/a/b?c=d',
    code: 200,
    size: 1234,
    referer: 'https://x.test/',
    agent: 'curl/8.0'
  })
  t.notHas(parse(LINE), { log: String })
  t.notHas(parse(LINE), { time: String })
  t.equal(parse(LINE, { keep_time: true })?.['time'], '12/Jul/2019:12:57:59 +0900')
  t.end()
})

t.test('S33 IPv6, escaped quotes, a broken request, a size of "-", the short common form', (t) => {
  t.match(parse(LINE.replace('10.1.2.3', '2001:db8::1')), { remote: '2001:db8::1' })
  t.match(parse(LINE.replace('curl/8.0', 'a \\"b\\" c')), { agent: 'a \\"b\\" c' })
  const broken = parse(
    LINE.replace('GET /a/b?c=d HTTP/1.1', '\\x16\\x03\\x01').replace('200', '400')
  )
  t.match(broken, { path: '\\x16\\x03\\x01', code: 400 })
  t.notHas(broken, { method: String })
  t.match(parse(LINE.replace(' 1234 ', ' - ')), { size: '-' })
  t.match(parse(LINE.replace(/ "https.*$/, '')), { code: 200, size: 1234 })
  t.end()
})

t.test('S35 a line that is cut short changes neither record nor time', (t) => {
  const cut = LINE.slice(0, 60)
  t.strictSame(parse(cut), { '@timestamp': '2023-11-14T22:13:20Z', log: cut })
  const wrongTime = LINE.replace('Jul', 'Jux')
  t.strictSame(parse(wrongTime)?.['@timestamp'], '2023-11-14T22:13:20Z')
  t.end()
})

t.test('S34 numbers that are not canonical', (t) => {
  t.equal(parse(LINE.replace(' 200 ', ' 007 '))?.['code'], 7)
  t.equal(parse(LINE.replace(' 1234 ', ' 1234567890123456789 '))?.['size'], '1234567890123456789')
  t.end()
})
