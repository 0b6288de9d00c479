// Step 7. Runs on: main.
// Schemas of the built-in steps, in documentation order. Pool threads load plugins/steps.ts instead.

import type { StepDefinition } from '../src/plugin/define.ts'
import dockerPartial from './filters/docker_partial/index.ts'
import grep from './filters/grep/index.ts'
import js from './filters/js/index.ts'
import remove from './filters/remove/index.ts'
import rename from './filters/rename/index.ts'
import set from './filters/set/index.ts'
import json from './parsers/json/index.ts'
import nginx from './parsers/nginx/index.ts'
import regexp from './parsers/regexp/index.ts'
import syslog from './parsers/syslog/index.ts'
import syslog3164 from './parsers/syslog_rfc3164/index.ts'
import syslog5424 from './parsers/syslog_rfc5424/index.ts'

export const stepDefinitions: readonly StepDefinition[] = [
  json,
  nginx,
  regexp,
  syslog,
  syslog3164,
  syslog5424,
  dockerPartial,
  grep,
  set,
  remove,
  rename,
  js
]
