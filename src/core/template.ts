// Runs on: any.
// ${...} templates: one language for index names, log groups, paths and the step `set`. `$${` is a literal `${`.
// Upper-case names (`${HOME}`) are environment variables and were replaced when the file was read.

import { MillraceError } from './errors.ts'
import { compileTimeFormat, type EventTime, type FormatTime } from './event-time.ts'
import { unreachable } from './invariant.ts'
import { parseScope } from './template-scope.ts'

/** One piece of a compiled template. Constants (`${hostname}`, `${uuid}`, `${data_dir}`) are text by now. */
export type TemplatePart =
  | { readonly kind: 'text'; readonly text: string }
  | {
      readonly kind: 'record'
      readonly path: readonly (string | number)[]
      readonly fallback: string | null
    }
  | { readonly kind: 'tag' }
  /**
   * `from` to `to` (exclusive, null: the end) of the tag split at dots, joined by dots; negative: from the end. Without
   * `isSlice` the one part at `from`. `${tag_prefix[n]}` is the slice [0, n + 1), `${tag_suffix[n]}` the slice [n, end).
   */
  | {
      readonly kind: 'tag_parts'
      readonly from: number
      readonly to: number | null
      readonly isSlice: boolean
    }
  /** strftime format over the event time, UTC. */
  | { readonly kind: 'time'; readonly format: string }
  | { readonly kind: 'meta'; readonly key: string; readonly fallback: string | null }
  | { readonly kind: 'source_address' }
  | { readonly kind: 'position' }

export interface Template {
  /** As written in the configuration. */
  readonly source: string
  readonly parts: readonly TemplatePart[]
}

/** What templates may name that is the same for the whole process. */
export interface TemplateConstants {
  readonly hostname: string
  /** Made once per process. */
  readonly uuid: string
  readonly dataDir: string
}

/** `name`: index, group, stream, path, where a bare `%Y` or `$(tag)` is a mistake; `text`: where it may be meant. */
export type TemplateUse = 'name' | 'text'

/** Foreign notations, and what they are called here. */
const FOREIGN_FORMS = [
  { form: /\$\(([^)]*)\)/, hint: (inner: string) => `write \${${nativeOf(inner)}}` },
  { form: /%([YmdHMSjyGVB])/, hint: (letter: string) => `write \${time:%${letter}}` }
] as const

/** Compiles a template. Throws MR_CONFIG_TEMPLATE; `details.hint` says what to write instead, where that is known. */
export function compileTemplate(
  source: string,
  constants: TemplateConstants,
  use: TemplateUse = 'name'
): Template {
  const parts: TemplatePart[] = []
  let text = ''
  let at = 0
  while (at < source.length) {
    if (source.startsWith('$${', at)) {
      text += '${'
      at += 3
    } else if (source.startsWith('${', at)) {
      const end = closingBrace(source, at + 2)
      if (end === -1) fail(source, 'has "${" without "}"', 'a literal "${" is written "$${"')
      const part = partOf(source, source.slice(at + 2, end), constants)
      if (part.kind === 'text') text += part.text
      else {
        addText(parts, source, text, use)
        text = ''
        parts.push(part)
      }
      at = end + 1
    } else {
      text += source.charAt(at++)
    }
  }
  addText(parts, source, text, use)
  return { source, parts }
}

function addText(parts: TemplatePart[], source: string, text: string, use: TemplateUse): void {
  if (text === '') return
  if (use === 'name') {
    for (const { form, hint } of FOREIGN_FORMS) {
      const found = form.exec(text)
      if (found !== null) {
        fail(source, `has "${found[0]}", which is another product's form`, hint(found[1] ?? ''))
      }
    }
  }
  parts.push({ kind: 'text', text })
}

/** `$(tag[1])` and `$(kubernetes['pod'])` of other products in our words. */
function nativeOf(inner: string): string {
  if (inner === 'tag' || inner === 'uuid') return inner
  const part = /^tag\[(-?\d+)\]$/.exec(inner)
  if (part !== null) return `tag_parts[${part[1]}]`
  return `record.${inner.replaceAll(/\[['"]([\w-]+)['"]\]/g, '.$1')}`
}

/** The brace that closes; one within quotes does not. */
function closingBrace(source: string, from: number): number {
  let quote = ''
  for (let i = from; i < source.length; i++) {
    const char = source.charAt(i)
    if (quote !== '') {
      if (char === quote) quote = ''
    } else if ((char === '"' || char === "'") && source.charAt(i - 1) === '[') quote = char
    else if (char === '}') return i
  }
  return -1
}

function partOf(source: string, inner: string, constants: TemplateConstants): TemplatePart {
  const scope = parseScope(inner)
  switch (scope.kind) {
    case 'fault':
      return fail(source, `has \${${inner}}: ${scope.message}`, scope.hint)
    case 'hostname':
      return { kind: 'text', text: constants.hostname }
    case 'uuid':
      return { kind: 'text', text: constants.uuid }
    case 'data_dir':
      return { kind: 'text', text: constants.dataDir }
    case 'time':
      // Compiled for its faults; each thread compiles again for itself.
      compileTimeFormat(scope.format)
      return scope
    default:
      return scope
  }
}

function fail(source: string, what: string, hint: string | null): never {
  throw new MillraceError('MR_CONFIG_TEMPLATE', `template "${source}" ${what}`, {
    details: hint === null ? {} : { hint }
  })
}

/** The text when nothing in the template depends on a record; else null. */
export function constantText(template: Template): string | null {
  const [first, ...rest] = template.parts
  if (first === undefined) return ''
  return first.kind === 'text' && rest.length === 0 ? first.text : null
}

/** What one record gives to a template. */
export interface TemplateValues {
  readonly tag: string
  readonly time: EventTime
  readonly sourceAddress: string
  readonly positionId: string
  /** Text of a field (steps rules: numbers as JSON digits, null empty, maps as JSON); undefined: not there. */
  record(path: readonly (string | number)[]): string | undefined
  meta(key: string): string | undefined
}

export interface TemplateResult {
  readonly text: string
  /** Placeholders without value and without fallback; they add nothing to the text. */
  readonly missingCount: number
}

/** Prepares a template for many records. The pool's kernel does the same in bulk; this is for main, tools and tests. */
export function templateEvaluator(template: Template): (values: TemplateValues) => TemplateResult {
  const formats = new Map<string, FormatTime>()
  for (const part of template.parts) {
    if (part.kind === 'time') formats.set(part.format, compileTimeFormat(part.format))
  }
  return (values) => {
    let text = ''
    let missingCount = 0
    for (const part of template.parts) {
      const piece = pieceOf(part, values, formats)
      if (piece === undefined) missingCount++
      else text += piece
    }
    return { text, missingCount }
  }
}

function pieceOf(
  part: TemplatePart,
  values: TemplateValues,
  formats: ReadonlyMap<string, FormatTime>
): string | undefined {
  switch (part.kind) {
    case 'text':
      return part.text
    case 'record':
      return values.record(part.path) ?? part.fallback ?? undefined
    case 'meta':
      return values.meta(part.key) ?? part.fallback ?? undefined
    case 'tag':
      return values.tag
    case 'tag_parts':
      return tagParts(values.tag, part)
    case 'time':
      return formats.get(part.format)?.(values.time)
    case 'source_address':
      return values.sourceAddress
    case 'position':
      return values.positionId
    default:
      return unreachable(part)
  }
}

/** The parts of a tag that a template asks for, joined by dots; undefined: the tag has none there. */
export function tagParts(
  tag: string,
  part: { readonly from: number; readonly to: number | null; readonly isSlice: boolean }
): string | undefined {
  const parts = tag.split('.')
  if (!part.isSlice) return parts.at(part.from)
  const slice = parts.slice(part.from, part.to ?? undefined)
  return slice.length === 0 ? undefined : slice.join('.')
}
