// Step 7. Runs on: any. From the options of the regexp parser to its operation.

import { captureNames, parsePattern } from '../../../src/core/pattern.ts'
import { type ParserConfig, parseOperation } from '../../../src/plugin/parser.ts'
import type { StepContext, StepOperation } from '../../../src/plugin/step.ts'

export interface RegexpConfig extends ParserConfig {
  readonly expression: string
}

export default function compileRegexp(
  config: RegexpConfig,
  context: StepContext
): StepOperation | null {
  const pattern = parsePattern(config.expression)
  if ('fault' in pattern) {
    context.fault(['expression'], pattern.fault)
    return null
  }
  const groups = captureNames(pattern.source)
  if (groups.every((name) => name === '')) {
    context.fault(
      ['expression'],
      'expression has no named group, so nothing would become a field',
      'name groups as (?<level>\\w+)'
    )
  }
  return parseOperation(
    config,
    { kind: 'regexp', pattern, groups },
    { types: {}, time: null },
    context
  )
}
