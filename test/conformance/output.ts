// What every output has to keep, whatever it sends to: plugin/output.ts as tests.

import type { Test } from 'tap'
import { BlockChecker } from '../../src/config/block.ts'
import type { Report } from '../../src/config/convert.ts'
import { placeTree } from '../../src/config/places.ts'
import { systemClock } from '../../src/core/clock.ts'
import type { OutputDefinition } from '../../src/plugin/define.ts'
import type { Batch, CreateRender, RenderHalf } from '../../src/plugin/output.ts'
import { outputContext, renderContext, verdictsOf } from '../support/output-batches.ts'
import { type PoolRecord, renderInPool } from '../support/pool-render.ts'

export interface Subject {
  /** Options as a user would write them. */
  readonly options: Readonly<Record<string, unknown>>
  /** Makes the destination hang: a flush then settles only by its signal. null: nothing can make it hang. */
  readonly hang: (() => void) | null
}

const RECORDS: PoolRecord[] = [
  { tag: 'docker.web', record: { log: 'hello', n: 1 } },
  { tag: 'docker.web', record: { log: 'say "hi"\n', n: 2 }, nanoseconds: 500_000_000 },
  { tag: 'docker.db', record: { log: '日本語', nested: { a: [1, null, true] } } }
]

const checker = new BlockChecker()

/** Options through the schema: defaults filled in, units converted; a fault is an error. */
export function configOf(
  definition: OutputDefinition,
  options: Readonly<Record<string, unknown>>
): Record<string, unknown> {
  const place = { file: 'test.yaml', line: 1, column: 1 }
  const report: Report = (code, path, message) => {
    throw new Error(`${code} ${path.join('.')} ${message}`)
  }
  const checked = checker.check(definition.config, options, [], placeTree(place, place), report)
  // A cast: the schema of a plugin describes an object.
  return checked.value as Record<string, unknown>
}

export async function loadRender(
  definition: OutputDefinition,
  config: Record<string, unknown>
): Promise<RenderHalf> {
  const module = await import(definition.renderModule.href)
  // A cast: the default export of a render module is a CreateRender.
  return (module.default as CreateRender<unknown>)(config, renderContext)
}

/** Handles that keep the process busy, by kind; what the tests themselves hold is in both counts. */
function handles(): Record<string, number> {
  const counts: Record<string, number> = {}
  for (const kind of process.getActiveResourcesInfo()) counts[kind] = (counts[kind] ?? 0) + 1
  return counts
}

export function outputConformance(
  t: Test,
  definition: OutputDefinition,
  subject: (t: Test) => Promise<Subject>
): void {
  const setUp = async (test: Test) => {
    const { options, hang } = await subject(test)
    const config = configOf(definition, options)
    const output = definition.create(config, outputContext(systemClock))
    test.teardown(() => output.stop())
    const half = await loadRender(definition, config)
    return { config, output, half, hang }
  }

  t.test('the schema says what each option means and refuses unknown ones', async (t) => {
    const { properties, additionalProperties } = definition.config as {
      properties: Record<string, { description?: string }>
      additionalProperties?: unknown
    }
    for (const [name, { description }] of Object.entries(properties)) {
      t.match(description, /^[A-Z`].*\.$/s, `${name} has a sentence`)
    }
    t.equal(additionalProperties, false)
    t.match(definition.summary, /^[A-Z].*\.$/)
    const { options } = await subject(t)
    t.throws(() => configOf(definition, { ...options, no_such_option: 1 }), /MR_CONFIG_UNKNOWN_KEY/)
  })

  t.test('the sizes fit each other', async (t) => {
    const { config } = await setUp(t)
    const sizes = definition.sizes(config)
    t.ok(sizes.bodyBytesMax >= 64 * 1024)
    t.ok(sizes.requestsMax >= 1 && sizes.requestsMax <= 64)
    t.ok(sizes.slotExtraBytes >= 0)
    t.ok(sizes.flushTimeoutMs > 0)
    t.ok(sizes.lingerMs >= 0)
  })

  t.test('the render half is pure', async (t) => {
    const { half } = await setUp(t)
    const text = () =>
      renderInPool(half, RECORDS).batches.map(({ target, body }) => [
        target,
        body.toString('latin1')
      ])
    t.strictSame(text(), text())
    t.ok(text().length > 0)
  })

  t.test('create does no I/O and leaves no handle', async (t) => {
    const { options } = await subject(t)
    const before = handles()
    definition.create(configOf(definition, options), outputContext(systemClock))
    t.strictSame(handles(), before)
  })

  t.test('records from the kernel are stored, and every row has its verdict', async (t) => {
    const { output, half } = await setUp(t)
    await output.start(new AbortController().signal)
    const { batches, result } = renderInPool(half, RECORDS)
    t.equal(result.rowCount, RECORDS.length)
    for (const batch of batches) {
      const outcome = await output.flush(batch, AbortSignal.timeout(10_000))
      const verdicts = verdictsOf(outcome, batch.rowCount)
      t.equal(verdicts.length, batch.rowCount)
      t.ok(
        verdicts.every(({ kind }) => kind === 'stored'),
        JSON.stringify(outcome)
      )
    }
  })

  t.test('flushes run side by side', async (t) => {
    const { config, output, half } = await setUp(t)
    await output.start(new AbortController().signal)
    const { requestsMax } = definition.sizes(config)
    const runs = Array.from({ length: requestsMax }, () => renderInPool(half, RECORDS.slice(0, 1)))
    const outcomes = await Promise.all(
      runs.flatMap(({ batches }) =>
        batches.map((batch) => output.flush(batch, AbortSignal.timeout(10_000)))
      )
    )
    t.ok(
      outcomes.every((outcome) => outcome.kind !== 'split'),
      JSON.stringify(outcomes)
    )
  })

  t.test('a flush whose signal has aborted changes nothing and stays to be repeated', async (t) => {
    const { output, half } = await setUp(t)
    await output.start(new AbortController().signal)
    const { batches } = renderInPool(half, RECORDS)
    const outcome = await output.flush(batches[0] as Batch, AbortSignal.abort())
    t.match(outcome, { kind: 'all', verdict: { kind: 'retry' } })
  })

  t.test('a flush settles when its signal aborts', async (t) => {
    const { output, half, hang } = await setUp(t)
    if (hang === null) {
      t.pass('nothing hangs')
      return
    }
    await output.start(new AbortController().signal)
    hang()
    const abort = new AbortController()
    const { batches } = renderInPool(half, RECORDS)
    const flush = output.flush(batches[0] as Batch, abort.signal)
    await new Promise((resolve) => setImmediate(resolve))
    abort.abort()
    t.match(await flush, { kind: 'all', verdict: { kind: 'retry' } })
  })

  t.test('stop is safe before start, twice, and during a flush; nothing outlives it', async (t) => {
    const { output, half, hang } = await setUp(t)
    const opened = handles()
    await output.stop()
    await output.start(new AbortController().signal)
    hang?.()
    const { batches } = renderInPool(half, RECORDS)
    const flush = output.flush(batches[0] as Batch, AbortSignal.timeout(10_000))
    await new Promise((resolve) => setImmediate(resolve))
    await Promise.all([output.stop(), output.stop()])
    const outcome = await flush
    t.ok(outcome.kind === 'all' && ['retry', 'stored'].includes(outcome.verdict.kind))
    t.match(await output.flush(batches[0] as Batch, AbortSignal.timeout(10_000)), {
      kind: 'all',
      verdict: { kind: 'retry' }
    })
    await sameHandles(opened)
  })

  t.test('an output that was stopped starts again', async (t) => {
    const { output, half } = await setUp(t)
    await output.start(new AbortController().signal)
    await output.stop()
    await output.start(new AbortController().signal)
    const { batches } = renderInPool(half, RECORDS)
    const outcome = await output.flush(batches[0] as Batch, AbortSignal.timeout(10_000))
    t.match(outcome, { kind: 'all', verdict: { kind: 'stored' } })
  })
}

/** Sockets close a turn or more after they are destroyed; a handle that stays makes the test run into its limit. */
async function sameHandles(expected: Record<string, number>): Promise<void> {
  const ours = (counts: Record<string, number>) =>
    (counts['TCPSocketWrap'] ?? 0) + (counts['FSReqPromise'] ?? 0) + (counts['PipeWrap'] ?? 0)
  while (ours(handles()) > ours(expected)) await new Promise((resolve) => setImmediate(resolve))
}
