import http from 'node:http'
import t, { type Test } from 'tap'
import { command } from '../support/command-line.ts'

const JOB = { id: 7, kind: 'replay', matched: 1, stored: 1, failed: 0, isDryRun: false }

/** An admin server whose job is done, and that breaks the first `breakCount` looks at it. */
async function busyServer(t: Test, breakCount: number) {
  let looks = 0
  const server = http.createServer((request, response) => {
    if (request.method === 'POST') {
      response.end(JSON.stringify({ ...JOB, state: 'running' }))
      return
    }
    looks += 1
    if (looks <= breakCount) request.socket.destroy()
    else response.end(JSON.stringify({ ...JOB, state: 'done' }))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => server.close())
  const { port } = server.address() as { port: number }
  return { address: `127.0.0.1:${port}`, looks: () => looks }
}

t.test('a command goes on waiting for its job when a look at it has no answer', async (t) => {
  const { address, looks } = await busyServer(t, 1)
  const result = await command(['dlq', 'replay', 'out.a', '--json', '--admin', address])
  t.equal(result.exitCode, 0, result.error)
  t.match(JSON.parse(result.out), { id: 7, state: 'done' })
  t.equal(looks(), 2)
})
