import t from 'tap'
import createNullRender from '../../plugins/outputs/null/render.ts'
import stepCompilers from '../../plugins/steps.ts'
import { sharedMemory } from '../../src/kernel/memory-copy.ts'
import { RenderKernel } from '../../src/kernel/render-kernel.ts'
import { definePlugin } from '../../src/plugin/step.ts'
import {
  createPoolRunner,
  type PoolEnvironment,
  type PoolSpec
} from '../../src/steps/pool-runner.ts'
import { FrameStore } from '../support/frame-store.ts'
import { packEntry } from '../support/msgpack-objects.ts'
import { CONSTANTS } from '../support/task-harness.ts'

const modules: Record<string, unknown> = {
  'file:///steps.ts': stepCompilers,
  'file:///render.ts': createNullRender,
  'file:///config/upper.ts': definePlugin({
    kind: 'step',
    reads: ['log'],
    writes: ['log'],
    run: ({ log }) => ({ log: String(log).toUpperCase() })
  })
}

const environment = (store: FrameStore): PoolEnvironment => ({
  importModule: (url) =>
    url in modules
      ? Promise.resolve({ default: modules[url] })
      : Promise.reject(new Error(`no ${url}`)),
  createKernel(imports) {
    const face = new RenderKernel({ imports })
    return { face, hash: face.hash }
  },
  files: store,
  clockMs: () => 0,
  deadlineMs: null
})

const spec = (steps: readonly unknown[], renderModule = 'file:///render.ts'): PoolSpec => ({
  generation: 1,
  constants: CONSTANTS,
  moduleBase: 'file:///config/',
  stepsModule: 'file:///steps.ts',
  store: { uuid: new Uint8Array(16), keys: null },
  destinations: [
    {
      key: 'route/output',
      route: 'route',
      steps,
      inputSteps: [],
      renderModule,
      outputConfig: { delay_ms: 0 },
      slotMemory: sharedMemory(1_000_000)
    }
  ]
})

t.test('plain data becomes a runner: modules are loaded by URL, steps compiled', async (t) => {
  const store = new FrameStore()
  store.append([{ entries: [packEntry({ log: 'hello' })] }], 1)
  const destination = spec([{ js: { module: './upper.ts' } }])
  const runner = await createPoolRunner(destination, environment(store))
  const result = runner.run(store.task())
  t.equal(result.rowCount, 1)
  const slot = Buffer.from(destination.destinations[0]!.slotMemory.buffer)
  const [body] = result.bodies
  t.match(slot.toString('utf8', body!.startByte, body!.startByte + body!.byteCount), /HELLO/)
})

t.test(
  'a task of another generation or destination is refused, and nothing is kept open',
  async (t) => {
    const store = new FrameStore()
    const runner = await createPoolRunner(spec([]), environment(store))
    t.throws(() => runner.run(store.task({ generation: 2 })), { code: 'MR_TASK' })
    t.throws(() => runner.run(store.task({ destination: 'x' })), { code: 'MR_TASK' })
  }
)

t.test('wrong steps and modules that are none fail the start', async (t) => {
  const store = new FrameStore()
  await t.rejects(createPoolRunner(spec([{ grep: {} }]), environment(store)), { code: 'MR_TASK' })
  await t.rejects(createPoolRunner(spec([{ js: { module: './none.ts' } }]), environment(store)))
  await t.rejects(createPoolRunner(spec([], 'file:///config/upper.ts'), environment(store)), {
    code: 'MR_TASK'
  })
})
