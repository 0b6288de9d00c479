// Runs on: main.
// Options of the syslog input.

import { Type } from 'typebox'
import { listen } from '../../../src/plugin/fields.ts'
import { receiveBuffer, streamOptions, textOptions } from '../../../src/plugin/line-fields.ts'

const text = textOptions('message', '64KiB')

export const config = Type.Object(
  {
    listen: listen({
      default: ['udp://127.0.0.1:5140', 'tcp://127.0.0.1:5140'],
      description:
        'Addresses to listen on: `udp://host:port`, `tcp://host:port`, `tls://host:port` or `unix:///path` (a stream socket), one or a list.'
    }),
    ...text,
    tag: Type.String({ minLength: 1, default: 'syslog', description: 'Tag of all records.' }),
    framing: Type.Enum(['auto', 'lf', 'octet_counting'], {
      default: 'auto',
      description:
        'Where a message of a stream ends: at a line end, where its length in front says (RFC 6587), or as the first byte of the connection tells.'
    }),
    receive_buffer: receiveBuffer(),
    ...streamOptions()
  },
  { additionalProperties: false }
)
