// Runs on: any.
// The contract of inputs. They run on ingest threads, hand the bytes of whole messages to the appender, and answer the
// sender when the appender says that the message is durable in every route that matched.

import type { Clock } from '../core/clock.ts'
import type { HeldBytes } from '../net/held-bytes.ts'
import type { OutputLog } from './output.ts'

/** Bytes of one message, or of many Message-mode messages, that belong to one tag; up to 4 MiB. Read at once, not kept. */
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
  /** Form 2: some of the messages hold a `chunk`. */
  readonly hasIngestIds: boolean
  /** Event times in seconds, for the frame header; Infinity and -Infinity: none is usable. */
  readonly minTimeSeconds: number
  readonly maxTimeSeconds: number
}

/** Told once per message: stored under the policy of every matched route, or given up (the sender has to send again). */
export interface DurableListener {
  onDurable(): void
  /** `storedIn`: logs that have it nevertheless, where that is known. */
  onRejected(reason: string, storedIn?: readonly string[]): void
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
   * Appends one message: its runs share tag and id, and are stored whole or not at all. Order of calls of one connection is
   * the order in the queue. Runs are copied or written before the call returns. After `full` the next call of the same
   * source is the same message with the same listener. `storedIn`: logs that have it from before and get nothing.
   */
  append(
    source: AppendSource,
    runs: readonly Run[],
    listener: DurableListener | null,
    storedIn?: readonly string[]
  ): AppendOutcome
  /**
   * As `append`, with what of the same message no step can read: nothing of either is stored while there is no room for
   * both, so that a message that comes again leaves one dead letter.
   */
  appendWithLetter(
    source: AppendSource,
    runs: readonly Run[],
    letter: RefusedBytes,
    listener: DurableListener | null
  ): AppendOutcome
  /** Bytes that no step can read: dead letter of the input (`dlq/in.<input>`), the listener is told when it is durable. */
  refuse(
    source: AppendSource,
    letter: RefusedBytes,
    listener: DurableListener | null
  ): AppendOutcome
  /**
   * The same for a message that is too long to be there at once. It waits for room by itself, one at a time per thread, and
   * is stored whole or not at all in each route, in parts, other messages in between. The listener is always told.
   */
  appendLong(
    source: AppendSource,
    message: LongMessage,
    listener: DurableListener,
    storedIn?: readonly string[]
  ): LongAppend
  /** A dead letter that is too long to be there at once. */
  refuseLong(source: AppendSource, letter: LongLetter, listener: DurableListener): LongAppend
  /** Calls back once when there may be room again. */
  onRoom(callback: () => void): void
}

/** Entries of one tag whose bytes are read in parts, anew each time they are offered. */
export interface LongMessage {
  readonly tag: Uint8Array
  readonly ingestId: Uint8Array | null
  readonly recordCount: number
  /** About how much it will take on the disk. */
  readonly byteCount: number
  read(): PartReader
}

export interface PartReader {
  /** Views, good until the next call; null: that was all. Throws when the bytes cannot be read. */
  next(): { readonly run: Run; readonly isLast: boolean } | null
  close(): void
}

export interface LongLetter {
  readonly reason: string
  readonly tag: Uint8Array
  readonly byteCount: number
  /** Fills `into` with the bytes from `atByte` on. Throws when they cannot be read. */
  read(into: Uint8Array, atByte: number): void
}

export interface LongAppend {
  /** Nothing more is read; the listener is not told. */
  cancel(): void
}

/** A file that lives as long as it is open. Reads and writes throw MR_STORE_IO when the disk fails. */
export interface SpoolFile {
  readonly byteCount: number
  /** Whether more should be read from the sender now. */
  readonly hasRoom: boolean
  /** False: the volume is full, and the bytes have to be kept. */
  append(bytes: Uint8Array): boolean
  /** Fills `into`. */
  read(into: Uint8Array, atByte: number): void
  close(): void
}

export interface Spools {
  open(): SpoolFile
}

/** A small file that an input keeps over starts, in the data directory. */
export interface StateFile {
  /** Null: there is none yet. */
  read(): Buffer | null
  /** Durable when it settles; a crash leaves the old bytes or the new ones. One call at a time. */
  write(bytes: Buffer): Promise<void>
}

/** What the process logged: lines of JSON with their line feeds, all of one component. */
export interface OwnLogLines {
  readonly component: string
  readonly text: string
}

/** The log of the process, handed on by main, for the one input that takes it. */
export interface OwnLog {
  /** `take` gets what was logged; `done` says that nothing of it waits any more. Thread 0 alone is given anything. */
  open(take: (batch: readonly OwnLogLines[], done: () => void) => void): void
}

export interface RefusedBytes {
  /** `undecodable`, `too_large`... */
  readonly reason: string
  /** Tag of the message; empty: none was found. */
  readonly tag: Uint8Array
  readonly bytes: Uint8Array
}

/** One object per connection or request. */
export interface AppendSource {
  readonly inputId: string
  /** Peer address for `${source.address}`; '' when the input does not want it. */
  readonly peer: string
}

/** A message that may have been stored before. */
export interface Resend {
  readonly tag: Uint8Array
  /** With its MessagePack type byte. */
  readonly id: Uint8Array
  /** It may come again, and is to be found again. */
  readonly isKept: boolean
  /** The message has parts besides its entries: that a log has its entries does not say that the rest is stored. */
  readonly isWholeOnly: boolean
  /** Told after `pending`. */
  readonly listener: DurableListener
}

/**
 * `fresh`: store it. `stored`: it is, answer at once. `pending`: it will be, the listener is told. `storedIn`: these logs
 * have it, the others want it.
 */
export type ResendAnswer = 'fresh' | 'stored' | 'pending' | { readonly storedIn: readonly string[] }

/** Messages of an input that are stored although their sender may not know it. Costs one comparison while there are none. */
export interface Resends {
  /** Nothing remembered: nothing to look up. */
  readonly isEmpty: boolean
  /** A message that was found is forgotten unless it `isKept`. */
  find(resend: Resend): ResendAnswer
  /** A durable message whose ack may not have arrived. `logs`: those that have it; null: all that take the tag. */
  addStored(tag: Uint8Array, id: Uint8Array, logs: readonly string[] | null): void
  /** A message of a connection that ended before it was durable, or one that may come again at once; `settle` follows. */
  addPending(tag: Uint8Array, id: Uint8Array): void
  /** True: it came again meanwhile, and whoever sent it is told. */
  settle(tag: Uint8Array, id: Uint8Array, isStored: boolean, isKept: boolean): boolean
}

/** Counters an input adds to; keys stand in metrics/ingest-counters.ts. */
export interface InputCounters {
  add(key: string, value: number): void
}

export interface InputContext<K> {
  readonly id: string
  readonly appender: Appender
  readonly clock: Clock
  readonly log: OutputLog
  readonly counters: InputCounters
  readonly resends: Resends
  /** Bytes of unfinished messages of all connections of the thread. */
  readonly held: HeldBytes
  /** Files for messages that are too long for memory. */
  readonly spools: Spools
  readonly ownLog: OwnLog
  /** A file of this input alone; `name` is a plain file name. */
  stateFile(name: string): StateFile
  /** The kernel instance of this ingest thread (kernel/scan-kernel.ts); typed by the input that uses it. */
  readonly kernel: K
  /** Of the process: TLS listeners of all threads derive the keys of their session tickets from it. */
  readonly ticketSecret: Uint8Array
  /** The certificate that a listener shows from now on ends then. */
  reportCertificate(listener: string, endsMs: number): void
  /** Number of this ingest thread and how many there are: TCP listeners exist on each, a Unix socket on one. */
  readonly thread: { readonly index: number; readonly count: number }
  /** Index of this input among all inputs, which spreads Unix sockets over the threads. */
  readonly ordinal: number
}

/**
 * `start` opens the listeners and settles when they accept. `pauseAll`/`stop`: stop accepting, finish what was read, answer
 * what is durable, close. `stop` is safe before `start` and twice.
 */
export interface Input {
  start(): Promise<InputAddresses>
  stop(signal: AbortSignal): Promise<void>
}

/** Addresses as bound, with real port numbers: `tcp://127.0.0.1:24224`. */
export type InputAddresses = readonly string[]

export type CreateInput<C, K> = (config: C, context: InputContext<K>) => Input
