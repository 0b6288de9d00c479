// Step 7. Runs on: pool.
// Entry of a pool thread: wires the kernel and the disk to the runner of tasks. No logic here.

import { workerData } from 'node:worker_threads'
import { RenderKernel } from '../kernel/render-kernel.ts'
import { createPoolRunner, type PoolSpec } from '../steps/pool-runner.ts'
import { SegmentFiles } from '../steps/segment-files.ts'
import type { TaskRequest, TaskResult } from './messages.ts'

// The only sender is startPool in roles.ts.
const { spec } = workerData as { readonly spec: PoolSpec }

async function start(): Promise<(task: TaskRequest) => TaskResult> {
  const runner = await createPoolRunner(spec, {
    importModule: (url) => import(url),
    createKernel(imports) {
      const face = new RenderKernel({ imports })
      return { face, hash: face.hash }
    },
    files: new SegmentFiles(),
    // Wall clock: the system charges CPU to a thread in ticks, which are half a task long.
    clockMs: () => performance.now(),
    deadlineMs: null
  })
  return (task) => runner.run(task)
}

export default start()
