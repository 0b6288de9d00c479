// Runs on: main.
// `millrace healthcheck`: asks a running server whether it is well, so that an image needs neither curl nor wget.

import type { Command } from 'commander'
import { EXIT, MillraceError } from '../core/errors.ts'
import { askAdmin } from './admin-client.ts'
import { type CliIo, Exit } from './io.ts'
import { type AdminOptions, withAdminOptions } from './options.ts'

interface HealthOptions extends AdminOptions {
  readonly live?: boolean
}

export function addHealthcheck(program: Command, io: CliIo): void {
  withAdminOptions(program.command('healthcheck'))
    .description('exit 0 when the server is ready (or alive), else 1')
    .option('--live', 'ask whether it is alive, whatever its queues are')
    .action((options: HealthOptions) => check(options, io))
}

async function check(options: HealthOptions, io: CliIo): Promise<void> {
  const path = options.live === true ? '/livez' : '/readyz'
  try {
    const { status, body } = await askAdmin(options, 'GET', path)
    io.out(`${path} ${status} ${body.trim()}\n`)
    if (status === 200) return
  } catch (error) {
    if (!(error instanceof MillraceError) || error.code !== 'MR_ADMIN') throw error
    io.error(`${error.message}\n`)
  }
  throw new Exit(EXIT.failure)
}
