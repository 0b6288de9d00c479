// Step 7. Runs on: main.
// Options of the join of lines that Docker cut. The step stands first in every route, written or not.

import { Type } from 'typebox'
import { defineFilter } from '../../../src/plugin/define.ts'
import { bytes, duration } from '../../../src/plugin/fields.ts'

const config = Type.Object(
  {
    mode: Type.Enum(['join', 'pass'], {
      default: 'join',
      description: '`join` parts to one record, or `pass` them as they are.'
    }),
    flush_after: duration({
      default: '5s',
      min: '100ms',
      max: '60s',
      description:
        'A line without a new part for this long is finished with `partial_incomplete: true`.'
    }),
    max_bytes: bytes({
      default: '1MiB',
      min: '16KiB',
      max: '1MiB',
      description: 'Text of one joined record; a longer line is cut there.'
    }),
    max_streams: Type.Integer({
      default: 1024,
      minimum: 1,
      maximum: 1024,
      description:
        'Streams with an unfinished line; beyond, the one without a part for longest is finished.'
    })
  },
  { additionalProperties: false }
)

export default defineFilter({
  type: 'docker_partial',
  stability: 'stable',
  summary: 'Joins lines that Docker cut at 16 KiB.',
  config
})
