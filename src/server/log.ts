// Runs on: main.
// The one logger: pino, JSON lines on stdout, or short lines for a terminal. Fixed message and fields; never per record.

import { styleText } from 'node:util'
import { type Logger, pino } from 'pino'

export interface LogOptions {
  readonly level: string
  readonly format: 'json' | 'pretty'
  readonly out: { write(text: string): unknown }
}

export function createLog(options: LogOptions): Logger {
  const stream =
    options.format === 'json'
      ? options.out
      : { write: (line: string) => options.out.write(prettyLine(line)) }
  return pino(
    {
      level: options.level,
      base: null,
      timestamp: () => `,"time":"${new Date().toISOString()}"`,
      formatters: { level: (label) => ({ level: label }) }
    },
    { write: (line) => void stream.write(line) }
  )
}

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
