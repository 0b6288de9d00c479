// Runs on: main.
// The table of threads and the only place that starts them. Knows that sources end in .ts and compiled files in .js.
//
//   role    entry                    how many        may block
//   main    src/main.ts              1               never over 10 ms
//   ingest  threads/ingest.thread    threads.ingest  never over 10 ms, but for a synchronous writev
//   pool    threads/pool.thread      threads.pool    yes, up to the deadline of a task

import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import { Piscina } from 'piscina'
import type { Clock } from '../core/clock.ts'
import type {
  FromIngest,
  IngestThreadData,
  ScrubRequest,
  ScrubResult,
  TaskRequest,
  TaskResult,
  ToIngest
} from './messages.ts'
import { TurnPool } from './turn-pool.ts'

/** `.ts` when run from sources, `.js` when compiled: the compiler does not rewrite URLs. */
const EXTENSION = import.meta.url.endsWith('.ts') ? 'ts' : 'js'

const entry = (name: string) => new URL(`./${name}.thread.${EXTENSION}`, import.meta.url)

export interface IngestThread {
  send(message: ToIngest): void
  /** Asks the thread to stop and settles when it has exited. */
  exited: Promise<number>
  /** Event loop utilisation since the last call, 0 to 1. */
  utilization(): number
  /** CPU time of the thread so far, seconds. */
  cpuSeconds(): Promise<number>
}

/** Starts an ingest thread. `onExit` with a code other than 0 means that it died. */
export function spawnIngest<Config>(
  data: IngestThreadData<Config>,
  onMessage: (message: FromIngest) => void,
  onError: (error: Error) => void
): IngestThread {
  const worker = new Worker(entry('ingest'), { workerData: data, name: `ingest-${data.index}` })
  worker.on('message', onMessage)
  worker.on('error', onError)
  const exited = once(worker, 'exit').then(([code]) => Number(code))
  let last = worker.performance.eventLoopUtilization()
  return {
    send: (message) => worker.postMessage(message),
    exited,
    utilization() {
      const now = worker.performance.eventLoopUtilization()
      const since = worker.performance.eventLoopUtilization(now, last)
      last = now
      return since.utilization
    },
    async cpuSeconds() {
      const { user, system } = await worker.cpuUsage()
      return (user + system) / 1e6
    }
  }
}

/** Runs tasks on pool threads. A thread that dies or is late fails its task; the caller repeats it, tasks are pure. */
export interface Pool {
  /** `deadlineMs` counts from when a thread takes the task. */
  run(task: TaskRequest, deadlineMs: number): Promise<TaskResult>
  scrub(request: ScrubRequest, deadlineMs: number): Promise<ScrubResult>
  readonly utilization: number
  /** CPU time of the threads so far, seconds. */
  cpuSeconds(): Promise<number>
  stop(): Promise<void>
}

type PoolTask = TaskRequest | ScrubRequest
type PoolResult = TaskResult | ScrubResult

export function startPool(threadCount: number, data: unknown, clock: Clock): Pool {
  const piscina = new Piscina<PoolTask, PoolResult>({
    filename: entry('pool').href,
    minThreads: threadCount,
    maxThreads: threadCount,
    workerData: data
  })
  const turns = new TurnPool(piscina, threadCount, clock)
  return {
    // A request is answered by the result of its kind (pool.thread.ts).
    run: (task, deadlineMs) => turns.run(task, deadlineMs) as Promise<TaskResult>,
    scrub: (request, deadlineMs) => turns.run(request, deadlineMs) as Promise<ScrubResult>,
    get utilization() {
      return piscina.utilization
    },
    async cpuSeconds() {
      const usages = await Promise.all(piscina.threads.map((worker) => worker.cpuUsage()))
      return usages.reduce((sum, { system, user }) => sum + (user + system) / 1e6, 0)
    },
    stop: () => piscina.destroy()
  }
}
