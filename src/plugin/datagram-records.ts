// Steps 1 to 4. Runs on: ingest.
// Datagrams to records: those that came together are written into one block and go into the queue as one run. While the
// queue is full they wait in the block; what finds no room there is dropped and counted, as is what the system dropped.
// Limit: BLOCK_BYTES of waiting records.

import type { CancelTimer } from '../core/clock.ts'
import type { ScanKernel } from '../kernel/scan-kernel.ts'
import { type Datagram, DatagramSocket } from '../net/datagram-socket.ts'
import { type DatagramAddress, formatListenAddress } from '../net/listen-address.ts'
import { EntryWriter, entryTimeOf } from './entry-writer.ts'
import type { InputContext } from './input.ts'
import type { TextOptions } from './line-streams.ts'

const BLOCK_BYTES = 2 * 1024 * 1024
/** The system is asked this often what it dropped. */
const DROPS_MS = 5000
const LINE_FEED = 0x0a
const CARRIAGE_RETURN = 0x0d

export interface DatagramRecordOptions extends TextOptions {
  /** Buffer of the system; 0: its default. */
  readonly receive_buffer: number
}

export interface DatagramForm {
  /** Field with the text. */
  readonly key: string
  /** Every line of a datagram is a record. */
  readonly isSplit: boolean
}

export class DatagramRecords {
  readonly #options: DatagramRecordOptions
  readonly #context: InputContext<ScanKernel>
  readonly #form: DatagramForm
  readonly #tag: Buffer
  readonly #sockets: DatagramSocket[] = []
  readonly #dropped = new Map<DatagramSocket, number>()
  #block: Buffer | null = null
  #writer = new EntryWriter(Buffer.alloc(0))
  /** Sender of what the block holds. */
  #peer = ''
  #isWaiting = false
  #isClosed = false
  #cancelDrops: CancelTimer = () => {}

  constructor(
    options: DatagramRecordOptions,
    context: InputContext<ScanKernel>,
    form: DatagramForm
  ) {
    this.#options = options
    this.#context = context
    this.#form = form
    this.#tag = Buffer.from(options.tag)
  }

  /** The address as bound. */
  async listen({ host, port }: DatagramAddress): Promise<string> {
    const { receive_buffer } = this.#options
    if (this.#block === null) {
      this.#block = this.#context.kernel.reserve(BLOCK_BYTES)
      this.#writer = new EntryWriter(this.#block)
      this.#scheduleDrops()
    }
    const socket = await DatagramSocket.open({
      host,
      port,
      receiveBufferBytes: receive_buffer === 0 ? null : receive_buffer,
      onBatch: (batch) => this.#take(batch)
    })
    this.#sockets.push(socket)
    const { log } = this.#context
    const given = socket.receiveBufferBytes
    if (given < receive_buffer) {
      const listen = formatListenAddress({ kind: 'udp', host, port: socket.port })
      const fields = { event: 'udp.buffer', listen, wanted: receive_buffer, given }
      log.warn(fields, 'the system gives a smaller receive buffer: see net.core.rmem_max')
    }
    return formatListenAddress({ kind: 'udp', host, port: socket.port })
  }

  async stop(): Promise<void> {
    if (this.#isClosed) return
    this.#cancelDrops()
    await this.#countDrops()
    await Promise.all(this.#sockets.map((socket) => socket.close()))
    this.#isClosed = true
    if (this.#flush()) return
    const { recordCount } = this.#writer
    this.#context.counters.add('input_rejected_records_total/stopped', recordCount)
  }

  #take(batch: readonly Datagram[]): void {
    const { clock, counters } = this.#context
    const time = entryTimeOf(clock.nowMs())
    for (const { address, bytes } of batch) {
      counters.add('received_bytes', bytes.length)
      this.#turnTo(address)
      if (!this.#form.isSplit) this.#put(bytes, address, time)
      else for (const line of linesOf(bytes)) this.#put(line, address, time)
    }
    if (!this.#isWaiting) this.#flush()
  }

  /** Records of one run have one sender where the route may ask for it. */
  #turnTo(address: string): void {
    if (!this.#options.source_address || address === this.#peer) return
    if (this.#flush()) this.#peer = address
  }

  #put(datagram: Buffer, address: string, time: ReturnType<typeof entryTimeOf>): void {
    const { keep_empty, max_line_bytes, source_address } = this.#options
    const text = withoutEnd(datagram)
    if (text.length === 0 && !keep_empty) {
      this.#drop('empty')
      return
    }
    if (text.length > max_line_bytes) {
      this.#drop('too_large')
      return
    }
    if (source_address && this.#peer !== address) {
      this.#drop('full')
      return
    }
    if (this.#write(text, address, time)) return
    if (this.#isWaiting || !this.#flush() || !this.#write(text, address, time)) this.#drop('full')
  }

  #write(text: Buffer, address: string, time: ReturnType<typeof entryTimeOf>): boolean {
    const { source_key } = this.#options
    const writer = this.#writer
    writer.begin(time)
    if (source_key !== null) writer.text(source_key, address)
    writer.text(this.#form.key, text)
    return writer.end()
  }

  #drop(reason: 'full' | 'too_large' | 'empty'): void {
    this.#context.counters.add(`input_dropped_datagrams_total/${reason}`, 1)
  }

  /** False: there is no room in the queue. */
  #flush(): boolean {
    const { appender, counters, id } = this.#context
    const writer = this.#writer
    const { recordCount } = writer
    if (recordCount === 0) return true
    const run = {
      tag: this.#tag,
      form: 1,
      entries: writer.bytes,
      recordCount,
      ingestId: null,
      hasIngestIds: false,
      minTimeSeconds: writer.minTimeSeconds,
      maxTimeSeconds: writer.maxTimeSeconds
    } as const
    if (appender.append({ inputId: id, peer: this.#peer }, [run], null) === 'full') {
      this.#waitForRoom()
      return false
    }
    counters.add('received_records', recordCount)
    writer.clear()
    return true
  }

  #waitForRoom(): void {
    if (this.#isWaiting || this.#isClosed) return
    this.#isWaiting = true
    this.#context.counters.add('input_paused_total/room', 1)
    this.#context.appender.onRoom(() => {
      this.#isWaiting = false
      if (!this.#isClosed) this.#flush()
    })
  }

  #scheduleDrops(): void {
    this.#cancelDrops = this.#context.clock.after(DROPS_MS, () => {
      if (!this.#isClosed) this.#scheduleDrops()
      this.#countDrops().catch(() => {})
    })
  }

  async #countDrops(): Promise<void> {
    for (const socket of this.#sockets) {
      const count = (await socket.dropCount()) ?? 0
      const before = this.#dropped.get(socket) ?? 0
      this.#dropped.set(socket, Math.max(before, count))
      if (count <= before) continue
      this.#context.counters.add('input_dropped_datagrams_total/system', count - before)
    }
  }
}

/** Senders end a datagram with a line end or a NUL; neither belongs to the text. */
function withoutEnd(text: Buffer): Buffer {
  let end = text.length
  while (end > 0) {
    const last = text[end - 1]
    if (last !== LINE_FEED && last !== CARRIAGE_RETURN && last !== 0) break
    end--
  }
  return text.subarray(0, end)
}

function* linesOf(text: Buffer): Generator<Buffer> {
  let start = 0
  for (let end = text.indexOf(LINE_FEED); end >= 0; end = text.indexOf(LINE_FEED, start)) {
    yield text.subarray(start, end)
    start = end + 1
  }
  if (start < text.length || start === 0) yield text.subarray(start)
}
