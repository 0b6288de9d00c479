// Runs on: main.
// Options that every parser has. A parse is all or nothing: when it fails, the record and its time are as before.

import { Type } from 'typebox'

export const parserOptions = {
  key: Type.Optional(
    Type.String({
      minLength: 1,
      description: 'Field to parse; a path is allowed. Default: `log`, else `message`.'
    })
  ),
  keep_original: Type.Boolean({
    default: false,
    description: 'Keep the parsed field beside the result.'
  }),
  keep_others: Type.Boolean({
    default: true,
    description: 'Keep the other fields of the record; false leaves the result alone.'
  }),
  into: Type.Optional(
    Type.String({
      minLength: 1,
      description: 'Put the result under this key instead of merging it.'
    })
  ),
  prefix: Type.String({ default: '', description: 'Text put before each key of the result.' }),
  on_conflict: Type.Enum(['replace', 'keep', 'rename'], {
    default: 'replace',
    description:
      'A field of the result exists already: `replace` it, `keep` it, or `rename` it to `<key>_orig`.'
  }),
  types: Type.Optional(
    Type.Record(Type.String(), Type.Enum(['string', 'integer', 'float', 'boolean']), {
      description: 'Types of fields of the result. A text that is not of the type stays text.'
    })
  ),
  time_key: Type.Optional(
    Type.String({
      minLength: 1,
      description: "Field of the result that becomes the record's time and is removed."
    })
  ),
  time_format: Type.Optional(
    Type.String({
      minLength: 1,
      description:
        'strftime format of `time_key`, or `iso8601`, `epoch`, `epoch_ms`. A text of another form leaves the time alone.'
    })
  ),
  keep_time: Type.Boolean({ default: false, description: 'Keep the field of `time_key`.' }),
  on_failure: Type.Enum(['keep', 'dead_letter', 'drop', 'tag'], {
    default: 'keep',
    description:
      'The text does not parse: `keep` the record as it is, set it aside as `dead_letter`, `drop` it, or `tag` it with `parse_error`. Always counted.'
  }),
  on_missing: Type.Enum(['keep', 'fail'], {
    default: 'keep',
    description: 'There is no such field: `keep` the record, or `fail` as above.'
  })
}
