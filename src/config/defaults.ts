// Runs on: main.
// `defaults: {inputs, routes, outputs}` spread over the blocks that do not set them. A key keeps the place where it was
// written. `defaults` with a `type` go to blocks of that type, and to blocks without one.

import type { PlaceTree } from './places.ts'
import { isBlock } from './schema-node.ts'

const KINDS = ['inputs', 'routes', 'outputs'] as const

/** A copy of the data in which every block is complete. Places are added to the tree. */
export function applyDefaults(
  data: Readonly<Record<string, unknown>>,
  places: PlaceTree
): Record<string, unknown> {
  const complete: Record<string, unknown> = { ...data }
  const defaults = isBlock(data['defaults']) ? data['defaults'] : {}
  for (const kind of KINDS) {
    const blocks = data[kind]
    if (!isBlock(blocks)) continue
    const common = isBlock(defaults[kind]) ? defaults[kind] : {}
    const commonPlaces = places.children.get('defaults')?.children.get(kind)
    const filled: [string, unknown][] = []
    for (const [id, block] of Object.entries(blocks)) {
      const named = kind === 'routes' ? block : withTypeName(block)
      const here = places.children.get(kind)?.children.get(id)
      filled.push([id, withDefaults(named, common, here, commonPlaces)])
    }
    complete[kind] = Object.fromEntries(filled)
  }
  return complete
}

/** YAML reads `type: null` as nothing; it names the output of that name. */
function withTypeName(block: unknown): unknown {
  return isBlock(block) && block['type'] === null ? { ...block, type: 'null' } : block
}

function withDefaults(
  block: unknown,
  common: Readonly<Record<string, unknown>>,
  here: PlaceTree | undefined,
  commonPlaces: PlaceTree | undefined
): unknown {
  if (!isBlock(block)) return block
  const isOther =
    common['type'] !== undefined && block['type'] !== undefined && block['type'] !== common['type']
  if (isOther) return block
  for (const key of Object.keys(common)) {
    const place = commonPlaces?.children.get(key)
    if (Object.hasOwn(block, key) || place === undefined) continue
    here?.children.set(key, place)
  }
  return { ...common, ...block }
}
