// A thread that listens on a shared port and greets each connection with its thread id.

import { parentPort, threadId, workerData } from 'node:worker_threads'
import { parseListenAddress } from '../../src/net/listen-address.ts'
import { Listener } from '../../src/net/listener.ts'
import { attachOnread } from '../../src/net/read-into.ts'

const listener = await Listener.open({
  address: parseListenAddress(workerData.address),
  backlog: 128,
  isPortShared: true,
  unix: { mode: 0o660, uid: null, gid: null },
  keepaliveMs: 0,
  readBuffer: Buffer.alloc(1024),
  attach: attachOnread,
  hasRoom: () => true,
  onRefused: () => {},
  open: (socket) => {
    socket.write(String(threadId))
    return { onRead() {}, onEnd: () => socket.destroy(), onClose() {} }
  }
})
parentPort?.once('message', () => listener.close())
parentPort?.postMessage('listening')
