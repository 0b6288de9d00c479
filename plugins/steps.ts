// Step 7. Runs on: any.
// Modules of the built-in steps, without their schemas, so that a pool thread loads nothing else.

import type { CompileStep } from '../src/plugin/step.ts'
import compileGrep from './filters/grep/compile.ts'
import compileRemove from './filters/remove/compile.ts'
import compileRename from './filters/rename/compile.ts'
import compileSet from './filters/set/compile.ts'
import compileJson from './parsers/json/compile.ts'
import compileNginx from './parsers/nginx/compile.ts'
import compileRegexp from './parsers/regexp/compile.ts'

/** Filters by name, parsers as `parse.<type>`. */
const stepCompilers: ReadonlyMap<string, CompileStep<never>> = new Map<string, CompileStep<never>>([
  ['parse.json', compileJson],
  ['parse.nginx', compileNginx],
  ['parse.regexp', compileRegexp],
  ['grep', compileGrep],
  ['set', compileSet],
  ['remove', compileRemove],
  ['rename', compileRename]
])

export default stepCompilers
