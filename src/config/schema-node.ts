// Runs on: main.
// A JSON Schema as the code walks it: the few keywords that plugin schemas use, and our annotations (plugin/fields.ts).

export interface SchemaNode {
  readonly type?: string | readonly string[]
  readonly properties?: Readonly<Record<string, SchemaNode>>
  readonly required?: readonly string[]
  readonly additionalProperties?: boolean | SchemaNode
  readonly items?: SchemaNode
  readonly enum?: readonly unknown[]
  readonly const?: unknown
  readonly default?: unknown
  readonly minimum?: number
  readonly maximum?: number
  readonly description?: string
  readonly 'x-unit'?: 'bytes' | 'duration' | 'listen' | 'list'
  readonly 'x-min'?: string | number
  readonly 'x-max'?: string | number
  readonly 'x-template'?: 'name' | 'text'
  readonly 'x-secret'?: boolean
  readonly 'x-alias'?: readonly string[]
}

/** TypeBox types are JSON Schema objects; their TypeScript types say less than the objects hold. */
export const schemaNode = (schema: object): SchemaNode => schema as SchemaNode

export function typesOf(schema: SchemaNode): readonly string[] {
  if (schema.type === undefined) return []
  return typeof schema.type === 'string' ? [schema.type] : schema.type
}

/** Schema of one key or item below a node; undefined: anything goes. */
export function schemaBelow(schema: SchemaNode, key: string | number): SchemaNode | undefined {
  if (typeof key === 'number') return schema.items
  const own = schema.properties?.[key]
  if (own !== undefined) return own
  return typeof schema.additionalProperties === 'object' ? schema.additionalProperties : undefined
}

export function isBlock(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
