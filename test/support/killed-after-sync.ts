// A process with an ingest host that dies of SIGKILL between the commit of its first message and the ack:
// `killed-after-sync.ts <directory>` prints its address.

import { nodeStorage, type Storage } from '../../src/storage/storage.ts'
import { forwardInput } from './forward-host.ts'
import { IngestHost } from './ingest-host.ts'

const SEGMENT_HEADER_BYTES = 64

const storage: Storage = {
  ...nodeStorage,
  async datasync(file) {
    await nodeStorage.datasync(file)
    const hasFrames = nodeStorage.fstat(file).byteCount > SEGMENT_HEADER_BYTES
    if (hasFrames) process.kill(process.pid, 'SIGKILL')
  }
}

const host = new IngestHost({ directory: process.argv[2] ?? '', storage, ...forwardInput() })
await host.main.handle({ kind: 'start' })
for (const message of host.messages) {
  if (message.kind === 'listening') process.stdout.write(`${message.addresses['fwd']?.[0]}\n`)
}
