// Random appends, rotations, truncations, deletions and restarts against a model of what has to be stored: every line once,
// in the order of its file. MILLRACE_TAIL_SEED repeats a run, MILLRACE_TAIL_RUNS makes more of them.

import fs from 'node:fs'
import t, { type Test } from 'tap'
import { seededRandom } from '../../../test/support/seeded-random.ts'
import { type TailHost, TailPlace } from '../../../test/support/tail-host.ts'

const RUNS = Number(process.env['MILLRACE_TAIL_RUNS'] ?? 5)
const SEED = Number(process.env['MILLRACE_TAIL_SEED'] ?? Date.now() % 2 ** 31)
const STEPS = 40
const ROTATED_MAX = 3

t.setTimeout(60_000 + RUNS * 20_000)

/** The file of a name: which lines it got, and what of the last one is there. */
class LogFile {
  readonly name: string
  /** A file of one life between two truncations; the order holds within it. */
  stream: number
  partial = ''
  count = 0

  constructor(name: string, stream: number) {
    this.name = name
    this.stream = stream
  }
}

class Model {
  readonly place: TailPlace
  /** Lines in the order in which they were written. */
  readonly expected: string[] = []
  readonly files: LogFile[] = []
  #streamCount = 0
  #nameCount = 0

  constructor(place: TailPlace) {
    this.place = place
  }

  create(): void {
    this.files.push(new LogFile(`f${this.#nameCount++}.log`, this.#streamCount++))
  }

  append(file: LogFile, lineCount: number, isOpen: boolean): void {
    let text = ''
    for (let i = 0; i < lineCount; i++) {
      const rest = file.partial === '' ? this.#lineOf(file) : '.'
      this.expected.push(file.partial + rest)
      file.partial = ''
      text += `${rest}\n`
    }
    if (isOpen && file.partial === '') {
      file.partial = this.#lineOf(file)
      text += file.partial
    }
    this.place.write(file.name, text)
  }

  rotate(file: LogFile): void {
    const { place } = this
    if (!fs.existsSync(place.file(file.name))) return
    for (let n = ROTATED_MAX; n > 0; n--) {
      const from = place.file(n === 1 ? file.name : `${file.name}.${n - 1}`)
      if (fs.existsSync(from)) fs.renameSync(from, place.file(`${file.name}.${n}`))
    }
    this.#end(file)
  }

  delete(file: LogFile): void {
    if (!fs.existsSync(this.place.file(file.name))) return
    fs.unlinkSync(this.place.file(file.name))
    this.#end(file)
  }

  /** Only what is stored before is not lost; a part of a line is. */
  truncate(file: LogFile): void {
    if (!fs.existsSync(this.place.file(file.name))) return
    fs.truncateSync(this.place.file(file.name))
    file.partial = ''
    file.stream = this.#streamCount++
  }

  /** A line without an end is a line once its file is gone from its name. */
  #end(file: LogFile): void {
    if (file.partial !== '') this.expected.push(file.partial)
    file.partial = ''
    file.stream = this.#streamCount++
  }

  #lineOf(file: LogFile): string {
    return `stream ${file.stream} line ${file.count++} of ${file.name}`
  }
}

const streamOf = (line: string): string => line.split(' ')[1] ?? ''

function byStream(lines: readonly string[]): Record<string, string[]> {
  const streams: Record<string, string[]> = {}
  for (const line of lines) {
    const stream = streamOf(line)
    streams[stream] ??= []
    streams[stream].push(line)
  }
  return streams
}

async function run(t: Test, seed: number): Promise<void> {
  const random = seededRandom(seed)
  const below = (count: number) => Math.floor(random() * count)
  const place = new TailPlace(t)
  const model = new Model(place)
  const options = { paths: [place.file('*.log*')], rotate_wait: 2000, refresh_interval: 1000 }
  model.create()
  model.create()
  let tail: TailHost = await place.start(t, options)
  const stored = () =>
    tail.untilLines(
      model.expected.length,
      model.files.reduce((sum, { partial }) => sum + partial.length, 0)
    )
  for (let step = 0; step < STEPS; step++) {
    const file = model.files[below(model.files.length)]
    if (file === undefined) break
    const what = random()
    if (what < 0.6) model.append(file, below(4), random() < 0.3)
    else if (what < 0.7) await tail.pass(250 * below(20))
    else if (what < 0.78) {
      // A file that is found under its new name only is not known to be done with.
      if (file.partial !== '') await stored()
      model.rotate(file)
      if (random() < 0.5) model.append(file, 1, false)
      await stored()
    } else if (what < 0.84) {
      await stored()
      model.delete(file)
      await stored()
    } else if (what < 0.92) {
      await stored()
      model.truncate(file)
      if (random() < 0.5) model.append(file, 1 + below(3), false)
      else await tail.pass(2000)
    } else {
      await tail.stop()
      if (random() < 0.5) model.append(file, below(3), false)
      if (random() < 0.3 && file.partial === '') model.rotate(file)
      tail = await place.start(t, options)
    }
  }
  await stored()
  await tail.pass(3000)
  t.same(byStream(tail.lines()), byStream(model.expected), `seed ${seed}`)
  await tail.stop()
}

for (let i = 0; i < RUNS; i++) {
  t.test(`random run ${i} stores every line once and in order`, (t) => run(t, SEED + i))
}
