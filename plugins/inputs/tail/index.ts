// Steps 1 and 2. Runs on: main.
// Files that grow: rotated, truncated, linked, there before the server or not. A position moves only when what stands
// before it is durable.

import { defineInput } from '../../../src/plugin/define.ts'
import { config } from './config.ts'

export default defineInput({
  type: 'tail',
  stability: 'beta',
  summary: 'Follows files that grow, through rotation; every line is a record.',
  config,
  inputModule: new URL('./input.ts', import.meta.url),
  check: ({ paths }) =>
    paths.flatMap((path, index) =>
      path.startsWith('/')
        ? []
        : [
            {
              path: paths.length === 1 ? ['paths'] : ['paths', index],
              message: `"${path}" is no absolute path`,
              hint: 'begin it with a slash: the working directory of a server is easily another one'
            }
          ]
    ),
  listens: () => []
})
