import fc from 'fast-check'
import t from 'tap'
import { jsonOf, packValue, type RecordMap } from './support/record-twin.ts'
import { entryOf, groupOf, runGroups } from './support/render-fixture.ts'
import { type Outcome, record, step, type TwinStep } from './support/step-twin.ts'

const RUNS = Number(process.env['MILLRACE_FUZZ_RUNS'] ?? 1500)

function twin(start: RecordMap, steps: readonly TwinStep[]): Outcome {
  let current: Outcome = start
  for (const each of steps) {
    if (!(current instanceof Map)) return current
    current = each.apply(current)
  }
  return current
}

t.test('kernel and plain objects agree on random records and programs', async (t) => {
  fc.assert(
    fc.property(
      fc.array(record, { minLength: 1, maxLength: 3 }),
      fc.array(step, { maxLength: 5 }),
      fc.integer({ min: 0, max: 4 }),
      (records, steps, width) => {
        // One answer per program: the first JavaScript step's.
        const scripts = steps.filter(({ answer }) => answer !== undefined)
        const used =
          scripts.length > 1
            ? steps.filter((each) => each.answer === undefined || each === scripts[0])
            : steps
        const entries = records.map((each) => entryOf(packValue(each, width)))
        const result = runGroups([groupOf(entries)], {
          write: (writer) => {
            used.forEach((each, index) => {
              writer.step = index + 1
              each.write(writer)
            })
          },
          leaveJs: (_stage, json) => ({ kind: 'changes', json: scripts[0]?.answer?.(json) ?? '{}' })
        })
        const fates = records.map((each) => twin(each, used))
        const lines = fates.filter((fate) => fate instanceof Map).map((fate) => `${jsonOf(fate)}\n`)
        const names = fates.map((fate) => (fate instanceof Map ? 'out' : fate))
        const kernelNames = result.verdicts.flatMap(({ fate, count }) =>
          Array<string>(count).fill(fate)
        )
        if (result.stop !== 'end') throw new Error(`stopped with ${result.stop}`)
        if (JSON.stringify(result.lines) !== JSON.stringify(lines)) {
          throw new Error(
            `${used.map(({ name }) => name).join('\n')}\nkernel ${result.lines.join('')}\ntwin   ${lines.join('')}`
          )
        }
        if (kernelNames.join() !== names.join())
          throw new Error(`${kernelNames} instead of ${names}`)
      }
    ),
    { numRuns: RUNS, includeErrorInReport: true }
  )
  t.pass(`${RUNS} programs`)
})
