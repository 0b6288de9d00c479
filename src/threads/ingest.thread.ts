// Steps 1 to 5. Runs on: ingest.
// Entry of an ingest thread: wires ports to IngestMain. No logic here.

import { BroadcastChannel, parentPort, workerData } from 'node:worker_threads'
import type { MillraceConfig } from '../config/schema.ts'
import { systemClock } from '../core/clock.ts'
import { invariant } from '../core/invariant.ts'
import type { ResendNews } from '../ingest/dedupe.ts'
import { IngestMain } from '../ingest/ingest-main.ts'
import { nodeStorage } from '../storage/storage.ts'
import type { FromIngest, IngestThreadData, ToIngest } from './messages.ts'

const port = parentPort
invariant(port !== null, 'ingest.thread is no entry of the main thread')
// The only sender is spawnIngest in roles.ts.
const data = workerData as IngestThreadData<MillraceConfig>

const channel = data.count > 1 ? new BroadcastChannel('millrace resends') : null
channel?.unref()

const main = new IngestMain({
  data,
  clock: systemClock,
  storage: nodeStorage,
  channel: channel && { send: (news: ResendNews) => channel.postMessage(news) },
  post: (message: FromIngest) => port.postMessage(message),
  importModule: (url) => import(url)
})

if (channel !== null) {
  // Only ingest threads of this process post here.
  channel.onmessage = (event) => main.hear((event as { data: ResendNews }).data)
}

port.on('message', async (message: ToIngest) => {
  await main.handle(message)
  if (message.kind !== 'stop') return
  channel?.close()
  port.close()
})
