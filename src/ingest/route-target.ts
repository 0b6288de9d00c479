// Steps 3 and 4. Runs on: ingest.
// A shard as router and appender see it.

import type { ShardAppender } from '../storage/append.ts'
import type { ControlBlock } from './control-block.ts'

/** A shard of a route that this thread writes. */
export interface RouteTarget {
  readonly kind: 'shard'
  /** `routes/<route>`, `dlq/in.<input>`, `dlq/unmatched`. */
  readonly log: string
  readonly shardNumber: number
  readonly writer: ShardAppender
  readonly control: ControlBlock
  readonly overflow: 'block' | 'drop_oldest' | 'drop_newest'
  /** Whether records that `drop_newest` refuses are acknowledged nevertheless. */
  readonly isDroppedAcked: boolean
  readonly bytesMax: number
  /** Something was appended since the last commit. The appender's own. */
  isDirty: boolean
}
