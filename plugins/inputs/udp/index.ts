// Steps 1 to 4. Runs on: main.
// Text by UDP.

import { defineInput } from '../../../src/plugin/define.ts'
import { config } from './config.ts'

export default defineInput({
  type: 'udp',
  stability: 'beta',
  summary: 'Takes datagrams of text, one record each.',
  config,
  inputModule: new URL('./input.ts', import.meta.url),
  check: ({ listen }) =>
    listen.flatMap((text, index) =>
      text.startsWith('udp://')
        ? []
        : [
            {
              path: ['listen', index],
              message: `${text}: this input takes datagrams alone`,
              hint: 'write udp://host:port, or use the tcp input'
            }
          ]
    ),
  listens: (options) => options.listen
})
