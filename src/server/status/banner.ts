// Runs on: main.
// What a start prints for a person at a terminal: where it listens and what to paste.

import type { MillraceConfig } from '../../config/schema.ts'
import type { Addresses } from '../stages/ingest-threads.ts'

export interface BannerFacts {
  readonly version: string
  readonly config: MillraceConfig
  readonly configFiles: readonly string[]
  readonly addresses: Addresses
  readonly admin: string | null
}

export function banner(facts: BannerFacts): string {
  const { addresses, admin, config, configFiles, version } = facts
  const forward = firstOf(facts, 'forward')
  const http = firstOf(facts, 'http')
  const lines = [
    `Millrace ${version}  (${configFiles.join(', ')})`,
    ...Object.entries(addresses).map(
      ([input, list]) => `  ${config.inputs[input]?.type ?? ''} ${input}: ${list.join('  ')}`
    ),
    ...(admin === null ? [] : [`  admin: ${admin}`]),
    `  queues: ${config.dataDir}`,
    ...config.routes.map(routeLine)
  ]
  const paste: string[] = []
  if (forward !== null) {
    paste.push(
      `  docker run --rm --log-driver=fluentd --log-opt fluentd-address=${forward} --log-opt tag=hello busybox echo hello`
    )
  }
  if (http !== null)
    paste.push(
      `  curl -d '{"log":"hello"}' -H 'content-type: application/json' http://${http}/hello`
    )
  if (paste.length > 0) lines.push('Paste to try it:', ...paste)
  return `${lines.join('\n')}\n`
}

function routeLine(route: MillraceConfig['routes'][number]): string {
  const outputs = route.to.map(({ output }) => output).join(', ')
  return `  route ${route.id} -> ${outputs}  (durability ${route.durability}, overflow ${route.overflow})`
}

/** `host:port` of the first TCP listener of the first input of a type. */
function firstOf({ addresses, config }: BannerFacts, type: string): string | null {
  for (const [input, list] of Object.entries(addresses)) {
    if (config.inputs[input]?.type !== type) continue
    const tcp = list.find((address) => address.startsWith('tcp://'))
    if (tcp !== undefined) return tcp.slice('tcp://'.length).replace('0.0.0.0', '127.0.0.1')
  }
  return null
}
