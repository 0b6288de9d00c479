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
import compileSyslog from './parsers/syslog/compile.ts'
import compileSyslog3164 from './parsers/syslog_rfc3164/compile.ts'
import compileSyslog5424 from './parsers/syslog_rfc5424/compile.ts'

/** Filters by name, parsers as `parse.<type>`. */
const stepCompilers: ReadonlyMap<string, CompileStep<never>> = new Map<string, CompileStep<never>>([
  ['parse.json', compileJson],
  ['parse.nginx', compileNginx],
  ['parse.regexp', compileRegexp],
  ['parse.syslog', compileSyslog],
  ['parse.syslog_rfc3164', compileSyslog3164],
  ['parse.syslog_rfc5424', compileSyslog5424],
  ['grep', compileGrep],
  ['set', compileSet],
  ['remove', compileRemove],
  ['rename', compileRename]
])

export default stepCompilers
