import t from 'tap'
import { MillraceError } from '../../src/core/errors.ts'
import {
  compileTemplate,
  constantText,
  type TemplateUse,
  templateEvaluator
} from '../../src/core/template.ts'

const CONSTANTS = { hostname: 'web-1', uuid: 'u-u', dataDir: '/data' }

const RECORD: Record<string, string> = { a: '1', 'b.c': '2', 'x.y|z|0': '3' }

const VALUES = {
  tag: 'docker.web.nginx.1',
  time: { seconds: Date.UTC(2026, 10, 5, 3, 4, 6) / 1000, nanoseconds: 123_456_789 },
  sourceAddress: '10.0.0.1',
  positionId: 'AAAA',
  record: (path: readonly (string | number)[]) => RECORD[path.join('|')] ?? RECORD[path.join('.')],
  meta: (key: string) => (key === 'stream' ? 'out' : undefined)
}

const evaluate = (source: string) => templateEvaluator(compileTemplate(source, CONSTANTS))(VALUES)

/** Template, text, placeholders without a value. */
const CASES: [string, string, number][] = [
  ['plain', 'plain', 0],
  ['', '', 0],
  ['${record.a}', '1', 0],
  ['${record.b.c}', '2', 0],
  ['${record["b"]["c"]}', '2', 0],
  ["${record['b'].c}", '2', 0],
  ['${record["x.y"].z[0]}', '3', 0],
  ['${record.none}', '', 1],
  ['${record.none:-text}', 'text', 0],
  ['${record.none:-}', '', 0],
  ['${record.a:-text}', '1', 0],
  ['<${record.none}${record.none2}>', '<>', 2],
  ['${tag}', 'docker.web.nginx.1', 0],
  ['${tag_parts[0]}-${tag_parts[-1]}', 'docker-1', 0],
  ['${tag_parts[1:]}', 'web.nginx.1', 0],
  ['${tag_parts[1:-1]}', 'web.nginx', 0],
  ['${tag_parts[:2]}', 'docker.web', 0],
  ['${tag_parts[9]}${tag_parts[9:]}', '', 2],
  ['${tag_prefix[0]}/${tag_prefix[1]}', 'docker/docker.web', 0],
  ['${tag_suffix[0]}/${tag_suffix[2]}', 'docker.web.nginx.1/nginx.1', 0],
  ['${time:%Y.%m.%d}', '2026.11.05', 0],
  ['${hostname}-${uuid}-${data_dir}', 'web-1-u-u-/data', 0],
  ['${meta["stream"]}${meta.stream}${meta.none:-none}', 'outoutnone', 0],
  ['${meta.none}', '', 1],
  ['${source.address} ${position}', '10.0.0.1 AAAA', 0],
  ['$${record.a}', '${record.a}', 0],
  ['$ $a 5$', '$ $a 5$', 0],
  ['${record["}"]:-brace}', 'brace', 0]
]

for (const [source, text, missingCount] of CASES) {
  t.test(`template ${source} gives "${text}"`, (t) => {
    t.same(evaluate(source), { text, missingCount })
    t.end()
  })
}

/** Template, fault, hint. */
const FAULTS: [string, RegExp, RegExp][] = [
  ['$(tag)', /another product/, /write \$\{tag\}/],
  ['$(tag[2])', /another product/, /write \$\{tag_parts\[2\]\}/],
  ["$(kubernetes['pod'])", /another product/, /write \$\{record\.kubernetes\.pod\}/],
  ['logs-%Y%m', /"%Y"/, /\$\{time:%Y\}/],
  ['${tag[1]}', /name of their own/, /\$\{tag_parts\[1\]\}/],
  ['${tags}', /not a scope/, /did you mean tag\?/],
  ['${kubernetes.pod}', /not a scope/, /\$\{record\.kubernetes\.pod\}/],
  ['${hostname.x}', /nothing behind/, /\$\{hostname\}/],
  ['${ecs.task_id}', /field of the record/, /\$\{record\.ecs_task_id\}/],
  ['${time}', /needs a format/, /time:/],
  ['${time:}', /needs a format/, /time:/],
  ['${time:%q}', /uses %q/, /undefined/],
  ['${record}', /not a path/, /record\.a\.b/],
  ['${record[0]}', /not a path/, /record\.a\.b/],
  ['${record.a:x}', /not a path/, /":-"/],
  ['${record.a..b}', /not a path/, /record\.a\.b/],
  ['${meta.a.b}', /one key/, /meta\["key"\]/],
  ['${tag_parts}', /not parts/, /tag_parts\[0\]/],
  ['${tag_parts[-]}', /not parts/, /tag_parts\[0\]/],
  ['${tag_prefix[-1]}', /number from 0/, /tag_prefix\[1\]/],
  ['${a', /without "\}"/, /\$\$\{/],
  ['${}', /not a scope/, /record/]
]

for (const [source, message, hint] of FAULTS) {
  t.test(`template ${source} is refused with the native form`, (t) => {
    try {
      compileTemplate(source, CONSTANTS)
      t.fail('accepted')
    } catch (error) {
      if (!(error instanceof MillraceError)) throw error
      t.equal(error.code, 'MR_CONFIG_TEMPLATE')
      t.match(error.message, message)
      t.match(String(error.details['hint']), hint)
    }
    t.end()
  })
}

t.test('where text is meant, foreign forms are text', (t) => {
  const use: TemplateUse = 'text'
  const template = compileTemplate('100%d $(x) ${record.a}', CONSTANTS, use)
  t.equal(templateEvaluator(template)(VALUES).text, '100%d $(x) 1')
  t.end()
})

t.test('a template without placeholders of records is a constant', (t) => {
  t.equal(constantText(compileTemplate('a-${hostname}-$${', CONSTANTS)), 'a-web-1-${')
  t.equal(constantText(compileTemplate('', CONSTANTS)), '')
  t.equal(constantText(compileTemplate('${tag}', CONSTANTS)), null)
  t.equal(constantText(compileTemplate('a${tag}', CONSTANTS)), null)
  t.end()
})

t.test('a compiled template crosses to threads', (t) => {
  const template = compileTemplate('${record.a:-x}${time:%Y}${tag_parts[1:-1]}', CONSTANTS)
  t.same(structuredClone(template), template)
  t.end()
})
