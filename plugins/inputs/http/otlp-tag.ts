// Step 3. Runs on: any.
// The tag of OTLP records: a template over what all records of a resource and scope share. Resources repeat, so the last
// answer is kept.

import { decodeValue } from '../../../src/codec/msgpack-value.ts'
import { eventTimeOfMs } from '../../../src/core/event-time.ts'
import { compileTemplate, templateEvaluator } from '../../../src/core/template.ts'

const NO_CONSTANTS = { hostname: '', uuid: '', dataDir: '' }
const NO_TIME = eventTimeOfMs(0)

export class OtlpTag {
  readonly #evaluate: ReturnType<typeof templateEvaluator>
  #shared: Buffer = Buffer.alloc(0)
  #tag: string | null = null

  constructor(template: string) {
    this.#evaluate = templateEvaluator(compileTemplate(template, NO_CONSTANTS))
  }

  /** `shared`: a map of `resource` and `scope` in MessagePack. */
  of(shared: Buffer): string {
    if (this.#tag !== null && this.#shared.equals(shared)) return this.#tag
    const values = valuesOf(shared)
    this.#shared = Buffer.from(shared)
    this.#tag = this.#evaluate({
      tag: '',
      time: NO_TIME,
      sourceAddress: '',
      positionId: '',
      record: (path) => textAt(values, path),
      meta: () => undefined
    }).text
    return this.#tag
  }
}

/** Attributes that the library refuses (a key `__proto__`) count as none. */
function valuesOf(shared: Buffer): unknown {
  try {
    return decodeValue(shared)
  } catch {
    return null
  }
}

/** Text of a value that is text, number or boolean; undefined: there is none. */
function textAt(values: unknown, path: readonly (string | number)[]): string | undefined {
  let value = values
  for (const step of path) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, step)) return undefined
    value = Object.getOwnPropertyDescriptor(value, step)?.value
  }
  const isScalar = ['string', 'number', 'bigint', 'boolean'].includes(typeof value)
  return isScalar && value !== '' ? String(value) : undefined
}

/** What a template of tags may not name; null: nothing. */
export function faultOfTag(template: string): string | null {
  for (const part of compileTemplate(template, NO_CONSTANTS).parts) {
    const isShared =
      part.kind === 'record' && (part.path[0] === 'resource' || part.path[0] === 'scope')
    if (part.kind !== 'text' && !isShared) return part.kind
  }
  return null
}
