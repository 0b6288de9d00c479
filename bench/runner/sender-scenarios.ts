// Jobs of `bench:senders`. One event per write is what Docker's driver and most loggers do.

import type { Scenario } from './scenarios.ts'

const toOpenSearch = { destination: 'opensearch', parse: null, isCompressed: false } as const

/** One honest sender at full speed. */
export const crowdScenario: Scenario = {
  name: 'crowd',
  title: 'One sender, PackedForward with acks to OpenSearch',
  load: {
    mode: 'packed',
    connections: 1,
    tags: 4,
    chunkEvents: 1000,
    ack: true,
    window: 4,
    rate: 0
  },
  ...toOpenSearch
}

function singles(name: string, rate: number, ack: boolean): Scenario {
  const acks = ack ? 'an ack each' : 'without acks'
  return {
    name,
    title: `${rate.toLocaleString('en-US')} single-event writes/s over 500 connections, ${acks}`,
    load: { mode: 'message', connections: 500, tags: 500, chunkEvents: 1, ack, window: 1, rate },
    ...toOpenSearch
  }
}

export const singleScenarios: readonly Scenario[] = [
  singles('singles-50k', 50_000, false),
  singles('singles-10k', 10_000, false),
  singles('singles-50k-acks', 50_000, true)
]
