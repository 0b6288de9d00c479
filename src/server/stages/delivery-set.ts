// Steps 6 to 10, put together. Runs on: main.
// Outputs with their slots, the pool with everything it needs to run their programs, and the destinations of all routes.

import { hostname } from 'node:os'
import type { DestinationConfig, MillraceConfig, RouteConfig } from '../../config/schema.ts'
import type { Clock, Random } from '../../core/clock.ts'
import { invariant } from '../../core/invariant.ts'
import type { TemplateConstants } from '../../core/template.ts'
import { Destination, type ParkAccess, type ReplayLaneParts } from '../../delivery/destination.ts'
import { OutputInstance } from '../../delivery/output-instance.ts'
import type { ShardLog } from '../../delivery/shard-log.ts'
import type { WriteLetters } from '../../delivery/task-settlement.ts'
import type { OutputLog } from '../../plugin/output.ts'
import type { Registry } from '../../plugin/registry.ts'
import type { InputSteps } from '../../steps/compile.ts'
import type { PoolSpec } from '../../steps/pool-runner.ts'
import type { StoreIdentity } from '../../storage/format/store-keys.ts'
import { type Pool, startPool } from '../../threads/roles.ts'
import type { OpenedShard } from '../store/open-shards.ts'

export interface DeliveryOptions {
  readonly config: MillraceConfig
  readonly registry: Registry
  readonly generation: number
  /** List of built-in steps and directory of step modules, as URLs. */
  readonly stepsModule: string
  readonly moduleBase: string
  readonly uuid: string
  readonly store: Pick<StoreIdentity, 'uuid' | 'keys'>
  readonly clock: Clock
  readonly random: Random
  readonly log: OutputLog
  readonly shardsOf: (routeId: string) => readonly OpenedShard[]
  readonly lettersOf: (routeId: string, outputId: string, shardLog: ShardLog) => WriteLetters
  readonly parkOf: (routeId: string, outputId: string) => ParkAccess
}

export class DeliverySet {
  readonly outputs: ReadonlyMap<string, OutputInstance>
  readonly destinations: readonly Destination[]
  readonly pool: Pool
  readonly #options: DeliveryOptions
  readonly #starting = new AbortController()

  constructor(options: DeliveryOptions) {
    this.#options = options
    this.outputs = this.#createOutputs()
    const { clock, config } = options
    this.pool = startPool(config.threads.pool, { spec: this.#poolSpec() }, clock)
    this.destinations = options.config.routes.flatMap((route) =>
      route.to.map((to) => this.#createDestination(route.id, to))
    )
  }

  /** Begins to drain; a backlog drains without new input. */
  start(): void {
    for (const output of this.outputs.values()) {
      const mine = this.destinations.filter((destination) => destination.output === output)
      void output.start(this.#starting.signal).then(() => {
        if (this.#starting.signal.aborted) return
        for (const destination of mine) destination.start()
      })
    }
  }

  wake(): void {
    for (const destination of this.destinations) destination.wake()
  }

  get isDrained(): boolean {
    return this.destinations.every(({ isDrained }) => isDrained)
  }

  /** Shards of a destination with its cursors; none: there is no such destination. */
  shardsOf(key: string): Destination['shards'] {
    return this.destinations.find((each) => each.key === key)?.shards ?? []
  }

  /**
   * Runs a lane of a destination over records that its own lanes do not send, once its output has started, until the
   * signal aborts. False: there is no such destination.
   */
  async runReplay(key: string, parts: ReplayLaneParts): Promise<boolean> {
    const destination = this.destinations.find((each) => each.key === key)
    if (destination === undefined) return false
    const aborted = Promise.withResolvers<void>()
    const onAbort = () => aborted.resolve()
    parts.signal.addEventListener('abort', onAbort, { once: true })
    await Promise.race([destination.started, aborted.promise])
    parts.signal.removeEventListener('abort', onAbort)
    if (!parts.signal.aborted) await destination.runReplay(parts)
    return true
  }

  /** Shards that a route adopted: every destination of it drains them too. */
  adopt(routeId: string, opened: readonly OpenedShard[]): void {
    for (const destination of this.destinations) {
      if (destination.route !== routeId) continue
      for (const { cursors, shardLog } of opened) {
        const cursor = cursors.get(destination.output.id)
        invariant(cursor !== undefined, `${shardLog.log} has a cursor for ${destination.key}`)
        destination.addShard(shardLog, cursor)
      }
    }
  }

  async stop(): Promise<void> {
    this.#starting.abort()
    const stopped = Promise.all(this.destinations.map((destination) => destination.stop()))
    // A task may have a minute left; it changes nothing, and lanes that are stopping let it go.
    await this.pool.stop()
    await stopped
    await Promise.all([...this.outputs.values()].map(({ output }) => output.stop()))
  }

  #createOutputs(): Map<string, OutputInstance> {
    const { clock, config, log, random, registry } = this.#options
    const outputs = new Map<string, OutputInstance>()
    // An output that no route sends to holds nothing and opens nothing.
    const used = new Set(config.routes.flatMap(({ to }) => to.map(({ output }) => output)))
    for (const [id, { type, config: options }] of Object.entries(config.outputs)) {
      if (!used.has(id)) continue
      const definition = registry.output(type)
      invariant(definition !== undefined, `output type ${type} passed validation`)
      const output = definition.create(options, { id, clock, log, dataDir: config.dataDir })
      const sizes = definition.sizes(options)
      outputs.set(id, new OutputInstance({ id, output, sizes, clock, random, log }))
    }
    return outputs
  }

  #poolSpec(): PoolSpec {
    const { config, generation, moduleBase, registry, stepsModule, store, uuid } = this.#options
    const constants: TemplateConstants = { hostname: hostname(), uuid, dataDir: config.dataDir }
    return {
      generation,
      constants,
      moduleBase,
      stepsModule,
      store: { uuid: store.uuid, keys: store.keys },
      destinations: config.routes.flatMap((route) =>
        route.to.map(({ output }) => {
          const { type, config: outputConfig } = config.outputs[output] ?? { type: '', config: {} }
          const instance = this.outputs.get(output)
          invariant(instance !== undefined, `output ${output} of route ${route.id} exists`)
          return {
            key: `${route.id}/${output}`,
            route: route.id,
            steps: route.steps,
            inputSteps: inputSteps(config, route),
            renderModule: registry.output(type)?.renderModule.href ?? '',
            outputConfig,
            slotMemory: instance.slots.memory
          }
        })
      )
    }
  }

  #arrivedBytes(): number {
    const { config, shardsOf } = this.#options
    let byteCount = 0
    for (const { id } of config.routes) {
      for (const { shardLog } of shardsOf(id)) byteCount += shardLog.appendedBytes
    }
    return byteCount
  }

  #createDestination(routeId: string, to: DestinationConfig): Destination {
    const { clock, config, generation, lettersOf, log, parkOf, random, shardsOf } = this.#options
    const outputId = to.output
    const output = this.outputs.get(outputId)
    invariant(output !== undefined, `output ${outputId} of route ${routeId} exists`)
    return new Destination({
      key: `${routeId}/${outputId}`,
      route: routeId,
      generation,
      output,
      pool: this.pool,
      catchupBytesPerSecond: config.queue.catchupBytesPerSecond,
      arrivedBytes: () => this.#arrivedBytes(),
      clock,
      random,
      log,
      parkAfterMs: to.parkAfterMs,
      newestFirst:
        to.drainOrder === 'newest_first'
          ? { lagMsMax: to.lagThresholdMs, backfillShare: to.backfillShare }
          : null,
      park: parkOf(routeId, outputId),
      lettersOf: (shardLog) => lettersOf(routeId, outputId, shardLog),
      shards: shardsOf(routeId).map(({ cursors, shardLog }) => {
        const cursor = cursors.get(outputId)
        invariant(cursor !== undefined, `${routeId} has a cursor for ${outputId}`)
        return { shardLog, cursor }
      })
    })
  }
}

/** Steps of the inputs that a route takes; the ids that records bear are those of the configuration. */
function inputSteps(config: MillraceConfig, { from }: RouteConfig): InputSteps[] {
  return Object.entries(config.inputs).flatMap(([input, { mapping, parser }]) => {
    if (mapping === undefined && parser === undefined) return []
    if (from !== null && !from.includes(input)) return []
    const ofParser = parser === undefined ? {} : { parser }
    return [{ input, ...ofParser, ...(mapping === undefined ? {} : { mapping }) }]
  })
}
