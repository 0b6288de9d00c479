// Steps 1 and 2. Runs on: main.
// The journal of systemd, read through journalctl. The cursor moves only when what stands before it is durable.

import { type ConfigFinding, defineInput } from '../../../src/plugin/define.ts'
import { config } from './config.ts'

export default defineInput({
  type: 'systemd',
  stability: 'beta',
  summary: 'Follows the journal of systemd; every entry is a record.',
  config,
  inputModule: new URL('./input.ts', import.meta.url),
  check: ({ fields, key }) => [...checkAll(fields), ...checkKey(fields, key)],
  listens: () => []
})

function checkAll(fields: readonly string[]): ConfigFinding[] {
  if (!fields.includes('*') || fields.length === 1) return []
  return [{ path: ['fields'], message: '"*" stands beside other names', hint: 'write it alone' }]
}

function checkKey(fields: readonly string[], key: string): ConfigFinding[] {
  const index = fields.indexOf(key)
  if (index < 0) return []
  const message = `"${key}" is the field of the text already (key)`
  return [{ path: ['fields', index], message }]
}
