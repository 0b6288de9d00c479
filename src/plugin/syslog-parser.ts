// Runs on: any.
// From the options of the syslog parsers to the parse operation.

import { type ParserConfig, parseOperation } from './parser.ts'
import type { StepContext, StepOperation, SyslogFormat } from './step.ts'

export interface SyslogParserConfig extends ParserConfig {
  readonly numbers?: boolean
  readonly structured_data?: 'nested' | 'flat' | 'text'
  readonly utc_offset?: string
}

export function syslogOperation(
  config: SyslogParserConfig,
  dialect: SyslogFormat['dialect'],
  context: StepContext
): StepOperation {
  const format: SyslogFormat = {
    kind: 'syslog',
    dialect,
    hasNumbers: config.numbers ?? false,
    structuredData: config.structured_data ?? 'nested',
    zoneSeconds: secondsOf(config.utc_offset ?? '+00:00'),
    isTimeKept: config.keep_time ?? false
  }
  return parseOperation(config, format, { types: {}, time: null }, context)
}

/** `+09:00` */
function secondsOf(offset: string): number {
  const [hours = '0', minutes = '0'] = offset.slice(1).split(':')
  const seconds = Number(hours) * 3600 + Number(minutes) * 60
  return offset.startsWith('-') ? -seconds : seconds
}
