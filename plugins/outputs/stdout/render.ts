// Step 7. Runs on: pool.
// One JSON object per line, with time and tag in front.

import { RECORD_BYTES_MAX } from '../../../src/core/limits.ts'
import { finishTogether, PLAIN } from '../../../src/plugin/finish-bodies.ts'
import type { CreateRender } from '../../../src/plugin/output.ts'

const NOTHING = new Uint8Array(0)

const createRender: CreateRender<unknown> = () => ({
  spec: {
    framing: 'ndjson',
    target: { source: '', parts: [] },
    timeField: { key: 'time', precision: 9 },
    timeConflict: 'rename',
    tagField: 'tag',
    hasId: false,
    messageField: null,
    recordBytesMax: RECORD_BYTES_MAX
  },
  isInOrder: true,
  targetText: () => ({ kind: 'ok', prefix: NOTHING, afterId: NOTHING }),
  finish: (area) => finishTogether(area, PLAIN)
})

export default createRender
