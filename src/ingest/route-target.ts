// Steps 3 and 4. Runs on: ingest.
// A shard as router and appender see it.

import type { ShardAppender } from '../storage/writer/append.ts'
import type { ControlBlock } from './control-block.ts'
import type { SharedRoom } from './pressure.ts'

/** A shard of a route that this thread writes. */
export interface RouteTarget {
  readonly kind: 'shard'
  /** `routes/<route>`, `dlq/in.<input>`, `dlq/unmatched`. */
  readonly log: string
  readonly shardNumber: number
  readonly writer: ShardAppender
  readonly control: ControlBlock
  readonly room: SharedRoom
  /** Whether records that `drop_newest` refuses are acknowledged nevertheless. */
  readonly isDroppedAcked: boolean
  /** Something was appended since the last commit. The appender's own. */
  isDirty: boolean
}
