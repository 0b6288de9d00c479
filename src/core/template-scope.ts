// Runs on: any.
// What may stand between the braces of a template: `record.a["b"]:-none`, `tag_parts[1:-1]`, `time:%Y`, ...

import { nearestName } from './names.ts'

export type Scope =
  | {
      readonly kind: 'record'
      readonly path: readonly (string | number)[]
      readonly fallback: string | null
    }
  | { readonly kind: 'meta'; readonly key: string; readonly fallback: string | null }
  | { readonly kind: 'time'; readonly format: string }
  | {
      readonly kind: 'tag_parts'
      readonly from: number
      readonly to: number | null
      readonly isSlice: boolean
    }
  | { readonly kind: 'tag' }
  | { readonly kind: 'source_address' }
  | { readonly kind: 'position' }
  | { readonly kind: 'hostname' }
  | { readonly kind: 'uuid' }
  | { readonly kind: 'data_dir' }
  | ScopeFault

export interface ScopeFault {
  readonly kind: 'fault'
  readonly message: string
  readonly hint: string | null
}

const PLAIN_SCOPES = {
  tag: { kind: 'tag' },
  hostname: { kind: 'hostname' },
  uuid: { kind: 'uuid' },
  data_dir: { kind: 'data_dir' },
  'source.address': { kind: 'source_address' },
  position: { kind: 'position' }
} as const

const SCOPE_NAMES = [
  ...Object.keys(PLAIN_SCOPES),
  'record',
  'meta',
  'time',
  'tag_parts',
  'tag_prefix',
  'tag_suffix'
]

/** Deepest path that a template may name; records are not deeper. */
const PATH_DEPTH_MAX = 128

/** Reads what stands between `${` and `}`. */
export function parseScope(inner: string): Scope {
  if (inner.startsWith('time:')) return timeScope(inner.slice('time:'.length))
  const word = /^[A-Za-z_]+/.exec(inner)?.[0] ?? ''
  const rest = inner.slice(word.length)
  if (word === 'record') return fieldScope(rest)
  if (word === 'meta') return metaScope(rest)
  if (word === 'tag_parts' || word === 'tag_prefix' || word === 'tag_suffix') {
    return tagScope(word, rest)
  }
  if (isPlainScope(inner)) return PLAIN_SCOPES[inner]
  return unknownScope(inner, word)
}

const isPlainScope = (text: string): text is keyof typeof PLAIN_SCOPES =>
  Object.hasOwn(PLAIN_SCOPES, text)

const fault = (message: string, hint: string | null = null): ScopeFault => ({
  kind: 'fault',
  message,
  hint
})

function unknownScope(inner: string, word: string): ScopeFault {
  if (/^tag\[/.test(inner)) {
    return fault('parts of a tag have a name of their own', `write \${tag_parts${inner.slice(3)}}`)
  }
  if (word === 'tag' || word === 'hostname' || word === 'uuid' || word === 'data_dir') {
    return fault(`${word} takes nothing behind it`, `write \${${word}}`)
  }
  if (word === 'time') return fault('time needs a format', 'write ${time:%Y.%m.%d}')
  if (word === 'ecs') {
    return fault(
      'task metadata is a field of the record',
      `write \${record.${inner.replace('.', '_')}}`
    )
  }
  const near = nearestName(word, SCOPE_NAMES)
  const hint =
    near === null ? `a field of the record is written \${record.${inner}}` : `did you mean ${near}?`
  return fault('not a scope of templates', hint)
}

function timeScope(format: string): Scope {
  if (format === '') return fault('time needs a format', 'write ${time:%Y.%m.%d}')
  return { kind: 'time', format }
}

function fieldScope(text: string): Scope {
  const read = readPath(text)
  if (read === null) {
    return fault('not a path', 'write ${record.a.b} or ${record["a"]["b"]}, a fallback behind ":-"')
  }
  return { kind: 'record', path: read.path, fallback: read.fallback }
}

function metaScope(text: string): Scope {
  const read = readPath(text)
  const key = read?.path[0]
  if (read === null || read.path.length !== 1 || typeof key !== 'string') {
    return fault('metadata has one key', 'write ${meta["key"]}')
  }
  return { kind: 'meta', key, fallback: read.fallback }
}

function readPath(text: string): { path: (string | number)[]; fallback: string | null } | null {
  const steps = /\.([^.[\]{}"':\s]+)|\["([^"]*)"\]|\['([^']*)'\]|\[(\d+)\]/y
  const path: (string | number)[] = []
  let end = 0
  for (let step = steps.exec(text); step !== null; step = steps.exec(text)) {
    const key = step[1] ?? step[2] ?? step[3]
    path.push(key ?? Number(step[4]))
    end = steps.lastIndex
    if (path.length > PATH_DEPTH_MAX) return null
  }
  const rest = text.slice(end)
  if (path.length === 0 || typeof path[0] === 'number') return null
  if (rest === '') return { path, fallback: null }
  return rest.startsWith(':-') ? { path, fallback: rest.slice(2) } : null
}

function tagScope(word: 'tag_parts' | 'tag_prefix' | 'tag_suffix', text: string): Scope {
  const index = /^\[(-?\d+)\]$/.exec(text)
  const slice = /^\[(-?\d*):(-?\d*)\]$/.exec(text)
  if (word === 'tag_parts') {
    if (index !== null) {
      return { kind: 'tag_parts', from: Number(index[1]), to: null, isSlice: false }
    }
    if (slice !== null && slice[1] !== '-' && slice[2] !== '-') {
      const to = slice[2] === '' ? null : Number(slice[2])
      return { kind: 'tag_parts', from: Number(slice[1]), to, isSlice: true }
    }
    return fault(
      'not parts of a tag',
      'write ${tag_parts[0]}, ${tag_parts[-1]} or ${tag_parts[1:]}'
    )
  }
  const count = Number(index?.[1] ?? -1)
  if (count < 0) return fault(`${word} takes a number from 0`, `write \${${word}[1]}`)
  return word === 'tag_prefix'
    ? { kind: 'tag_parts', from: 0, to: count + 1, isSlice: true }
    : { kind: 'tag_parts', from: count, to: null, isSlice: true }
}
