// Step 7. Runs on: pool.
// Renders like an output that sends JSON lines, so that a measurement without a destination is one of everything else.

import { RECORD_BYTES_MAX } from '../../../src/core/limits.ts'
import { finishTogether, PLAIN } from '../../../src/plugin/finish-bodies.ts'
import type { CreateRender } from '../../../src/plugin/output.ts'

const NOTHING = new Uint8Array(0)

const createRender: CreateRender<unknown> = () => ({
  spec: {
    framing: 'ndjson',
    target: { source: '', parts: [] },
    timeField: null,
    timeConflict: 'keep',
    tagField: null,
    hasId: false,
    messageField: null,
    recordBytesMax: RECORD_BYTES_MAX
  },
  isInOrder: true,
  targetText: () => ({ kind: 'ok', prefix: NOTHING, afterId: NOTHING }),
  finish: (area) => finishTogether(area, PLAIN)
})

export default createRender
