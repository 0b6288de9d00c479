import t from 'tap'
import type { TaskRequest, TaskResult } from '../../src/threads/messages.ts'
import { type TaskThreads, TurnPool } from '../../src/threads/turn-pool.ts'
import { FakeClock, settled } from '../support/fake-clock.ts'

const DEADLINE_MS = 1000

// The pool only passes them on.
const task = (name: string) => ({ destination: name }) as TaskRequest
const answer = (name: string) =>
  ({ kind: 'result', counters: { [name]: 1 } }) as unknown as TaskResult

/** Threads that run until they are told, and end when they are asked to twice: once by the pool, once by who waits. */
function fakeThreads(count: number) {
  const started: string[] = []
  const finish = new Map<string, (error?: Error) => void>()
  const exit = Promise.withResolvers<number>()
  let threads = Array.from({ length: count }, () => ({ terminate: () => exit.promise }))
  const made: TaskThreads = {
    get threads() {
      return threads
    },
    run({ destination }, { signal }) {
      started.push(destination)
      return new Promise((resolve, reject) => {
        finish.set(destination, (error) => (error ? reject(error) : resolve(answer(destination))))
        signal.addEventListener('abort', () => {
          threads = [...threads.slice(1), { terminate: async () => 0 }]
          reject(new Error('aborted'))
        })
      })
    }
  }
  return { made, started, finish, exit }
}

t.test('as many tasks run as there are threads, the others in the order they came', async (t) => {
  const { finish, made, started } = fakeThreads(2)
  const pool = new TurnPool(made, 2, new FakeClock())
  const results = ['a', 'b', 'c', 'd'].map((name) => pool.run(task(name), DEADLINE_MS))
  await settled()
  t.same(started, ['a', 'b'])
  finish.get('b')?.()
  t.same((await results[1])?.counters, { b: 1 })
  await settled()
  t.same(started, ['a', 'b', 'c'])
  finish.get('a')?.(new Error('broken'))
  await t.rejects(results[0]!, { message: 'broken' })
  await settled()
  t.same(started, ['a', 'b', 'c', 'd'], 'a task that failed gives its turn on')
  finish.get('c')?.()
  finish.get('d')?.()
  await Promise.all(results.slice(2))
})

t.test('a late task fails when its thread has ended, and waiting counts for nothing', async (t) => {
  const { exit, finish, made, started } = fakeThreads(1)
  const clock = new FakeClock()
  const pool = new TurnPool(made, 1, clock)
  const late = pool.run(task('late'), DEADLINE_MS)
  const next = pool.run(task('next'), DEADLINE_MS)
  let hasFailed = false
  late.catch(() => {
    hasFailed = true
  })
  clock.advance(DEADLINE_MS - 1)
  await settled()
  t.notOk(hasFailed)
  clock.advance(1)
  await settled()
  t.notOk(hasFailed, 'the thread may still write into the slot')
  t.same(started, ['late'])
  exit.resolve(1)
  await t.rejects(late, { code: 'MR_TASK_LATE' })
  await settled()
  t.same(started, ['late', 'next'])
  clock.advance(DEADLINE_MS - 1)
  finish.get('next')?.()
  t.same((await next).counters, { next: 1 })
})
