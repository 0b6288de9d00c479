// Runs on: main.
// What the schemas do not show: addresses that two listeners want, outputs that nothing uses, more queues than fit,
// an order of draining that an output or a step rules out, more memory for bodies than can be addressed.

import { LANES_MAX, SHARDS_PER_THREAD_MAX, SLOTS_BYTES_MAX } from '../core/limits.ts'
import { formatBytes } from '../core/units.ts'
import { formatListenAddress, parseAnyAddress } from '../net/listen-address.ts'
import type { Registry } from '../plugin/registry.ts'
import type { Report } from './convert.ts'
import { formatPath } from './findings.ts'
import type { Listener } from './plugin-blocks.ts'
import type { RouteNames } from './route-parts.ts'
import type { MillraceConfig, RouteConfig } from './schema.ts'
import { isBlock } from './schema-node.ts'

const WILDCARDS: ReadonlySet<string> = new Set(['0.0.0.0', '::', '*'])

/** Two listeners on one address: the second would fail to start, or take the first one's connections. */
export function checkAddresses(
  inputs: readonly Listener[],
  admin: readonly string[],
  report: Report
): void {
  const listeners = [...admin.map((address) => ({ address, path: ['admin', 'listen'] })), ...inputs]
  for (const [index, { address, path }] of listeners.entries()) {
    const other = listeners.slice(0, index).find((each) => isSameSocket(each.address, address))
    if (other === undefined) continue
    const message = `${address} is taken by ${formatPath(other.path)}`
    report('MR_CONFIG_DUPLICATE', path, message, 'give each listener its own port or path')
  }
}

/** The admin server speaks plain HTTP. */
export function checkAdmin(listen: readonly string[], report: Report): void {
  for (const [index, text] of listen.entries()) {
    const address = parseAnyAddress(text)
    const path = ['admin', 'listen', index]
    if (address.kind === 'udp') {
      report('MR_CONFIG_INVALID', path, 'the admin server takes no datagrams', 'write tcp://')
    }
    if (address.kind !== 'tcp' || !address.isTls) continue
    report('MR_CONFIG_INVALID', path, 'the admin server speaks no TLS', 'put a TLS proxy in front')
  }
}

function isSameSocket(a: string, b: string): boolean {
  const first = parseAnyAddress(a)
  const second = parseAnyAddress(b)
  if (first.kind === 'unix' || second.kind === 'unix') {
    return formatListenAddress(first) === formatListenAddress(second)
  }
  if ((first.kind === 'udp') !== (second.kind === 'udp')) return false
  // Port 0 asks for any free port.
  if (first.port !== second.port || first.port === 0) return false
  return first.host === second.host || WILDCARDS.has(first.host) || WILDCARDS.has(second.host)
}

/** The log of the process becomes records once. */
export function checkOwnLog(config: MillraceConfig, registry: Registry, report: Report): void {
  const takers = Object.entries(config.inputs).filter(
    ([, { type }]) => registry.input(type)?.ownLogLevel !== undefined
  )
  for (const [id, { type }] of takers.slice(1)) {
    const message = `"${takers[0]?.[0]}" takes the log of the process already`
    const hint = `keep one input of type ${type}; any number of routes may take its records`
    report('MR_CONFIG_DUPLICATE', ['inputs', id], message, hint)
  }
}

/** Outputs and inputs that no route names: probably a forgotten line. */
export function checkUnused(
  routes: readonly RouteConfig[],
  names: RouteNames,
  report: Report
): void {
  const used = new Set(routes.flatMap((route) => route.to.map(({ output }) => output)))
  for (const output of names.outputs.filter((name) => !used.has(name))) {
    const message = `no route sends to the output "${output}"`
    report('MR_CONFIG_UNUSED', ['outputs', output], message, `add it to the "to" of a route`)
  }
  for (const input of names.inputs) {
    if (routes.some((route) => route.from === null || route.from.includes(input))) continue
    const message = `no route takes from the input "${input}": its records become dead letters`
    report('MR_CONFIG_UNUSED', ['inputs', input], message, 'add it to the "from" of a route')
  }
}

/** Smallest share of a queue that one lane may have: two segments. */
const LANE_BYTES_MIN = 2 * 1024 * 1024

/**
 * Shards of a route: one per ingest thread and lane. Shards of one ingest thread: those of every route, one per input for
 * what it refuses, one for unmatched tags.
 */
export function checkShards(config: MillraceConfig, report: Report): void {
  const { ingest } = config.threads
  for (const { bytesMax, id, lanes } of config.routes) {
    const path = ['routes', id, 'lanes']
    const shardCount = lanes * ingest
    if (shardCount > LANES_MAX) {
      const message = `${lanes} lanes on each of ${ingest} ingest threads are over ${LANES_MAX}`
      const hint = `at most ${Math.floor(LANES_MAX / ingest)} lanes, or fewer ingest threads`
      report('MR_CONFIG_INVALID', path, message, hint)
    } else if (lanes > 1 && bytesMax / shardCount < LANE_BYTES_MIN) {
      const message = `each of ${shardCount} lanes would hold ${formatBytes(Math.floor(bytesMax / shardCount))}`
      const hint = `max_bytes of at least ${formatBytes(shardCount * LANE_BYTES_MIN)}, or fewer lanes`
      report('MR_CONFIG_INVALID', path, message, hint)
    }
  }
  const laneCount = config.routes.reduce((sum, { lanes }) => sum + lanes, 0)
  const shardCount = laneCount + Object.keys(config.inputs).length + 1
  if (shardCount <= SHARDS_PER_THREAD_MAX) return
  const message = `${shardCount} queues exceed the ${SHARDS_PER_THREAD_MAX} of an ingest thread`
  const hint = 'join routes that differ only in their tags, or use fewer lanes'
  report('MR_CONFIG_INVALID', ['routes'], message, hint)
}

/**
 * Two lanes send new and old records of one shard side by side: nothing for outputs that promise an order per target, nor
 * for steps that put lines together, whose parts the two would divide between them.
 */
export function checkDrainOrder(config: MillraceConfig, registry: Registry, report: Report): void {
  for (const { id, steps, to } of config.routes) {
    for (const [index, { drainOrder, output }] of to.entries()) {
      if (drainOrder !== 'newest_first') continue
      const path = ['routes', id, 'to', index, 'drain_order']
      const block = config.outputs[output]
      const sizes = block && registry.output(block.type)?.sizes(block.config)
      if (sizes?.isOrderedPerTarget === true) {
        const message = `newest_first breaks the order that ${block?.type} outputs keep`
        const hint = 'remove drain_order; it is for outputs such as opensearch'
        report('MR_CONFIG_INVALID', path, message, hint)
      } else if (isJoining(steps)) {
        const message = 'newest_first divides lines that the route joins'
        const hint = 'begin the steps of the route with docker_partial: {mode: pass}'
        report('MR_CONFIG_INVALID', path, message, hint)
      }
    }
  }
}

/** Slots of one output share a memory of 32-bit addresses. */
export function checkSlots(config: MillraceConfig, registry: Registry, report: Report): void {
  for (const [id, block] of Object.entries(config.outputs)) {
    const sizes = registry.output(block.type)?.sizes(block.config)
    if (sizes === undefined) continue
    const byteCount = sizes.requestsMax * (sizes.bodyBytesMax + sizes.slotExtraBytes)
    if (byteCount <= SLOTS_BYTES_MAX) continue
    const message = `${sizes.requestsMax} requests of ${formatBytes(sizes.bodyBytesMax)} need ${formatBytes(byteCount)}; an output has ${formatBytes(SLOTS_BYTES_MAX)}`
    const hint = 'lower the size of its requests, or how many may be in flight'
    report('MR_CONFIG_INVALID', ['outputs', id], message, hint)
  }
}

/** Parts that Docker cut are joined unless the first step says that they pass. */
function isJoining([first]: RouteConfig['steps']): boolean {
  const options = first?.['docker_partial']
  return !(isBlock(options) && options['mode'] === 'pass')
}
