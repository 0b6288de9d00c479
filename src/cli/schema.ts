// Runs on: main.
// `millrace schema`: one JSON Schema of the whole file, for editors (`# yaml-language-server: $schema=...`).

import type { Command } from 'commander'
import type { CliIo } from './io.ts'

export function addSchema(program: Command, io: CliIo): void {
  program
    .command('schema')
    .description('print the JSON Schema of the configuration')
    .action(async () => {
      const { BUILT_INS } = await import('../../plugins/index.ts')
      const { jsonSchema } = await import('../config/json-schema.ts')
      const { createRegistry } = await import('../plugin/registry.ts')
      io.out(`${JSON.stringify(jsonSchema(createRegistry(BUILT_INS)), null, 2)}\n`)
    })
}
