// Runs on: main.
// Options of the internal input.

import { Type } from 'typebox'

export const config = Type.Object(
  {
    tag: Type.String({
      minLength: 1,
      default: 'millrace',
      description:
        'What tags begin with; behind it stand a dot and the component that logged, or `main`.'
    }),
    level: Type.Enum(['debug', 'info', 'warn', 'error'], {
      default: 'info',
      description: 'Least level that becomes a record; `--log-level` is about the output alone.'
    })
  },
  { additionalProperties: false }
)
