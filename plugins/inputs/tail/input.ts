// Steps 1 and 2. Runs on: ingest.
// The tail input: one ingest thread has it. Files are looked at every POLL_MS (decision 35 says why not by inotify), new
// ones are searched for every refresh_interval and when a name leads to another file. A stop waits for the chunks that are
// on their way, and writes the positions.

import fs from 'node:fs'
import type { ScanKernel } from '../../../src/kernel/scan-kernel.ts'
import type { CreateInput, Input, InputAddresses, InputContext } from '../../../src/plugin/input.ts'
import { FileFinder } from './file-finder.ts'
import { FileSet } from './file-set.ts'
import type { TailOptions } from './options.ts'
import { PositionBook } from './position-book.ts'
import { ReadingTurns } from './reading-turns.ts'
import type { TailFile } from './tail-file.ts'
import { UnreadableFiles } from './unreadable-files.ts'

const POLL_MS = 250
/** The name of a file that does not grow is looked up this often. */
const NAME_CHECK_MS = 1000

const createInput: CreateInput<TailOptions, ScanKernel> = (options, context) =>
  new TailInput(options, context)

export default createInput

class TailInput implements Input {
  readonly #options: TailOptions
  readonly #context: InputContext<ScanKernel>
  readonly #finder: FileFinder
  readonly #unreadable: UnreadableFiles
  readonly #turns: ReadingTurns<TailFile>
  #book: PositionBook | null = null
  #files: FileSet | null = null
  readonly #cancels = { poll: () => {}, refresh: () => {} }
  #isRefreshing = false
  #isStopped = false
  #nameCheckMs = 0
  /** Told when a chunk is settled; a stop waits with it. */
  #onSettled = () => {}

  constructor(options: TailOptions, context: InputContext<ScanKernel>) {
    this.#options = options
    this.#context = context
    this.#finder = new FileFinder(options)
    this.#unreadable = new UnreadableFiles(context)
    this.#turns = new ReadingTurns({
      clock: context.clock,
      appender: context.appender,
      counters: context.counters,
      read: (file) => this.#files?.read(file) ?? 'idle'
    })
  }

  async start(): Promise<InputAddresses> {
    const { clock, log, ordinal, stateFile, thread } = this.#context
    if (ordinal % thread.count !== thread.index) return []
    const book = new PositionBook({
      clock,
      log,
      state: stateFile('positions'),
      current: () => this.#files?.positions() ?? []
    })
    this.#book = book
    this.#files = new FileSet({
      options: this.#options,
      context: this.#context,
      book,
      unreadable: this.#unreadable,
      onSettled: (file, isStored) => this.#settled(file, isStored)
    })
    await this.#refresh()
    if (this.#isStopped) return []
    this.#poll()
    this.#refreshLater()
    return []
  }

  async stop(signal: AbortSignal): Promise<void> {
    if (this.#isStopped) return
    this.#isStopped = true
    this.#cancels.poll()
    this.#cancels.refresh()
    this.#turns.stop()
    await this.#flightsEnd(signal)
    this.#files?.closeAll()
    await this.#book?.stop()
  }

  #flightsEnd(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const check = () => {
        const isFlying = [...(this.#files?.files ?? [])].some((file) => file.isOnItsWay)
        if (!isFlying || signal.aborted) resolve()
      }
      this.#onSettled = check
      signal.addEventListener('abort', check, { once: true })
      check()
    })
  }

  #poll(): void {
    const nowMs = this.#context.clock.monotonicMs()
    const isNameCheck = nowMs - this.#nameCheckMs >= NAME_CHECK_MS
    if (isNameCheck) this.#nameCheckMs = nowMs
    let isRotated = false
    for (const file of this.#files?.files ?? []) {
      if (file.isOnItsWay || this.#turns.has(file)) continue
      if (isNameCheck && this.#files?.checkName(file)) isRotated = true
      if (nowMs < file.nextLookMs) continue
      if (this.#files?.look(file, nowMs) || this.#files?.finish(file)) this.#turns.add(file)
    }
    // Something else may have the name now.
    if (isRotated) void this.#refresh()
    this.#cancels.poll = this.#context.clock.after(POLL_MS, () => this.#poll())
  }

  #refreshLater(): void {
    this.#cancels.refresh = this.#context.clock.after(this.#options.refresh_interval, () => {
      void this.#refresh()
      this.#refreshLater()
    })
  }

  /** One at a time; never rejects. */
  async #refresh(): Promise<void> {
    if (this.#isRefreshing) return
    this.#isRefreshing = true
    try {
      for (const directory of this.#finder.directories) this.#checkDirectory(directory)
      const paths = await this.#finder.find()
      if (this.#isStopped) return
      this.#files?.refresh(paths)
      const homes = [...(this.#files?.files ?? [])].map(({ home }) => home)
      this.#unreadable.retain(new Set([...this.#finder.directories, ...paths, ...homes]))
    } catch (error) {
      this.#unreadable.add(this.#options.paths.join(', '), error)
    } finally {
      this.#isRefreshing = false
    }
  }

  /** A search says nothing of a directory that it cannot read. */
  #checkDirectory(directory: string): void {
    try {
      fs.accessSync(directory, fs.constants.R_OK | fs.constants.X_OK)
      this.#unreadable.remove(directory)
    } catch (error) {
      this.#unreadable.add(directory, error)
    }
  }

  #settled(file: TailFile, isStored: boolean): void {
    this.#onSettled()
    if (this.#isStopped) return
    if (isStored) this.#turns.add(file)
    else this.#turns.addLater(file)
  }
}
