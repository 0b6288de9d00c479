// Step 7. Runs on: any. From the options of the syslog_rfc3164 parser to its operation.

import type { StepContext, StepOperation } from '../../../src/plugin/step.ts'
import { type SyslogParserConfig, syslogOperation } from '../../../src/plugin/syslog-parser.ts'

export default function compile(config: SyslogParserConfig, context: StepContext): StepOperation {
  return syslogOperation(config, 'rfc3164', context)
}
