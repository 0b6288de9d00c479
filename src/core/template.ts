// Runs on: any.
// ${...} templates: one language for index names, log groups, paths and the step `set`.

/** One piece of a compiled template. Constants (`${hostname}`, `${uuid}`, `${data_dir}`) are text by now. */
export type TemplatePart =
  | { readonly kind: 'text'; readonly text: string }
  | {
      readonly kind: 'record'
      readonly path: readonly (string | number)[]
      readonly fallback: string | null
    }
  | { readonly kind: 'tag' }
  /** `from` to `to` (exclusive, null: the end) of the tag split at dots, joined by dots; negative: from the end. */
  | {
      readonly kind: 'tag_parts'
      readonly from: number
      readonly to: number | null
      readonly isSlice: boolean
    }
  | { readonly kind: 'tag_prefix'; readonly count: number }
  | { readonly kind: 'tag_suffix'; readonly count: number }
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
