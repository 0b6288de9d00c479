// Step 10. Runs on: main.
// The parks of all destinations.

import { join } from 'node:path'
import type { ParkedStatus } from '../../admin/status.ts'
import type { MillraceConfig } from '../../config/schema.ts'
import type { Random } from '../../core/clock.ts'
import type { Destination, ParkAccess } from '../../delivery/destination.ts'
import type { DeadLetterLogs } from '../letters/dead-letter-logs.ts'
import { emptySpool } from '../replay/source.ts'
import type { StoreContext } from '../store/open-shards.ts'
import { ParkDrain } from './drain.ts'
import { ParkLog } from './log.ts'

export class ParkLogs {
  readonly #context: StoreContext
  readonly #deadLetters: DeadLetterLogs
  readonly #random: Random
  readonly #logs = new Map<string, ParkLog>()

  constructor(
    config: MillraceConfig,
    context: StoreContext,
    deadLetters: DeadLetterLogs,
    random: Random
  ) {
    this.#context = context
    this.#deadLetters = deadLetters
    this.#random = random
    emptySpool({ storage: context.storage, directory: join(context.dataDir, 'spool') })
    const { parkBytesMax: bytesMax, segmentBytesMax } = config.queue
    for (const { id: routeId, to } of config.routes) {
      for (const { output: outputId } of to) {
        const log = new ParkLog({ context, routeId, outputId, bytesMax, segmentBytesMax })
        this.#logs.set(`${routeId}/${outputId}`, log)
      }
    }
  }

  /** The park of one destination. */
  accessOf(routeId: string, outputId: string): ParkAccess {
    const context = this.#context
    const deadLetters = this.#deadLetters
    const random = this.#random
    const log = this.#logs.get(`${routeId}/${outputId}`)
    if (log === undefined) throw new Error(`no park for ${routeId}/${outputId}`)
    return {
      hasRoom: () => log.hasRoom,
      rowsOf: (shardLog) => (key, rows) => log.append(shardLog, key, rows),
      async ready() {
        await log.ready
        return log.keys
      },
      async drain(destination: Destination, signal: AbortSignal) {
        const letters = deadLetters.writerFrom.bind(deadLetters, routeId, outputId)
        const settleRoute = async () => {
          await Promise.all(destination.shards.map(({ shardLog }) => shardLog.settle()))
        }
        const drain = new ParkDrain({ log, context, destination, letters, settleRoute, random })
        await drain.run(signal)
      }
    }
  }

  /** Nothing is set aside. */
  get isEmpty(): boolean {
    return [...this.#logs.values()].every((log) => (log.account()?.pending ?? 0) === 0)
  }

  /** Parks that were ever used. */
  status(): ParkedStatus[] {
    return [...this.#logs.values()].flatMap((log) => {
      const account = log.account()
      if (account === null) return []
      return {
        route: log.routeId,
        destination: log.outputId,
        ...log.status(),
        appended: account.appended,
        delivered: account.delivered + account.duplicateSuppressed,
        duplicateSuppressed: account.duplicateSuppressed,
        deadLettered: account.deadLettered,
        dropped: account.dropped,
        lost: account.lost,
        pending: account.pending
      }
    })
  }

  async close(): Promise<void> {
    await Promise.all([...this.#logs.values()].map((log) => log.close()))
  }
}
