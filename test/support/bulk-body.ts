// Reads a bulk body as strictly as the server does, and finds what a lenient JSON reader would let pass.

export interface BulkItem {
  readonly index: string
  readonly id: string | null
  readonly source: string
  /** Why the document cannot be indexed; null: it can. */
  readonly documentFault: string | null
}

/** The whole request is refused. */
export class BulkSyntaxError extends Error {}

const ACTION_KEYS = new Set(['_index', '_id', 'routing', 'pipeline', 'require_alias'])
const ID_BYTES_MAX = 512
const NEWLINE = 10

export function parseBulk(body: Buffer): BulkItem[] {
  if (body.length === 0) throw new BulkSyntaxError('request body is required')
  if (body[body.length - 1] !== NEWLINE) {
    throw new BulkSyntaxError('The bulk request must be terminated by a newline [\\n]')
  }
  const lines = new TextDecoder('utf-8', { fatal: true }).decode(body).split('\n').slice(0, -1)
  const items: BulkItem[] = []
  for (let i = 0; i < lines.length; i += 2) {
    const action = parseAction(lines[i] ?? '', i + 1)
    const source = lines[i + 1]
    if (source === undefined) throw new BulkSyntaxError('Validation Failed: 1: no source given;')
    items.push({ ...action, source, documentFault: documentFault(source) })
  }
  return items
}

function parseAction(line: string, lineNumber: number): { index: string; id: string | null } {
  const malformed = `Malformed action/metadata line [${lineNumber}]`
  let action: unknown
  try {
    action = JSON.parse(line)
  } catch {
    throw new BulkSyntaxError(`${malformed}, expected START_OBJECT`)
  }
  const [operation, ...others] = Object.entries(action ?? {})
  if (operation === undefined || others.length > 0 || operation[0] !== 'create') {
    throw new BulkSyntaxError(`${malformed}, expected one operation [create]`)
  }
  const fields = operation[1] as Record<string, unknown>
  for (const [key, value] of Object.entries(fields)) {
    if (!ACTION_KEYS.has(key)) {
      throw new BulkSyntaxError(`${malformed} contains an unknown parameter [${key}]`)
    }
    if (value === null) throw new BulkSyntaxError(`${malformed}, [${key}] is null`)
  }
  const { _index: index, _id: id } = fields
  if (typeof index !== 'string') throw new BulkSyntaxError('Validation Failed: index is missing;')
  if (id === undefined) return { index, id: null }
  if (typeof id !== 'string' || id === '' || Buffer.byteLength(id) > ID_BYTES_MAX) {
    throw new BulkSyntaxError(`id must be 1 to ${ID_BYTES_MAX} bytes`)
  }
  return { index, id }
}

function documentFault(source: string): string | null {
  let document: unknown
  try {
    document = JSON.parse(source)
  } catch {
    return 'failed to parse: not JSON'
  }
  if (typeof document !== 'object' || document === null || Array.isArray(document)) {
    return 'failed to parse: not an object'
  }
  const duplicate = duplicateKey(source)
  if (duplicate !== null) return `failed to parse: Duplicate field '${duplicate}'`
  const bad = Object.keys(document).find((key) => /^[.\s]*$/.test(key) || /^\.|\.$/.test(key))
  return bad === undefined ? null : `field name [${bad}] cannot be empty or begin or end with a dot`
}

/** First key that an object of the text has twice; the text is valid JSON. */
export function duplicateKey(text: string): string | null {
  const open: (Set<string> | null)[] = []
  const token = /"(?:[^"\\]|\\.)*"|[{}[\]:,]/g
  let last = ''
  for (const [piece] of text.matchAll(token)) {
    if (piece === '{') open.push(new Set())
    else if (piece === '[') open.push(null)
    else if (piece === '}' || piece === ']') open.pop()
    else if (piece === ':') {
      const keys = open.at(-1)
      const key = JSON.parse(last) as string
      if (keys?.has(key)) return key
      keys?.add(key)
    }
    last = piece
  }
  return null
}

/** Rules of the server for names of indices. */
export function indexNameFault(name: string): string | null {
  if (name === '' || name === '.' || name === '..') return `must not be [${name}]`
  if (/^[_\-+]/.test(name)) return "must not start with '_', '-', or '+'"
  if (name !== name.toLowerCase()) return 'must be lowercase'
  if (/[\\/*?"<>| ,#:]/.test(name)) return 'must not contain the following characters'
  return Buffer.byteLength(name) > 255 ? 'index name is too long' : null
}
