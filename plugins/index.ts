// Runs on: main.
// The built-in plugins, in the order of the documentation.

import type { AnyDefinition } from '../src/plugin/define.ts'
import forward from './inputs/forward/index.ts'
import http from './inputs/http/index.ts'
import internal from './inputs/internal/index.ts'
import syslog from './inputs/syslog/index.ts'
import systemd from './inputs/systemd/index.ts'
import tail from './inputs/tail/index.ts'
import tcp from './inputs/tcp/index.ts'
import udp from './inputs/udp/index.ts'
import cloudwatchLogs from './outputs/cloudwatch_logs/index.ts'
import file from './outputs/file/index.ts'
import nothing from './outputs/null/index.ts'
import opensearch from './outputs/opensearch/index.ts'
import stdout from './outputs/stdout/index.ts'
import { stepDefinitions } from './step-definitions.ts'

export const BUILT_INS: readonly AnyDefinition[] = [
  forward,
  http,
  tail,
  systemd,
  syslog,
  tcp,
  udp,
  internal,
  ...stepDefinitions,
  opensearch,
  cloudwatchLogs,
  file,
  stdout,
  nothing
]
