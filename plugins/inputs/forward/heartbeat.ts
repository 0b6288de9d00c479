// Step 1. Runs on: ingest.
// UDP heartbeats: any datagram up to 128 bytes, an empty one too, is answered with one zero byte from the
// same socket.

import { DatagramSocket } from '../../../src/net/datagram-socket.ts'

const HEARTBEAT_BYTES_MAX = 128
const ANSWER = Buffer.from([0])

export async function openHeartbeats(
  host: string,
  port: number,
  onHeartbeats: (count: number) => void
): Promise<DatagramSocket> {
  const socket = await DatagramSocket.open({
    host,
    port,
    receiveBufferBytes: null,
    onBatch(batch) {
      const heartbeats = batch.filter(({ bytes }) => bytes.length <= HEARTBEAT_BYTES_MAX)
      onHeartbeats(heartbeats.length)
      for (const heartbeat of heartbeats) socket.answer(heartbeat, ANSWER)
    }
  })
  return socket
}
