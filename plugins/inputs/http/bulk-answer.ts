// Step 5. Runs on: ingest.
// The answer to `_bulk`: an item per action in their order, `errors` when one failed, narrowed by `filter_path`.
// Items of equal actions are made once and repeated.

import type { BulkItems } from './bulk-reader.ts'

type Json = { readonly [name: string]: unknown }

const UPDATE_ERROR = {
  type: 'action_not_supported_exception',
  reason: 'records are appended: update is not possible'
}

export function bulkAnswer(
  items: readonly BulkItems[],
  tookMs: number,
  filterPath: string | null
): string {
  const filter = filterPath === null ? null : new PathFilter(filterPath)
  const hasErrors = items.some(({ action, error }) => {
    return error !== null || action.operation === 'update'
  })
  const texts: string[] = []
  for (const each of items) {
    const item = { [each.action.operation]: itemOf(each) }
    const shown = filter === null ? item : filter.narrowed(item, ['items'])
    if (shown === undefined) continue
    const text = JSON.stringify(shown)
    texts.push(each.count === 1 ? text : `${`${text},`.repeat(each.count - 1)}${text}`)
  }
  const parts: string[] = []
  if (filter?.includes(['took']) ?? true) parts.push(`"took":${Math.max(0, Math.round(tookMs))}`)
  if (filter?.includes(['errors']) ?? true) parts.push(`"errors":${hasErrors}`)
  if (filter === null || texts.length > 0) parts.push(`"items":[${texts.join()}]`)
  return `{${parts.join()}}`
}

/** No id is made up: the position of a record is known only when it is stored. */
function itemOf({ action, error, index }: BulkItems): Json {
  const named = { _index: index, ...(action.id === null ? {} : { _id: action.id }) }
  if (error !== null) {
    return { ...named, status: 400, error: { type: 'document_parsing_exception', reason: error } }
  }
  switch (action.operation) {
    case 'update':
      return { ...named, status: 403, error: UPDATE_ERROR }
    case 'delete':
      return { ...named, result: 'not_found', status: 404 }
    default:
      return {
        ...named,
        _version: 1,
        result: 'created',
        _shards: { total: 1, successful: 1, failed: 0 },
        status: 201
      }
  }
}

/** `errors,items.*.status`, `**.error`, `-took`: the paths of an answer that a client wants to see. */
class PathFilter {
  readonly #wanted: readonly (readonly string[])[]
  readonly #unwanted: readonly (readonly string[])[]

  constructor(text: string) {
    const paths = text.split(',').filter((path) => path !== '')
    this.#wanted = paths.filter((path) => !path.startsWith('-')).map((path) => path.split('.'))
    this.#unwanted = paths
      .filter((path) => path.startsWith('-'))
      .map((path) => path.slice(1).split('.'))
  }

  /** Whether a value at this path, and all below it, is shown. */
  includes(path: readonly string[]): boolean {
    const isWanted = this.#wanted.length === 0 || this.#wanted.some((each) => matches(each, path))
    return isWanted && !this.#unwanted.some((each) => matches(each, path))
  }

  /** What of the object is shown; undefined: nothing. */
  narrowed(value: Json, path: readonly string[]): Json | undefined {
    const shown: [string, unknown][] = []
    for (const [name, below] of Object.entries(value)) {
      const here = [...path, name]
      const isObject = typeof below === 'object' && below !== null
      // Objects of the answer are plain.
      const part = isObject ? this.narrowed(below as Json, here) : below
      if (part !== undefined && (isObject || this.includes(here))) shown.push([name, part])
    }
    return shown.length === 0 ? undefined : Object.fromEntries(shown)
  }
}

/** Whether the pattern names the path or something above it. */
function matches(pattern: readonly string[], path: readonly string[]): boolean {
  const [first, ...rest] = pattern
  if (first === undefined) return true
  if (first === '**') {
    return path.some((_, start) => matches(rest, path.slice(start))) || rest.length === 0
  }
  const [name, ...below] = path
  return name !== undefined && matchesName(first, name) && matches(rest, below)
}

function matchesName(pattern: string, name: string): boolean {
  if (!pattern.includes('*')) return pattern === name
  const parts = pattern.split('*').map((part) => part.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&'))
  return new RegExp(`^${parts.join('.*')}$`).test(name)
}
