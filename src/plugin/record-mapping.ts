// Runs on: any.
// What an input adds to its records. It happens behind the queue, in the program of every destination, as the `parser` of an
// input does: what is stored is what came, and an acknowledgement waits for none of it.

/** Entry metadata of Forward records: left out, its keys beside those of the record, or as a map under `_meta`. */
export type MetadataMode = 'drop' | 'merge' | 'nest'

export interface RecordMapping {
  readonly metadata: MetadataMode
  /** Names of fields and the templates of their text; an empty text adds no field. */
  readonly fields: readonly { readonly key: string; readonly template: string }[]
  /** Whether what is added replaces fields that the record has. */
  readonly overwrite: boolean
}

/** Options of inputs that `mappingOf` reads. */
export interface MappingOptions {
  readonly metadata: MetadataMode
  readonly source_address_key: string | null
  readonly tag_key: string | null
  readonly overwrite: boolean
}

/** Null: nothing is added, and the program gets no step for it. */
export function mappingOf(options: MappingOptions): RecordMapping | null {
  const { metadata, overwrite, source_address_key: addressKey, tag_key: tagKey } = options
  const fields = [
    ...(addressKey === null ? [] : [{ key: addressKey, template: '${source.address}' }]),
    ...(tagKey === null ? [] : [{ key: tagKey, template: '${tag}' }])
  ]
  return metadata === 'drop' && fields.length === 0 ? null : { metadata, fields, overwrite }
}
