// Step 2. Runs on: ingest.
// Action lines of a `_bulk` body: what is to be done with the document in the next line.

export type BulkOperation = 'index' | 'create' | 'update' | 'delete'

export interface BulkAction {
  readonly operation: BulkOperation
  /** null: that of the path. */
  readonly index: string | null
  /** null: none was given. */
  readonly id: string | null
}

const OPERATIONS: readonly BulkOperation[] = ['index', 'create', 'update', 'delete']
/** A line is a small object; what is longer is none. */
const ACTION_BYTES_MAX = 8192

/** null: the line is no action, and then the whole request is malformed. */
export function parseAction(line: Buffer): BulkAction | null {
  if (line.length > ACTION_BYTES_MAX) return null
  let parsed: unknown
  try {
    parsed = JSON.parse(line.toString())
  } catch {
    return null
  }
  const [entry, ...others] = Object.entries(Object(parsed))
  if (entry === undefined || others.length > 0) return null
  const [name, about] = entry
  const operation = OPERATIONS.find((each) => each === name)
  if (operation === undefined || typeof about !== 'object' || about === null) return null
  return { operation, index: textOf(about, '_index'), id: textOf(about, '_id') }
}

/** Names are texts; ids may be numbers. */
function textOf(about: object, name: string): string | null {
  const value: unknown = Object.getOwnPropertyDescriptor(about, name)?.value
  return typeof value === 'string' || typeof value === 'number' ? String(value) : null
}
