// Steps 1 and 2. Runs on: main.
// Files that grow: rotated, truncated, linked, there before the server or not. A position moves only when what stands
// before it is durable.

import { type ConfigFinding, defineInput } from '../../../src/plugin/define.ts'
import { config } from './config.ts'

export default defineInput({
  type: 'tail',
  stability: 'beta',
  summary: 'Follows files that grow, through rotation; every line is a record.',
  config,
  inputModule: new URL('./input.ts', import.meta.url),
  check: (options) => [...options.paths.flatMap(checkPath), ...checkTag(options)],
  listens: () => []
})

function checkPath(path: string, index: number): ConfigFinding[] {
  if (path.startsWith('/')) return []
  const hint = 'begin it with a slash: the working directory of a server is easily another one'
  return [{ path: ['paths', index], message: `"${path}" is no absolute path`, hint }]
}

/** Parts of a long line are joined within a tag. */
function checkTag({
  format,
  paths,
  tag
}: {
  readonly format: string
  readonly paths: readonly string[]
  readonly tag: string
}): ConfigFinding[] {
  const isOneFile = paths.length === 1 && !paths.some((path) => /[*?[{]/.test(path))
  if (format === 'plain' || isOneFile || tag.includes('*')) return []
  const message = `parts of long lines of several files would be joined: all of them have the tag "${tag}"`
  return [{ path: ['tag'], message, hint: `write "${tag}.*"` }]
}
