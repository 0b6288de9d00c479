// Runs on: main.
// Routes: the shape of each, its patterns, and what an earlier route leaves for a later one. What stands under `to` and
// `steps`: route-parts.ts.

import { checkTagMatch, isCovered, type TagMatch } from '../core/tag.ts'
import { formatBytes } from '../core/units.ts'
import { parseFieldPath } from '../plugin/field-path.ts'
import type { CheckedBlock } from './block.ts'
import type { Report } from './convert.ts'
import type { ConfigPath } from './findings.ts'
import { checkNames, destinationsOf, type RouteScope, stepsOf } from './route-parts.ts'
import type { RouteConfig } from './schema.ts'
import { routeSchema, type ShellRoute } from './shell.ts'

/** Smallest segment file of a queue. */
const SEGMENT_BYTES_MIN = 1024 * 1024

export interface CheckedRoutes {
  /** Routes of a usable shape; with faults in the file, only good for finding more of them. */
  readonly routes: readonly RouteConfig[]
  /** As written, defaults filled in. */
  readonly shown: Readonly<Record<string, unknown>>
}

export function checkRoutes(
  blocks: Readonly<Record<string, Record<string, unknown>>>,
  scope: RouteScope
): CheckedRoutes {
  const { report, names } = scope
  const output = names.outputs[0] ?? 'archive'
  if (Object.keys(blocks).length === 0) {
    const hint = `add routes: {all: {match: "**", to: [${output}]}}`
    report('MR_CONFIG_NO_ROUTES', ['routes'], 'no routes: records would go nowhere', hint)
  }
  const routes: RouteConfig[] = []
  const shown: Record<string, unknown> = {}
  for (const [id, block] of Object.entries(blocks)) {
    const path = ['routes', id]
    const { to } = block
    if (to === undefined || (Array.isArray(to) && to.length === 0)) {
      const hint = `add to: [${output}]; to throw records away, to: [trash] with outputs: {trash: {type: null}}`
      report('MR_CONFIG_MISSING', [...path, 'to'], 'the route has no "to"', hint)
    }
    const complete = { to: [], ...block }
    const checked = scope.checker.check(routeSchema, complete, path, scope.places, report)
    shown[id] = checked.shown
    const route = routeOf(id, checked, path, scope)
    if (route !== null) routes.push(route)
  }
  checkReachable(routes, report)
  return { routes, shown }
}

function routeOf(
  id: string,
  checked: CheckedBlock,
  path: ConfigPath,
  scope: RouteScope
): RouteConfig | null {
  // Converted by the schema that the type was made from. Keys with faults are not looked at.
  const route = checked.value as ShellRoute
  const isSound = (key: string) => !checked.hasFault(key)
  const match = matchOf(route, isSound, path, scope.report)
  const from = isSound('from') ? (route.from ?? null) : null
  checkNames(from ?? [], scope.names.inputs, 'input', [...path, 'from'], scope.report)
  const to = isSound('to') ? destinationsOf(route.to, [...path, 'to'], scope) : []
  const steps = isSound('steps') ? stepsOf(route.steps, [...path, 'steps'], scope) : []
  if (isSound('max_bytes') && route.max_bytes < 2 * SEGMENT_BYTES_MIN) {
    const message = `queue of ${formatBytes(route.max_bytes)} holds fewer than two segments`
    const hint = `at least ${formatBytes(2 * SEGMENT_BYTES_MIN)}`
    scope.report('MR_CONFIG_INVALID', [...path, 'max_bytes'], message, hint)
  }
  if (match === null) return null
  return {
    id,
    match,
    from,
    goesOn: route.continue,
    steps,
    to,
    durability: route.durability,
    syncIntervalMs: route.sync_interval,
    overflow: route.overflow,
    isDroppedAcked: route.drop_newest_ack,
    bytesMax: route.max_bytes,
    ageMsMax: route.max_age ?? null,
    keepMs: route.keep,
    lanes: route.lanes,
    laneKey: isSound('shard_by') ? laneKeyOf(route, path, scope.report) : null,
    compression: route.compression
  }
}

/** Lanes without a key are filled by the tag. */
function laneKeyOf(
  { lanes, shard_by }: ShellRoute,
  path: ConfigPath,
  report: Report
): RouteConfig['laneKey'] {
  if (shard_by === undefined || shard_by === 'tag') return lanes === 1 ? null : { kind: 'tag' }
  const names = parseFieldPath(shard_by)?.map(String) ?? null
  if (names === null) {
    const message = `"${shard_by}" is no field`
    report('MR_CONFIG_INVALID', [...path, 'shard_by'], message, 'tag, a field, or a path like a.b')
    return null
  }
  if (lanes === 1) {
    const message = 'one lane has nothing to decide on'
    report('MR_CONFIG_INVALID', [...path, 'shard_by'], message, 'add lanes, for example lanes: 8')
  }
  return lanes === 1 ? null : { kind: 'field', path: names }
}

function matchOf(
  route: ShellRoute,
  isSound: (key: string) => boolean,
  path: ConfigPath,
  report: Report
): TagMatch | null {
  const given = [
    { key: 'match', kind: 'parts', patterns: route.match },
    { key: 'match_glob', kind: 'glob', patterns: route.match_glob },
    { key: 'match_regex', kind: 'regex', patterns: route.match_regex }
  ] as const
  const [first, second] = given.filter((each) => each.patterns !== undefined)
  if (first?.patterns === undefined) return { kind: 'all' }
  if (!isSound(first.key)) return null
  if (second !== undefined) {
    const message = `"${first.key}" and "${second.key}" stand in one route`
    report('MR_CONFIG_INVALID', [...path, second.key], message, 'keep one, or write two routes')
    return null
  }
  const match: TagMatch = { kind: first.kind, patterns: first.patterns }
  const findings = checkTagMatch(match)
  for (const { index, message, hint } of findings) {
    report('MR_CONFIG_PATTERN', [...path, first.key, index], message, hint ?? null)
  }
  return findings.length === 0 ? match : null
}

/** A route that earlier ones leave nothing for is a mistake in the order of the file. */
function checkReachable(routes: readonly RouteConfig[], report: Report): void {
  for (const [index, route] of routes.entries()) {
    const earlier = routes
      .slice(0, index)
      .filter((each) => !each.goesOn && takesInputsOf(each, route))
    if (!isTakenBy(earlier, route)) continue
    let guilty = earlier
    for (const each of earlier) {
      const others = guilty.filter((other) => other !== each)
      if (isTakenBy(others, route)) guilty = others
    }
    const names = guilty.map((each) => each.id).join(' and ')
    const message = `nothing reaches this route: every tag that it matches is taken by ${names}`
    const hint = 'move it up, or add continue: true to the earlier route'
    report('MR_CONFIG_UNREACHABLE', ['routes', route.id], message, hint)
  }
}

const isTakenBy = (earlier: readonly RouteConfig[], route: RouteConfig): boolean =>
  isCovered(
    route.match,
    earlier.map((each) => each.match)
  )

function takesInputsOf(earlier: RouteConfig, later: RouteConfig): boolean {
  const { from } = earlier
  if (from === null) return true
  return later.from?.every((input) => from.includes(input)) ?? false
}
