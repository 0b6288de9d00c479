// Runs on: main.
// Options of the udp input.

import { Type } from 'typebox'
import { listen } from '../../../src/plugin/fields.ts'
import { receiveBuffer, textOptions } from '../../../src/plugin/line-fields.ts'

export const config = Type.Object(
  {
    listen: listen({
      default: 'udp://127.0.0.1:5171',
      description: 'Addresses to listen on, `udp://host:port`, one or a list.'
    }),
    ...textOptions('datagram', '64KiB'),
    key: Type.String({
      minLength: 1,
      default: 'log',
      description: 'Field that gets the text.'
    }),
    lines: Type.Boolean({
      default: false,
      description: 'Whether each line of a datagram is a record; else the datagram is one.'
    }),
    receive_buffer: receiveBuffer()
  },
  { additionalProperties: false }
)
