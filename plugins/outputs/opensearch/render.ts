// Step 7. Runs on: pool.
// Records -> NDJSON of `_bulk`: action line, document. All indices of a task share one body, as a fleet writes many.

import type { Template } from '../../../src/core/template.ts'
import { finishTogether } from '../../../src/plugin/finish-bodies.ts'
import type { CreateRender, RenderHalf, TargetText } from '../../../src/plugin/output.ts'
import { indexNameFault, sanitiseIndexName } from './index-name.ts'
import { isCompressed, type OpenSearchOptions } from './options.ts'

/** What a placeholder without value and without fallback becomes: an index name has no empty part. */
const MISSING = 'unknown'

const createRender: CreateRender<OpenSearchOptions> = (options, context): RenderHalf => {
  const hasId = options.id === 'position'
  const mayBeHidden = options.index.startsWith('.')
  const nameOf = (target: string) =>
    options.index_sanitize ? sanitiseIndexName(target, mayBeHidden) : target
  const treatment = { isCompressed: isCompressed(options), isHashed: false }
  return {
    spec: {
      framing: 'ndjson',
      target: withFallbacks(context.template(options.index)),
      timeField:
        options.time_key === ''
          ? null
          : { key: options.time_key, precision: options.time_precision },
      timeConflict: options.time_key_conflict,
      tagField: options.include_tag_key ? options.tag_key : null,
      hasId,
      messageField: null,
      recordBytesMax: options.bulk_bytes
    },
    isInOrder: true,
    targetText: (target) => actionLine(nameOf(target), hasId),
    finish: (area) => finishTogether(area, treatment)
  }
}

export default createRender

/** `create` alone makes a repeat harmless, and is the only operation that data streams take. */
function actionLine(name: string | null, hasId: boolean): TargetText {
  if (name === null || indexNameFault(name) !== null)
    return { kind: 'refuse', reason: 'index_name' }
  const head = `{"create":{"_index":${JSON.stringify(name)}`
  return hasId
    ? { kind: 'ok', prefix: Buffer.from(`${head},"_id":"`), afterId: Buffer.from('"}}\n') }
    : { kind: 'ok', prefix: Buffer.from(`${head}}}\n`), afterId: Buffer.alloc(0) }
}

function withFallbacks(template: Template): Template {
  const parts = template.parts.map((part) =>
    part.kind === 'record' || part.kind === 'meta'
      ? { ...part, fallback: part.fallback ?? MISSING }
      : part
  )
  return { source: template.source, parts }
}
