// A thread that listens on a shared port and greets each connection with its thread id.

import { parentPort, threadId, workerData } from 'node:worker_threads'
import { systemClock } from '../../src/core/clock.ts'
import { parseListenAddress } from '../../src/net/listen-address.ts'
import { Listener, readInto } from '../../src/net/listener.ts'
import { attachOnread } from '../../src/net/read-into.ts'

const listener = await Listener.open({
  address: parseListenAddress(workerData.address),
  backlog: 128,
  isPortShared: true,
  unix: { mode: 0o660, uid: null, gid: null },
  keepaliveMs: 0,
  clock: systemClock,
  proxy: null,
  tls: workerData.tls && {
    tls: workerData.tls,
    ticketSecret: Buffer.alloc(32, 1),
    scope: 'test',
    onNews: () => {}
  },
  hasRoom: () => true,
  onRefused: () => {},
  onProxyFailed: () => {},
  onTlsFailed: () => {},
  take: readInto(Buffer.alloc(1024), attachOnread, (socket) => {
    socket.write(String(threadId))
    return { onRead() {}, onEnd: () => socket.destroy(), onClose() {} }
  })
})
parentPort?.once('message', () => listener.close())
parentPort?.postMessage('listening')
