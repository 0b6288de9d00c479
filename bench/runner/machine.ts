// Where and of what a result is: date, machine, version.

import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { cpus, release, totalmem } from 'node:os'
import { join } from 'node:path'

export interface MachineFacts {
  readonly date: string
  readonly machine: {
    readonly cores: number
    readonly cpu: string
    readonly memoryGib: number
    readonly kernel: string
    readonly node: string
  }
  readonly millrace: { readonly version: string; readonly commit: string }
}

const PROJECT = join(import.meta.dirname, '../..')

export function machineFacts(): MachineFacts {
  const project = JSON.parse(readFileSync(join(PROJECT, 'package.json'), 'utf8'))
  const commit = execFileSync('git', ['rev-parse', '--short', 'HEAD'], { encoding: 'utf8' }).trim()
  return {
    date: new Date().toISOString().slice(0, 10),
    machine: {
      cores: cpus().length,
      cpu: cpus()[0]?.model ?? 'unknown',
      memoryGib: Math.round(totalmem() / 2 ** 30),
      kernel: release().replace(/-.*/, ''),
      node: process.version
    },
    millrace: { version: String(project.version), commit }
  }
}
