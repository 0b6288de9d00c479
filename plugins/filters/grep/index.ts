// Step 7. Runs on: main.
// Keeps or removes records by their fields.

import { Type } from 'typebox'
import { defineFilter } from '../../../src/plugin/define.ts'

const scalar = Type.Union([Type.String(), Type.Number(), Type.Boolean()])
const tests = Type.Object(
  {
    equal: Type.Optional(scalar),
    prefix: Type.Optional(Type.String({ minLength: 1 })),
    contains: Type.Optional(Type.String({ minLength: 1 })),
    regex: Type.Optional(Type.String({ minLength: 1 })),
    gte: Type.Optional(Type.Number()),
    gt: Type.Optional(Type.Number()),
    lte: Type.Optional(Type.Number()),
    lt: Type.Optional(Type.Number()),
    exists: Type.Optional(Type.Boolean())
  },
  { additionalProperties: false }
)
const value = Type.Union([scalar, tests, Type.Array(scalar)])
const block = Type.Record(Type.String(), value)

const config = Type.Object(
  {
    include: Type.Optional(
      Type.Record(Type.String(), value, {
        description: 'Fields that must all match; a record that lacks one is removed.'
      })
    ),
    exclude: Type.Optional(
      Type.Record(Type.String(), value, {
        description: 'A record whose fields all match is removed; one that lacks a field stays.'
      })
    ),
    any: Type.Optional(
      Type.Array(block, { minItems: 1, description: 'Blocks of fields; one of them must match.' })
    ),
    all: Type.Optional(
      Type.Array(block, { minItems: 1, description: 'Blocks of fields; each of them must match.' })
    )
  },
  { additionalProperties: false }
)

export default defineFilter({
  type: 'grep',
  stability: 'stable',
  summary: 'Keeps or removes records by their fields.',
  config
})
