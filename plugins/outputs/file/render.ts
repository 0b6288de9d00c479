// Step 7. Runs on: pool.
// One JSON object per line, time and tag in front, one body per file.

import { RECORD_BYTES_MAX } from '../../../src/core/limits.ts'
import { finishPerTarget, PLAIN } from '../../../src/plugin/finish-bodies.ts'
import type { CreateRender, RenderSpec } from '../../../src/plugin/output.ts'
import { relativePath, splitPath } from './path.ts'

const NOTHING = new Uint8Array(0)

const createRender: CreateRender<{ readonly path: string }> = (config, context) => {
  const { directory, rest } = splitPath(context.template(config.path))
  const spec: RenderSpec = {
    framing: 'ndjson',
    target: rest,
    timeField: { key: 'time', precision: 9 },
    timeConflict: 'rename',
    tagField: 'tag',
    hasId: false,
    messageField: null,
    recordBytesMax: RECORD_BYTES_MAX
  }
  return {
    spec,
    targetText: () => ({ kind: 'ok', prefix: NOTHING, afterId: NOTHING }),
    // Bodies bear the whole path: main opens what the body names.
    finish: (area) =>
      finishPerTarget(area, PLAIN, (target) => `${directory}${relativePath(target)}`)
  }
}

export default createRender
