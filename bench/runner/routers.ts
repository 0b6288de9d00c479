// The routers under test: how each is started for a scenario. A rival is the path of an installed program in an
// environment variable; its configuration lies in bench/rivals and reads ports and folders from the environment.

import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Scenario } from './scenarios.ts'

const BENCH = join(import.meta.dirname, '..')
/** The built program, as the image and the package have it; `npm run bench:load` builds it first. */
const MAIN = process.env['MILLRACE_BENCH_MAIN'] ?? join(BENCH, '..', 'dist', 'src', 'main.js')
const RIVALS = {
  'fluent-bit': 'MILLRACE_BENCH_FLUENT_BIT',
  fluentd: 'MILLRACE_BENCH_FLUENTD'
} as const

export interface Ports {
  readonly forward: number
  readonly admin: number
  readonly sink: number
}

export interface Start {
  readonly command: readonly string[]
  readonly env: Record<string, string>
}

export interface Router {
  readonly name: string
  readonly hasMetrics: boolean
  /** null: the router has no configuration for this scenario. */
  start(scenario: Scenario, ports: Ports, folder: string): Start | null
}

function outputLines(scenario: Scenario, ports: Ports): string {
  const endpoint = `http://127.0.0.1:${ports.sink}`
  if (scenario.destination === 'cloudwatch') {
    return (
      `{type: cloudwatch_logs, region: us-east-1, endpoint: "${endpoint}", aws_key_id: bench, ` +
      `aws_sec_key: bench, log_group_name: /bench, log_stream_name: "\${tag}", auto_create_group: true}`
    )
  }
  const compress = scenario.isCompressed ? 'gzip' : 'off'
  return `{type: opensearch, endpoints: ["${endpoint}"], index: "bench-\${time:%Y.%m.%d}", compress: ${compress}}`
}

export function millraceConfig(scenario: Scenario, ports: Ports, folder: string): string {
  const steps =
    scenario.parse === null ? '' : `\n    steps: [{parse: {type: ${scenario.parse}, key: log}}]`
  return `version: 1
data_dir: ${join(folder, 'data')}
admin: {listen: "127.0.0.1:${ports.admin}"}
inputs:
  load: {type: forward, listen: "tcp://127.0.0.1:${ports.forward}"}
routes:
  all:
    match: "**"${steps}
    to: [out]
outputs:
  out: ${outputLines(scenario, ports)}
`
}

const millrace: Router = {
  name: 'millrace',
  hasMetrics: true,
  start(scenario, ports, folder) {
    const file = join(folder, 'millrace.yaml')
    writeFileSync(file, millraceConfig(scenario, ports, folder))
    // As the image starts it.
    const flags = ['--max-semi-space-size=2']
    return { command: [process.execPath, ...flags, MAIN, 'run', '-c', file], env: {} }
  }
}

function rival(name: keyof typeof RIVALS, program: string): Router {
  return {
    name,
    hasMetrics: false,
    start(scenario, ports, folder) {
      const extension = name === 'fluent-bit' ? 'yaml' : 'conf'
      const file = join(BENCH, 'rivals', name, `${scenario.name}.${extension}`)
      if (!existsSync(file)) return null
      const copy = join(folder, `${name}.${extension}`)
      writeFileSync(copy, readFileSync(file))
      const env = {
        BENCH_FORWARD_PORT: String(ports.forward),
        BENCH_SINK_PORT: String(ports.sink),
        BENCH_DIR: folder,
        AWS_ACCESS_KEY_ID: 'bench',
        AWS_SECRET_ACCESS_KEY: 'bench'
      }
      return { command: [program, '-c', copy], env }
    }
  }
}

/** Millrace, and every rival whose variable names a program. */
export function routersUnderTest(env: NodeJS.ProcessEnv): Router[] {
  const routers: Router[] = [millrace]
  for (const name of ['fluent-bit', 'fluentd'] as const) {
    const program = env[RIVALS[name]]
    if (program !== undefined && program !== '') routers.push(rival(name, program))
  }
  return routers
}
