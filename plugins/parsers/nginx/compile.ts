// Step 7. Runs on: any. From the options of the nginx parser to its operation.

import {
  type ParserConfig,
  type ParserDefaults,
  parseOperation
} from '../../../src/plugin/parser.ts'
import type { StepContext, StepOperation } from '../../../src/plugin/step.ts'

/** The combined log format; `code` and `size` are numbers in every line that nginx writes. */
const DEFAULTS: ParserDefaults = {
  types: { code: 'integer', size: 'integer' },
  time: { key: 'time', format: '%d/%b/%Y:%H:%M:%S %z' }
}

export default function compileNginx(config: ParserConfig, context: StepContext): StepOperation {
  return parseOperation(config, { kind: 'nginx' }, DEFAULTS, context)
}
