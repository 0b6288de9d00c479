// Runs on: main.
// The built-in plugins, in the order of the documentation.

import type { AnyDefinition } from '../src/plugin/define.ts'
import dockerPartial from './filters/docker_partial/index.ts'
import grep from './filters/grep/index.ts'
import js from './filters/js/index.ts'
import remove from './filters/remove/index.ts'
import rename from './filters/rename/index.ts'
import set from './filters/set/index.ts'
import cloudwatchLogs from './outputs/cloudwatch_logs/index.ts'
import file from './outputs/file/index.ts'
import nothing from './outputs/null/index.ts'
import opensearch from './outputs/opensearch/index.ts'
import stdout from './outputs/stdout/index.ts'
import json from './parsers/json/index.ts'
import nginx from './parsers/nginx/index.ts'
import regexp from './parsers/regexp/index.ts'

export const BUILT_INS: readonly AnyDefinition[] = [
  json,
  nginx,
  regexp,
  dockerPartial,
  grep,
  set,
  remove,
  rename,
  js,
  opensearch,
  cloudwatchLogs,
  file,
  stdout,
  nothing
]
