import fc from 'fast-check'
import t from 'tap'
import * as codes from '../../src/kernel/codes.ts'
import type { RenderKernel } from '../../src/kernel/render-kernel.ts'
import { jsonOf, packText, packValue } from './support/record-twin.ts'
import { entryOf, groupOf, runGroups, runRecords, sharedKernel } from './support/render-fixture.ts'
import { record, step, type TwinStep, value } from './support/step-twin.ts'

const RUNS = Number(process.env['MILLRACE_FUZZ_RUNS'] ?? 1000)
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** JSON.parse over bytes that have to be UTF-8. */
function accepts(bytes: Uint8Array): boolean {
  try {
    const parsed: unknown = JSON.parse(decoder.decode(bytes))
    return parsed !== null && typeof parsed === 'object' && !Array.isArray(parsed)
  } catch {
    return false
  }
}

const SEEDS = [
  '{"a":1,"b":[true,false,null],"c":{"d":-1.5e+10,"e":"x\\u00e9\\n\\"\\\\\\/"}}',
  ' { "key" : "v\u00e9\ud83d\ude00\uac00" , "n" : [ 0 , -0 , 1E5 , 0.25 ] } ',
  '{"":{"":[[],{}]},"long text that spans more than sixteen bytes":"and another one, quite long, here"}'
]

/** One byte changed, removed, doubled or put in. */
const mutation = fc.record({
  seed: fc.constantFrom(...SEEDS),
  place: fc.nat(),
  kind: fc.constantFrom('change', 'remove', 'insert', 'double', 'cut'),
  byte: fc.oneof(
    fc.constantFrom(...Buffer.from('{}[]",:\\u0eE+-. \n\t\u0001')),
    fc.nat({ max: 255 })
  )
})

function mutated({
  seed,
  place,
  kind,
  byte
}: {
  seed: string
  place: number
  kind: string
  byte: number
}): Buffer {
  const bytes = Buffer.from(seed)
  const at = place % bytes.length
  const [before, after] = [bytes.subarray(0, at), bytes.subarray(at + 1)]
  if (kind === 'change') return Buffer.concat([before, Buffer.from([byte]), after])
  if (kind === 'remove') return Buffer.concat([before, after])
  if (kind === 'insert') return Buffer.concat([before, Buffer.from([byte]), bytes.subarray(at)])
  if (kind === 'cut') return Buffer.from(before)
  return Buffer.concat([before, bytes.subarray(at, at + 1), bytes.subarray(at)])
}

/** Parses texts as JSON in one frame; per text the record that came out, or null. */
function spliced(texts: readonly Uint8Array[]): readonly (string | null)[] {
  const entries = texts.map((text) =>
    entryOf(Buffer.concat([Buffer.from([0x81, 0xa3]), Buffer.from('log'), packText(text)]))
  )
  const result = runGroups([groupOf(entries)], {
    write: (writer) => writer.parseJson(writer.key('log'), { failure: codes.FAILURE_DROP })
  })
  let row = 0
  return result.verdicts.flatMap(({ fate, count }) =>
    Array.from({ length: count }, () => (fate === 'out' ? (result.lines[row++] ?? '') : null))
  )
}

t.test('S38 the texts that are taken are those of JSON.parse, and mean the same', async (t) => {
  fc.assert(
    fc.property(fc.array(mutation, { minLength: 20, maxLength: 20 }), (mutations) => {
      const texts = mutations.map(mutated)
      for (const [index, line] of spliced(texts).entries()) {
        const text = texts[index] ?? Buffer.alloc(0)
        if ((line !== null) !== accepts(text))
          throw new Error(`${text.toString('latin1')} gave ${line}`)
        if (line === null) continue
        if (line.indexOf('\n') !== line.length - 1) throw new Error(`${line} is more than a line`)
        const expected: unknown = JSON.parse(decoder.decode(text))
        if (JSON.stringify(JSON.parse(line)) !== JSON.stringify(expected)) throw new Error(line)
      }
    }),
    { numRuns: RUNS, includeErrorInReport: true }
  )
  for (const seed of SEEDS) {
    const bytes = Buffer.from(seed)
    const cuts = Array.from({ length: bytes.length }, (_, n) => bytes.subarray(0, n))
    t.ok(spliced(cuts).every((line, n) => (line !== null) === accepts(bytes.subarray(0, n))))
    t.not(spliced([bytes])[0], null)
  }
})

t.test('S01 20,000 random documents equal JSON.stringify, as lines and as events', async (t) => {
  const documents = fc.sample(record, 20_000)
  for (let start = 0; start < documents.length; start += 2000) {
    const part = documents.slice(start, start + 2000)
    const group = groupOf(part.map((each, index) => entryOf(packValue(each, index % 5))))
    const expected = part.map(jsonOf)
    const lines = runGroups([group]).lines
    const events = runGroups([group], { layout: { framing: 'log_events' } }).lines
    if (lines.join('') !== `${expected.join('\n')}\n`)
      t.same(
        lines,
        expected.map((each) => `${each}\n`)
      )
    const messages = events.map((line) => JSON.parse(line.slice(0, -1)).message)
    if (messages.join('\n') !== expected.join('\n')) t.same(messages, expected)
  }
  t.pass()
})

/** Fills what a run must leave alone, and tells whether it did. */
function guarded(
  kernel: RenderKernel,
  outputBytesMax: number,
  payload: Uint8Array,
  run: () => void
): boolean {
  const guard = kernel.output.subarray(outputBytesMax + 64, outputBytesMax + 4096)
  guard.fill(0xa5)
  run()
  const isInputSame = Buffer.compare(kernel.input.subarray(0, payload.length), payload) === 0
  return isInputSame && guard.every((byte) => byte === 0xa5)
}

const smallStep: fc.Arbitrary<readonly TwinStep[]> = fc.array(step, { maxLength: 4 })

t.test('any bytes under any program end within bounds', async (t) => {
  const kernel = sharedKernel()
  const broken = fc.record({
    entry: fc.oneof(
      fc.uint8Array({ maxLength: 60 }).map((bytes) => Buffer.from(bytes)),
      fc.tuple(value, fc.nat(), fc.nat({ max: 255 })).map(([each, place, byte]) => {
        const bytes = entryOf(
          packValue(
            new Map([
              ['a', each],
              ['log', '{"a":1}']
            ])
          )
        )
        bytes[place % bytes.length] = byte
        return bytes
      })
    ),
    form: fc.constantFrom(1 as const, 2 as const)
  })
  fc.assert(
    fc.property(
      fc.array(broken, { maxLength: 4 }),
      smallStep,
      fc.integer({ min: 200, max: 6000 }),
      (list, steps, outputBytesMax) => {
        const groups = list.map(({ entry, form }) => groupOf([entry], { form }))
        const payload = Buffer.concat(groups)
        const isSafe = guarded(kernel, outputBytesMax, payload, () => {
          const result = runGroups(groups, {
            outputBytesMax,
            write: (writer) => {
              for (const each of steps) each.write(writer)
            },
            leaveJs: () => ({ kind: 'changes', json: '{"a":"x"}' })
          })
          for (const line of result.lines) {
            if (line.indexOf('\n') !== line.length - 1)
              throw new Error(`${line} is more than a line`)
            JSON.parse(line)
          }
          if (kernel.outputByteCount > outputBytesMax) throw new Error('the output was overrun')
        })
        if (!isSafe) throw new Error('bytes outside were written')
      }
    ),
    { numRuns: RUNS * 2, includeErrorInReport: true }
  )
  t.pass()
})

t.test('any bytes as text render to one line of JSON', async (t) => {
  fc.assert(
    fc.property(
      fc.array(fc.uint8Array({ maxLength: 80 }), { minLength: 1, maxLength: 10 }),
      (texts) => {
        const entries = texts.map((text) =>
          entryOf(Buffer.concat([Buffer.from([0x81]), packText(text), packText(text, 3)]))
        )
        for (const framing of ['ndjson', 'log_events'] as const) {
          const result = runGroups([groupOf(entries)], { layout: { framing } })
          for (const [index, line] of result.lines.entries()) {
            const text = framing === 'ndjson' ? line : String(JSON.parse(line.slice(0, -1)).message)
            const [pair] = Object.entries(JSON.parse(text))
            const plain = new TextDecoder('utf-8', { ignoreBOM: true }).decode(texts[index])
            const isSame = (one: unknown) =>
              String(one).replaceAll(/\ufffd+/g, '\ufffd') ===
              plain.replaceAll(/\ufffd+/g, '\ufffd')
            if (!pair?.every(isSame)) throw new Error(`${text} instead of ${plain}`)
          }
        }
      }
    ),
    { numRuns: RUNS, includeErrorInReport: true }
  )
  t.pass()
})

t.test('records of megabytes and of thousands of keys keep within their areas', async (t) => {
  const many = Object.fromEntries(Array.from({ length: 200_000 }, (_, index) => [`key${index}`, 1]))
  t.equal(runRecords([many]).lines[0], `${JSON.stringify(many)}\n`)
  const controls = { log: '\u0001'.repeat(3 * 2 ** 20) }
  const layout = { recordBytesMax: 2 ** 26 }
  t.equal(runRecords([controls], { layout }).lines[0]?.length, 6 * 3 * 2 ** 20 + 11)
  const wide = { log: `{"a":"${'\\u00e9'.repeat(2 ** 20)}"}` }
  const result = runRecords([wide], {
    write: (writer) => {
      writer.parseJson(writer.key('log'), {})
      writer.setText(writer.key('b'), [
        { kind: 'text', text: 'x' },
        { kind: 'record', path: ['a'], fallback: null }
      ])
    }
  })
  t.equal(JSON.parse(result.lines[0] ?? '{}').b?.length, 2 ** 20 + 1)
})
