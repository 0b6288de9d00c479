// Runs on: any.
// Records of the sizes that the budget speaks of: D, a Docker line of about 336 bytes, and K, nested Kubernetes metadata.

import { ExtData, encode } from '@msgpack/msgpack'

const WORDS =
  'GET POST /api/v1/users 200 404 timeout upstream request_time=0.123 error warn info id='.split(
    ' '
  )
const CONTAINER_ID = '0db6eccb3f4e93890d193323479e499a737e6b629e4c3c61b52d294cb3702950'

function logText(index: number): string {
  let text = `seq=${String(index).padStart(10, '0')} `
  for (let word = index; text.length < 200; word += 7) text += `${WORDS[word % WORDS.length]} `
  return text.slice(0, 200)
}

export function dockerRecord(index: number): Record<string, unknown> {
  return {
    container_id: CONTAINER_ID,
    container_name: `/web-frontend-${index % 7}`,
    source: index % 2 ? 'stdout' : 'stderr',
    log: logText(index)
  }
}

export function kubernetesRecord(index: number): Record<string, unknown> {
  return {
    log: logText(index),
    stream: 'stdout',
    kubernetes: {
      pod_name: `web-frontend-7d9f8b6c5d-x${index % 10}k2p`,
      namespace_name: 'production',
      pod_id: '4f0e1c9a-0d1b-4f5e-9a49-2e7fd1d2a3b4',
      labels: {
        app: 'web-frontend',
        'app.kubernetes.io/name': 'web',
        'app.kubernetes.io/instance': 'prod',
        'pod-template-hash': '7d9f8b6c5d',
        tier: 'frontend',
        version: 'v1.2.3'
      },
      annotations: { 'prometheus.io/scrape': 'true', 'prometheus.io/port': '9090' },
      host: 'ip-10-0-12-34.ap-northeast-2.compute.internal',
      container_name: 'web',
      docker_id: CONTAINER_ID,
      container_image: `123456789012.dkr.ecr.amazonaws.com/web@sha256:${CONTAINER_ID}`
    },
    level: 'info',
    latency_ms: 12.34 + (index % 10),
    status: 200,
    bytes: 5123 + index,
    ok: true
  }
}

export function eventTime(index: number): ExtData {
  const bytes = Buffer.alloc(8)
  bytes.writeUInt32BE(1_763_650_020 + Math.floor(index / 1000), 0)
  bytes.writeUInt32BE((index % 1000) * 1_000_000, 4)
  return new ExtData(0, bytes)
}

type RecordOf = (index: number) => Record<string, unknown>

/** `[time, record]` entries back to back. */
export function entries(recordOf: RecordOf, count: number): Buffer {
  const parts = Array.from({ length: count }, (_, index) =>
    encode([eventTime(index), recordOf(index)])
  )
  return Buffer.concat(parts)
}

/** PackedForward messages of 500 entries with a chunk option. */
export function packedMessages(recordOf: RecordOf, count: number): Buffer {
  const parts: Uint8Array[] = []
  for (let start = 0; start < count; start += 500) {
    const body = entries((index) => recordOf(start + index), Math.min(500, count - start))
    parts.push(encode(['docker.web', body, { chunk: `chunk-${String(start).padStart(18, '0')}` }]))
  }
  return Buffer.concat(parts)
}

/** Message-mode messages as Docker sends them. */
export function singleMessages(recordOf: RecordOf, count: number): Buffer {
  const parts = Array.from({ length: count }, (_, index) => {
    return encode(['docker.web', eventTime(index), recordOf(index), {}])
  })
  return Buffer.concat(parts)
}

/** One Forward message. */
export function forwardMessage(recordOf: RecordOf, count: number): Buffer {
  const list = Array.from({ length: count }, (_, index) => [eventTime(index), recordOf(index)])
  return Buffer.from(encode(['docker.web', list, {}]))
}

/** Lines of JSON. */
export function jsonLines(recordOf: RecordOf, count: number): Buffer {
  const parts = Array.from({ length: count }, (_, index) => `${JSON.stringify(recordOf(index))}\n`)
  return Buffer.from(parts.join(''))
}
