// Steps 1 to 4. Runs on: ingest.
// Log lines of the process to records, on thread 0. Main sends the next lines when these have found room, and bounds what
// waits (OWN_LOG_BYTES_MAX). Nothing is logged here: it would come back.

import type { ScanKernel } from '../../../src/kernel/scan-kernel.ts'
import { type EntryTime, entryTimeOf } from '../../../src/plugin/entry-writer.ts'
import type {
  AppendSource,
  CreateInput,
  Input,
  InputContext,
  OwnLogLines,
  Run
} from '../../../src/plugin/input.ts'

export interface InternalOptions {
  readonly tag: string
}

const LINE_FEED = 0x0a
const TIME_KEYS = ['time']

/** Entries in a block of the kernel, which goes back when they are stored or given up. */
interface Waiting {
  readonly run: Run
  readonly block: Buffer
}

class InternalInput implements Input {
  readonly #options: InternalOptions
  readonly #context: InputContext<ScanKernel>
  readonly #source: AppendSource
  #waiting: Waiting[] = []
  #answers: (() => void)[] = []
  #isWaiting = false
  #isClosed = false

  constructor(options: InternalOptions, context: InputContext<ScanKernel>) {
    this.#options = options
    this.#context = context
    this.#source = { inputId: context.id, peer: '' }
  }

  async start(): Promise<readonly string[]> {
    const { ownLog, thread } = this.#context
    if (thread.index === 0) ownLog.open((batch, done) => this.#take(batch, done))
    return []
  }

  async stop(): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    for (const { block, run } of this.#waiting) {
      this.#reject('stopped', run.recordCount)
      this.#context.kernel.giveBack(block)
    }
    this.#waiting = []
  }

  #take(batch: readonly OwnLogLines[], done: () => void): void {
    const time = entryTimeOf(this.#context.clock.nowMs())
    for (const { component, text } of batch) {
      const tag = Buffer.from(`${this.#options.tag}.${component}`)
      this.#convert(Buffer.from(text), tag, time)
    }
    this.#answers.push(done)
    if (!this.#isWaiting) this.#flush()
  }

  /** A line that is no good costs no other. */
  #convert(lines: Buffer, tag: Buffer, time: EntryTime): void {
    const { counters, kernel } = this.#context
    counters.add('received_bytes', lines.length)
    let start = 0
    while (start < lines.length) {
      const text = lines.subarray(start)
      const result = kernel.json.toEntries(text, {
        timeSeconds: time.seconds,
        timeNanos: time.nanos,
        timeKeys: TIME_KEYS,
        isByLine: true
      })
      if (result === null) {
        this.#reject('overflow', lineCount(text))
        return
      }
      this.#keep(result.bytes, result.valueCount, tag)
      if (result.error === null) return
      this.#reject('bad_record', 1)
      const end = text.indexOf(LINE_FEED, result.error.valueStartByte)
      start = end < 0 ? lines.length : start + end + 1
    }
  }

  #keep(block: Buffer, recordCount: number, tag: Buffer): void {
    const { kernel } = this.#context
    if (recordCount === 0) {
      kernel.giveBack(block)
      return
    }
    kernel.scanBody(block)
    const { minSeconds, maxSeconds } = kernel.unit(0)
    const run = {
      tag,
      form: 1,
      entries: block,
      recordCount,
      ingestId: null,
      hasIngestIds: false,
      minTimeSeconds: minSeconds,
      maxTimeSeconds: maxSeconds
    } as const
    this.#waiting.push({ run, block })
  }

  /** In order: after `full` the same entries come again. */
  #flush(): void {
    const { appender, counters, kernel } = this.#context
    for (;;) {
      const [first] = this.#waiting
      if (first === undefined) break
      if (appender.append(this.#source, [first.run], null) === 'full') {
        this.#waitForRoom()
        return
      }
      counters.add('received_records', first.run.recordCount)
      kernel.giveBack(first.block)
      this.#waiting.shift()
    }
    for (const done of this.#answers.splice(0)) done()
  }

  #waitForRoom(): void {
    this.#isWaiting = true
    this.#context.counters.add('input_paused_total/room', 1)
    this.#context.appender.onRoom(() => {
      this.#isWaiting = false
      if (!this.#isClosed) this.#flush()
    })
  }

  #reject(reason: 'stopped' | 'overflow' | 'bad_record', recordCount: number): void {
    this.#context.counters.add(`input_rejected_records_total/${reason}`, recordCount)
  }
}

function lineCount(text: Buffer): number {
  let count = 0
  for (let at = text.indexOf(LINE_FEED); at >= 0; at = text.indexOf(LINE_FEED, at + 1)) count++
  return count
}

const createInput: CreateInput<InternalOptions, ScanKernel> = (options, context) =>
  new InternalInput(options, context)

export default createInput
