// A shard writer in memory: keeps what was appended and tells waiters when the test says so.

import { ControlBlock, Doorbell } from '../../src/ingest/control-block.ts'
import { type RoomOptions, SharedRoom } from '../../src/ingest/pressure.ts'
import type { RouteTarget } from '../../src/ingest/route-target.ts'
import type {
  AppendGroup,
  MessageHolder,
  ShardAppender,
  Waiter
} from '../../src/storage/writer/append.ts'
import { CONTROL_BLOCK_BYTES, type ShardState } from '../../src/threads/shared.ts'

export class FakeWriter implements ShardAppender {
  state: ShardState = 'ok'
  unsyncedBytes = 0
  nextOffset = 0
  commitCount = 0
  /** Refuses appends while the state still says ok, as a disk does that fails at this very write. */
  isRefusing = false
  readonly groups: AppendGroup[] = []
  #waiters: Waiter[] = []

  append(group: AppendGroup, waiter: Waiter | null): boolean {
    if (this.state !== 'ok' || this.isRefusing) return false
    this.groups.push({
      ...group,
      tag: Buffer.from(group.tag),
      entries: Buffer.from(group.entries),
      ingestId: group.ingestId === null ? null : Buffer.from(group.ingestId)
    })
    this.nextOffset += group.recordCount
    this.unsyncedBytes += group.entries.length
    if (waiter !== null) this.#waiters.push(waiter)
    return true
  }

  commit(): void {
    this.commitCount++
  }

  /** Of the long message that holds the shard. */
  heldGroups: AppendGroup[] = []
  #holder: MessageHolder | null = null

  get isHeld(): boolean {
    return this.#holder !== null
  }

  hold(holder: MessageHolder): boolean {
    if (this.state !== 'ok' || this.#holder !== null) return false
    this.#holder = holder
    this.heldGroups = []
    return true
  }

  appendPart(group: AppendGroup): boolean {
    if (this.state !== 'ok' || this.isRefusing) {
      const holder = this.#holder
      this.#holder = null
      queueMicrotask(() => holder?.onLost())
      return false
    }
    this.heldGroups.push({ ...group, entries: Buffer.from(group.entries) })
    return true
  }

  letGo(): void {
    this.#holder = null
  }

  /** The long message is durable, or lost. */
  settleHeld(isDurable: boolean): void {
    const holder = this.#holder
    this.#holder = null
    if (isDurable) holder?.onDurable()
    else holder?.onLost()
  }

  tick(): number {
    return 0
  }

  probe(): void {}

  seal(): boolean {
    return false
  }

  async close(): Promise<void> {}

  /** The sync ended. */
  finish(): void {
    const waiters = this.#waiters
    this.#waiters = []
    this.unsyncedBytes = 0
    for (const waiter of waiters) waiter.onDurable()
  }

  /** The sync failed. */
  fail(): void {
    const waiters = this.#waiters
    this.#waiters = []
    for (const waiter of waiters) waiter.onRejected('closed')
  }

  readonly syncAgeMs = 0

  get texts(): string[] {
    return this.groups.map((group) => Buffer.from(group.entries).toString())
  }
}

export interface FakeTarget extends RouteTarget {
  readonly writer: FakeWriter
  readonly words: BigInt64Array
}

export interface FakeTargetOptions extends Partial<Omit<RouteTarget, 'room' | 'writer'>> {
  readonly overflow?: RoomOptions['overflow']
  readonly bytesMax?: number
  readonly others?: readonly ControlBlock[]
}

export function fakeTarget(log: string, options: FakeTargetOptions = {}): FakeTarget {
  const { bytesMax = 1000, others = [], overflow = 'block', ...rest } = options
  const shared = new SharedArrayBuffer(CONTROL_BLOCK_BYTES)
  const control = new ControlBlock(shared, new Doorbell(new SharedArrayBuffer(4)))
  const writer = new FakeWriter()
  return {
    kind: 'shard',
    log,
    shardNumber: 0,
    control,
    isDroppedAcked: false,
    isDirty: false,
    ...rest,
    room: new SharedRoom({ bytesMax, others, overflow, writer, control }),
    writer,
    words: new BigInt64Array(shared)
  }
}
