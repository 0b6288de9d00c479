// Runs on: any (types only).
// The contract of inputs. They run on ingest threads, hand the bytes of whole messages to the appender, and answer the
// sender when the appender says that the message is durable in every route that matched.

import type { Clock } from '../core/clock.ts'
import type { OutputLog } from './output.ts'

/** Bytes of one message, or of many Message-mode messages of one tag, that belong to one tag. Views are read at once and not kept. */
export interface Run {
  /** Tag as received, cut to the limit; UTF-8 not checked. */
  readonly tag: Uint8Array
  /** 1: `[time, record]` and `[[time, meta], record]`; 2: whole Message-mode messages. */
  readonly form: 1 | 2
  readonly entries: Uint8Array
  /** Entries in `entries`; 0 for nothing to store. */
  readonly recordCount: number
  /** Forward `chunk` value with its MessagePack type byte, form 1 only; null: none. */
  readonly ingestId: Uint8Array | null
  /** Event times in seconds, for the frame header. */
  readonly minTimeSeconds: number
  readonly maxTimeSeconds: number
}

/** Told once per message: stored under the policy of every matched route, or given up (the sender has to send again). */
export interface DurableListener {
  onDurable(): void
  onRejected(reason: string): void
}

export type AppendOutcome =
  /** Taken; the listener (if any) is told later. */
  | 'taken'
  /** A matched route is full or its disk has trouble: nothing of the message was stored where it is full. Pause, keep the
   * message, and offer it again when `onRoom` calls. */
  | 'full'

/** What an input sees of steps 3 to 5. One per ingest thread. */
export interface Appender {
  /**
   * Appends one message (all its runs). Order of calls of one connection is the order in the queue. Runs are copied or
   * written before the call returns.
   */
  append(
    source: AppendSource,
    runs: readonly Run[],
    listener: DurableListener | null
  ): AppendOutcome
  /** Bytes that no step can read: dead letter of the input (`dlq/in.<input>`), the listener is told when it is durable. */
  refuse(
    source: AppendSource,
    reason: string,
    bytes: Uint8Array,
    listener: DurableListener | null
  ): AppendOutcome
  /** Calls back once when there may be room again. */
  onRoom(callback: () => void): void
}

export interface AppendSource {
  readonly inputId: string
  /** Peer address for `source_address_key`; '' when the input does not want it. */
  readonly peer: string
}

/** Counters an input adds to; names are metrics of metrics/catalog.ts. */
export interface InputCounters {
  add(name: string, value: number): void
}

export interface InputContext<K> {
  readonly id: string
  readonly appender: Appender
  readonly clock: Clock
  readonly log: OutputLog
  readonly counters: InputCounters
  /** The kernel instance of this ingest thread (kernel/scan-kernel.ts); typed by the input that uses it. */
  readonly kernel: K
  /** Number of this ingest thread and how many there are: TCP listeners exist on each, a Unix socket on one. */
  readonly thread: { readonly index: number; readonly count: number }
  /** Index of this input among all inputs, which spreads Unix sockets over the threads. */
  readonly ordinal: number
}

/**
 * `start` opens the listeners and settles when they accept. `pauseAll`/`stop`: stop accepting, finish what was read, answer
 * what is durable, close (forward.md 5.5). `stop` is safe before `start` and twice.
 */
export interface Input {
  start(): Promise<InputAddresses>
  stop(signal: AbortSignal): Promise<void>
}

/** Addresses as bound, with real port numbers: `tcp://127.0.0.1:24224`. */
export type InputAddresses = readonly string[]

export type CreateInput<C, K> = (config: C, context: InputContext<K>) => Input
