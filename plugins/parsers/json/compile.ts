// Step 7. Runs on: any. From the options of the JSON parser to its operation.

import { type ParserConfig, parseOperation } from '../../../src/plugin/parser.ts'
import type { StepContext, StepOperation } from '../../../src/plugin/step.ts'

export default function compileJson(config: ParserConfig, context: StepContext): StepOperation {
  return parseOperation(config, { kind: 'json' }, { types: {}, time: null }, context)
}
