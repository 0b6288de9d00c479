// An ingest thread without delivery, as a process: `ingest-only.ts <data directory> [durability]` prints its address, and
// at the end of its input how much CPU it took. Measures steps 1 to 5 alone.

import fs from 'node:fs'
import type { Durability } from '../../../src/config/schema.ts'
import { systemClock } from '../../../src/core/clock.ts'
import { forwardInput } from '../../../test/support/forward-host.ts'
import { IngestHost, routeOf } from '../../../test/support/ingest-host.ts'

const [directory = 'ingest-only-data', durability = 'sync'] = process.argv.slice(2)
fs.rmSync(directory, { recursive: true, force: true })

const host = new IngestHost({
  directory,
  ...forwardInput(),
  // One of the policies of the schema, given on the command line.
  routes: [routeOf({ durability: durability as Durability, bytesMax: 2 ** 40 })]
})
await host.main.handle({ kind: 'start' })
for (const message of host.messages) {
  if (message.kind === 'listening') console.log(JSON.stringify(message.addresses))
  if (message.kind === 'failed') throw new Error(message.message)
}

process.stdin.resume()
let before = process.cpuUsage()
process.stdin.on('data', () => {
  const { user, system } = process.cpuUsage(before)
  before = process.cpuUsage()
  console.log(
    JSON.stringify({
      cpuSeconds: (user + system) / 1e6,
      records: host.counter('received_records'),
      messages: host.counter('input_received_messages_total/batch'),
      rssMib: Math.round(process.resourceUsage().maxRSS / 1024),
      uptime: systemClock.monotonicMs()
    })
  )
})
process.stdin.on('end', async () => {
  await host.main.stop(1000)
  fs.rmSync(directory, { recursive: true, force: true })
})
