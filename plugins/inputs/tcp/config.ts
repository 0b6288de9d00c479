// Runs on: main.
// Options of the tcp input.

import { Type } from 'typebox'
import { listen } from '../../../src/plugin/fields.ts'
import { streamOptions, textOptions } from '../../../src/plugin/line-fields.ts'

export const config = Type.Object(
  {
    listen: listen({
      default: '127.0.0.1:5170',
      description:
        'Addresses to listen on: `tcp://host:port`, `host:port`, `tls://host:port` or `unix:///path`, one or a list.'
    }),
    ...textOptions('line', '64KiB'),
    key: Type.String({ minLength: 1, default: 'log', description: 'Field that gets the line.' }),
    ...streamOptions()
  },
  { additionalProperties: false }
)
