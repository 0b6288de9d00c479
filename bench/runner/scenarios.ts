// The jobs that are measured. Shape of the records: 336 bytes of msgpack, as Docker's driver sends them.

import type { LoadOptions } from '../load/options.ts'

export type Destination = 'opensearch' | 'cloudwatch' | 'down'

export interface Scenario {
  readonly name: string
  readonly title: string
  readonly load: Pick<
    LoadOptions,
    'mode' | 'connections' | 'tags' | 'chunkEvents' | 'ack' | 'window' | 'rate'
  >
  readonly destination: Destination
  readonly parse: 'nginx' | null
  readonly isCompressed: boolean
  /** Events of the measured part; the default of the runner when absent. */
  readonly events?: number
  /** CPU seconds per million of another scenario, whose difference the gate concerns. */
  readonly comparedWith?: string
}

const packed: Scenario['load'] = {
  mode: 'packed',
  connections: 2,
  tags: 8,
  chunkEvents: 1000,
  ack: true,
  window: 4,
  rate: 0
}
const message: Scenario['load'] = { ...packed, mode: 'message', chunkEvents: 64, ack: false }
const toOpenSearch = { destination: 'opensearch', parse: null, isCompressed: false } as const

export const scenarios: readonly Scenario[] = [
  {
    name: 'packed-opensearch',
    title: 'PackedForward with acks to OpenSearch',
    load: packed,
    ...toOpenSearch
  },
  {
    name: 'message-opensearch',
    title: 'Message mode, 64 per write, to OpenSearch',
    load: message,
    ...toOpenSearch
  },
  {
    name: 'packed-cloudwatch',
    title: 'PackedForward with acks to CloudWatch Logs',
    load: packed,
    ...toOpenSearch,
    destination: 'cloudwatch'
  },
  {
    name: 'nginx-opensearch',
    title: 'PackedForward with acks, nginx parsed, to OpenSearch',
    load: packed,
    ...toOpenSearch,
    parse: 'nginx',
    comparedWith: 'packed-opensearch'
  },
  {
    name: 'gzip-opensearch',
    title: 'PackedForward with acks, gzip, to OpenSearch',
    load: packed,
    ...toOpenSearch,
    isCompressed: true,
    comparedWith: 'packed-opensearch'
  },
  {
    name: 'stored',
    title: 'PackedForward with acks, destination down',
    load: packed,
    ...toOpenSearch,
    destination: 'down'
  },
  {
    name: 'paced-opensearch',
    title: 'PackedForward with acks at 200,000 events/s to OpenSearch',
    load: { ...packed, chunkEvents: 500, rate: 200_000 },
    ...toOpenSearch,
    events: 2_000_000
  }
]
