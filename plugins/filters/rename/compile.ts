// Step 7. Runs on: any. From pairs of names to the fields that get another name.

import type { StepContext, StepOperation } from '../../../src/plugin/step.ts'

/** `on_conflict` is the one name that is an option; all others are fields. */
export type RenameConfig = Readonly<Record<string, string>>

export default function compileRename(config: RenameConfig, context: StepContext): StepOperation {
  const pairs: { from: string; to: string }[] = []
  const targets = new Set<string>()
  for (const from of Object.keys(config)) {
    const to = config[from]
    if (from === 'on_conflict' || to === undefined) continue
    if (targets.has(to)) context.fault([from], `two fields would be renamed to '${to}'`)
    targets.add(to)
    if (from !== to) pairs.push({ from, to })
  }
  if (targets.size === 0) context.fault([], 'rename names no field', 'write old: new')
  const onConflict = config['on_conflict'] ?? 'replace'
  if (onConflict !== 'replace' && onConflict !== 'keep') {
    context.fault(['on_conflict'], `on_conflict '${onConflict}' is neither replace nor keep`)
    return { kind: 'rename', pairs, onConflict: 'replace' }
  }
  if (onConflict === 'keep') {
    for (const { from } of pairs.filter((pair) => targets.has(pair.from))) {
      // Whether the target is free would depend on whether another pair was refused.
      context.fault([from], `with on_conflict keep '${from}' cannot get a name and give its own`)
    }
  }
  return { kind: 'rename', pairs, onConflict }
}
