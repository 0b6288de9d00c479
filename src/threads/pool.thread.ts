// Step 7. Runs on: pool.
// Entry of a pool thread: wires the kernel and the disk to the runner of tasks. No logic here.

import { workerData } from 'node:worker_threads'
import { createFrameHash, type HashExports } from '../kernel/frame-hash.ts'
import { instantiateKernel } from '../kernel/instance.ts'
import { RenderKernel } from '../kernel/render-kernel.ts'
import { createPoolRunner, type PoolSpec } from '../steps/pool-runner.ts'
import { SegmentFiles } from '../steps/segment-files.ts'
import { PayloadDecoder } from '../storage/format/payload-decoder.ts'
import { type ScrubTools, scrubPiece } from '../storage/recovery/segment-scrub.ts'
import { nodeStorage } from '../storage/storage.ts'
import type { ScrubRequest, ScrubResult, TaskRequest, TaskResult } from './messages.ts'

// The only sender is startPool in roles.ts.
const { spec } = workerData as { readonly spec: PoolSpec }

/** Memory of the kernel that a scrub hashes in. */
const SCRUB_KERNEL_BYTES = 1024 * 1024

type Work = (task: TaskRequest | ScrubRequest) => TaskResult | ScrubResult

async function start(): Promise<Work> {
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
  // Made with the first scrub: most stores run without.
  let tools: ScrubTools | null = null
  return (task) => {
    if (task.kind === 'task') return runner.run(task)
    tools ??= {
      storage: nodeStorage,
      hash: createFrameHash(instantiateKernel<HashExports>({ memoryBytes: SCRUB_KERNEL_BYTES })),
      decoder: new PayloadDecoder(spec.store)
    }
    return scrubPiece(task, tools)
  }
}

export default start()
