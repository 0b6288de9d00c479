// Runs on: any.
// Records of the shapes that the budget of the pool side speaks of. D: Docker's four fields, in random order as Go sends
// them, with plain, nginx or JSON text; K: nested Kubernetes metadata; F: 40 flat fields; N: keys that never came before.
// Deterministic: the same seed gives the same bytes.

import { ExtData, encode } from '@msgpack/msgpack'

export type Shape = 'plain' | 'nginx' | 'json' | 'kubernetes' | 'flat' | 'new_keys'

const START_SECONDS = 1_763_650_020
const RECORDS_PER_SECOND = 1000
const WORDS =
  'session established connection upstream request timeout retry worker pool flushed 4096 bytes cache miss for key user'.split(
    ' '
  )
const AGENTS = [
  'kube-probe/1.31',
  'curl/8.10.1',
  'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36',
  'Mozilla/5.0 (iPhone; CPU iPhone OS 17_6 like Mac OS X) AppleWebKit/605.1.15 Version/17.6 Mobile/15E148'
]
const MONTHS = 'Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec'.split(' ')

/** Whole numbers below `limit`. */
type Dice = (limit: number) => number

function diceOf(seed: number): Dice {
  let state = seed >>> 0
  return (limit) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return Math.floor((state / 2 ** 32) * limit)
  }
}

const pick = <T>(dice: Dice, list: readonly [T, ...T[]]): T => list[dice(list.length)] ?? list[0]
const hex = (dice: Dice, digits: number): string =>
  Array.from({ length: digits }, () => dice(16).toString(16)).join('')
const dateOf = (index: number): Date =>
  new Date((START_SECONDS + Math.floor(index / RECORDS_PER_SECOND)) * 1000)

function plainText(dice: Dice, index: number): string {
  let text = `seq=${String(index).padStart(10, '0')}`
  while (text.length < 200) text += ` ${WORDS[dice(WORDS.length)]}`
  return text.slice(0, 200)
}

function nginxText(dice: Dice, index: number): string {
  const iso = dateOf(index).toISOString()
  const month = MONTHS[Number(iso.slice(5, 7)) - 1]
  const day = `${iso.slice(8, 10)}/${month}/${iso.slice(0, 4)}:${iso.slice(11, 19)} +0000`
  const path = dice(8) === 0 ? '/healthz' : `/api/v1/items/${dice(1e6)}`
  const client = `${dice(255)}.${dice(255)}.${dice(255)}.${dice(255)}`
  const request = `${pick(dice, ['GET', 'GET', 'POST', 'DELETE'])} ${path}?seq=${index} HTTP/1.1`
  const status = pick(dice, [200, 200, 201, 301, 404, 502])
  const referer = `https://shop.example.com/catalog/${dice(1000)}`
  return `${client} - - [${day}] "${request}" ${status} ${dice(60_000)} "${referer}" "${AGENTS[dice(4)]}"`
}

function jsonText(dice: Dice, index: number): string {
  return JSON.stringify({
    level: pick(dice, ['info', 'warn', 'error']),
    ts: new Date((START_SECONDS + index) * 1000).toISOString(),
    logger: 'http.server',
    msg: `request completed seq=${String(index).padStart(10, '0')}`,
    method: 'GET',
    path: `/api/v1/items/${dice(1e6)}`,
    status: 200,
    bytes: dice(60_000),
    duration_ms: dice(10_000) / 10,
    trace_id: hex(dice, 16),
    user_id: dice(1e5)
  })
}

function dockerRecord(dice: Dice, containerIds: readonly string[], index: number, log: string) {
  const fields: [string, unknown][] = [
    ['container_id', containerIds[index % containerIds.length]],
    ['container_name', `/web-frontend-${index % containerIds.length}`],
    ['source', index % 2 === 0 ? 'stderr' : 'stdout'],
    ['log', log]
  ]
  return Object.fromEntries(
    fields
      .map((field) => ({ field, order: dice(1e9) }))
      .sort((a, b) => a.order - b.order)
      .map(({ field }) => field)
  )
}

function kubernetesRecord(dice: Dice, containerId: string, index: number) {
  const image = '123456789012.dkr.ecr.ap-northeast-2.amazonaws.com/web'
  return {
    log: plainText(dice, index),
    stream: 'stdout',
    logtag: 'F',
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
      annotations: {
        'prometheus.io/scrape': 'true',
        'prometheus.io/port': '9090',
        'kubectl.kubernetes.io/restartedAt': '2025-11-19T10:00:00Z'
      },
      host: 'ip-10-0-12-34.ap-northeast-2.compute.internal',
      container_name: 'web',
      docker_id: containerId,
      container_hash: `${image}@sha256:${containerId}`,
      container_image: `${image}:1.2.3`
    },
    level: 'info',
    latency_ms: 12.34 + (index % 10),
    status: 200,
    bytes: 5123 + index,
    ok: true
  }
}

function recordOf(shape: Shape, dice: Dice, containerIds: readonly string[], index: number) {
  switch (shape) {
    case 'plain':
      return dockerRecord(dice, containerIds, index, plainText(dice, index))
    case 'nginx':
      return dockerRecord(dice, containerIds, index, nginxText(dice, index))
    case 'json':
      return dockerRecord(dice, containerIds, index, jsonText(dice, index))
    case 'kubernetes':
      return kubernetesRecord(dice, containerIds[0] ?? '', index)
    case 'flat':
      return Object.fromEntries(
        Array.from({ length: 40 }, (_, key) => [
          `field_${key}`,
          key % 4 === 0 ? dice(1e5) : `v${dice(1e5)}`
        ])
      )
    case 'new_keys':
      return Object.fromEntries(
        [0, 1, 2, 3].map((key) => [`key_${index}_${key}`, plainText(dice, index).slice(0, 60)])
      )
  }
}

/** `[EventTime, record]` entries. */
export function shapeEntries(shape: Shape, count: number, seed = 7): Uint8Array[] {
  const dice = diceOf(seed)
  const containerIds = Array.from({ length: 7 }, () => hex(dice, 64))
  return Array.from({ length: count }, (_, index) => {
    const time = Buffer.alloc(8)
    time.writeUInt32BE(START_SECONDS + Math.floor(index / RECORDS_PER_SECOND), 0)
    time.writeUInt32BE((index % RECORDS_PER_SECOND) * 1_000_000, 4)
    return encode([new ExtData(0, time), recordOf(shape, dice, containerIds, index)])
  })
}
