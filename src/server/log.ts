// Runs on: main.
// The one logger: pino, JSON lines on stdout, or short lines for a terminal; the `internal` input gets the
// same lines as JSON. Fixed message and fields; never per record.

import { styleText } from 'node:util'
import { type Level, type Logger, multistream, pino } from 'pino'

export interface LogOptions {
  readonly level: string
  readonly format: 'json' | 'pretty'
  readonly out: { write(text: string): unknown }
  /** Gets every line of at least its level too, whatever `level` says. */
  readonly second: { readonly level: string; write(line: string): void } | null
}

export function createLog(options: LogOptions): Logger {
  const { second } = options
  const stream =
    options.format === 'json'
      ? options.out
      : { write: (line: string) => options.out.write(prettyLine(line)) }
  const streams = [
    streamOf(options.level, (line) => stream.write(line)),
    ...(second === null ? [] : [streamOf(second.level, (line) => second.write(line))])
  ]
  const heightOf = (level: string) => pino.levels.values[level] ?? 0
  const least = streams
    .map(({ level }) => level)
    .reduce((low, level) => (heightOf(level) < heightOf(low) ? level : low))
  return pino(
    {
      level: least,
      base: null,
      timestamp: () => `,"time":"${new Date().toISOString()}"`,
      formatters: { level: (label) => ({ level: label }) }
    },
    multistream(streams)
  )
}

const streamOf = (level: string, write: (line: string) => unknown) => ({
  // The choices of `--log-level`, and of options, are levels that pino has.
  level: level as Level,
  stream: { write: (line: string) => void write(line) }
})

/** `12:00:00.000 warn  message  key=value`. */
function prettyLine(line: string): string {
  const { time, level, msg, ...fields } = JSON.parse(line) as Record<string, unknown>
  const color = level === 'error' ? 'red' : level === 'warn' ? 'yellow' : 'green'
  const rest = Object.entries(fields).map(([key, value]) => {
    const text = typeof value === 'string' ? value : JSON.stringify(value)
    return styleText('dim', `${key}=${text}`)
  })
  const clock = String(time).slice(11, 23)
  return `${clock} ${styleText(color, String(level).padEnd(5))} ${[msg, ...rest].join('  ')}\n`
}
