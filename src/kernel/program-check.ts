// Step 7. Runs on: pool.
// Checks a program before the kernel runs it: every id, address, table index and jump lies where it may. The kernel itself
// then trusts its words, which is what lets it run without checks per record.

import { MillraceError } from '../core/errors.ts'
import * as codes from './codes.ts'
import { HEADER_BYTES } from './program-data.ts'
import { HEADER } from './program-header.ts'

/** What an operand is. `list`: a count, then that many of the next kind. */
type Operand =
  | 'id'
  | 'id_or_none'
  | 'field'
  | 'slice'
  | 'parts'
  | 'options'
  | 'place'
  | 'number'
  | 'counter'
  | 'pattern'
  | 'key_set'
  | 'jump'
  | 'goto'

const OPERANDS: Readonly<Record<number, readonly Operand[]>> = {
  [codes.OP_END]: [],
  [codes.OP_SET_JSON]: ['id', 'slice', 'number', 'number'],
  [codes.OP_SET_TEXT]: ['id', 'number', 'parts'],
  [codes.OP_COPY]: ['id', 'field', 'number', 'slice'],
  [codes.OP_COMMIT]: [],
  [codes.OP_FILTER_KEYS]: ['key_set', 'number'],
  [codes.OP_COMPARE]: ['field', 'number', 'number', 'number', 'number', 'jump'],
  [codes.OP_EXISTS]: ['field', 'jump'],
  [codes.OP_TYPE_IS]: ['field', 'number', 'jump'],
  [codes.OP_FROM_INPUT]: ['slice', 'jump'],
  [codes.OP_REGEX]: ['field', 'pattern', 'jump'],
  [codes.OP_PARSE_JSON]: ['field', 'options'],
  [codes.OP_PARSE_ACCESS]: ['field', 'options', ...Array<Operand>(11).fill('id_or_none')],
  [codes.OP_PARSE_SYSLOG]: [
    'field',
    'options',
    ...Array<Operand>(3).fill('number'),
    ...Array<Operand>(3).fill('place'),
    ...Array<Operand>(9).fill('id_or_none')
  ],
  [codes.OP_PARSE_TIME]: ['field', 'options'],
  [codes.OP_CONVERT]: ['id', 'number', 'place', 'number'],
  [codes.OP_MERGE]: ['field', 'number'],
  [codes.OP_DROP]: [],
  [codes.OP_DEAD]: ['counter'],
  [codes.OP_JUMP]: ['goto'],
  [codes.OP_COUNT]: ['counter']
}

const RENAMES_MAX = 256
const GROUPS_MAX = 256
const JOIN_FIELDS_MAX = 64
const WHOLE_RECORD = 0xffffffff

/** Throws MR_TASK when the program is none that the kernel may run. `bytes` have a whole header. */
export function checkProgram(bytes: Buffer): void {
  new ProgramCheck(bytes).check()
}

class ProgramCheck {
  readonly #bytes: Buffer
  readonly #codeWords: number
  readonly #code: number
  /** Word of the op that is checked, and of the operand that comes next. */
  #op = 0
  #at = 0
  readonly #opStarts = new Set<number>()
  readonly #jumpTargets = new Set<number>()

  constructor(bytes: Buffer) {
    this.#bytes = bytes
    this.#code = this.#word(HEADER.code)
    this.#codeWords = this.#word(HEADER.codeWords)
  }

  check(): void {
    this.#area(this.#code, this.#codeWords * 4)
    this.#table(HEADER.keys, 2, codes.IDS_MAX - 1)
    this.#table(HEADER.patterns, 4, codes.PATTERNS_MAX)
    this.#table(HEADER.paths, 4, this.#bytes.length)
    this.#table(HEADER.keySets, 6, codes.KEY_SETS_MAX)
    for (const place of [HEADER.timeKey, HEADER.timeRenamed, HEADER.tagKey, HEADER.tagRenamed]) {
      this.#limit(this.#word(place), this.#keyCount + 1)
    }
    this.#limit(this.#word(HEADER.messageField), this.#keyCount + 1)
    this.#parts(this.#word(HEADER.targetParts), this.#word(HEADER.targetPartCount))
    let last = -1
    while (this.#at < this.#codeWords) last = this.#checkOp()
    if (last !== codes.OP_END || this.#at !== this.#codeWords) this.#refuse()
    // A jump among operands would run words that were never checked as an op.
    for (const target of this.#jumpTargets) if (!this.#opStarts.has(target)) this.#refuse()
  }

  get #keyCount(): number {
    return this.#word(HEADER.keyCount)
  }

  /** Checks the op at the place, goes behind it, gives its number. */
  #checkOp(): number {
    this.#op = this.#at
    this.#opStarts.add(this.#op)
    const word = this.#next()
    const op = word & 0xffff
    this.#limit(word >>> 16, codes.STEPS_MAX)
    const operands = OPERANDS[op]
    if (operands === undefined) this.#checkList(op)
    else for (const operand of operands) this.#operand(operand)
    return op
  }

  /** Ops whose length stands among their operands. */
  #checkList(op: number): void {
    switch (op) {
      case codes.OP_MATCH:
        this.#checkMatch()
        return
      case codes.OP_REMOVE:
        this.#list(this.#next(), 'id')
        return
      case codes.OP_RENAME: {
        this.#next()
        const count = this.#limit(this.#next(), RENAMES_MAX + 1)
        this.#list(count * 2, 'id')
        return
      }
      case codes.OP_PARSE_RX:
        for (const operand of ['field', 'options', 'pattern'] as const) this.#operand(operand)
        this.#list(this.#limit(this.#next(), GROUPS_MAX + 1), 'id_or_none')
        return
      case codes.OP_LEAVE_JS: {
        this.#next()
        this.#operand('options')
        const count = this.#next()
        this.#list(count === WHOLE_RECORD ? 0 : count, 'id')
        return
      }
      case codes.OP_JOIN: {
        for (const operand of ['id_or_none', 'id', 'id_or_none'] as const) this.#operand(operand)
        const count = this.#next()
        this.#limit(this.#next(), count + 1)
        this.#list(count, 'id')
        this.#list(this.#limit(this.#next(), JOIN_FIELDS_MAX + 1), 'field')
        return
      }
    }
    this.#refuse()
  }

  #checkMatch(): void {
    this.#operand('field')
    if (this.#next() === codes.MATCH_CONTAINS_ANY) {
      const table = this.#next()
      const count = this.#next()
      this.#area(table, count * 8)
      for (let row = 0; row < count; row++) {
        this.#area(this.#word(table + row * 8), this.#word(table + row * 8 + 4))
      }
    } else this.#operand('slice')
    this.#operand('jump')
  }

  #list(count: number, operand: Operand): void {
    if (count > this.#codeWords - this.#at) this.#refuse()
    for (let index = 0; index < count; index++) this.#operand(operand)
  }

  #operand(operand: Operand): void {
    const word = this.#next()
    switch (operand) {
      case 'number':
        return
      case 'counter':
        this.#limit(word, codes.COUNTERS_PER_STEP)
        return
      case 'id':
        if (word === 0) this.#refuse()
        this.#limit(word, this.#keyCount + 1)
        return
      case 'id_or_none':
        this.#limit(word, this.#keyCount + 1)
        return
      case 'field':
        this.#field(word)
        return
      case 'slice':
        this.#area(word, this.#next())
        return
      case 'parts':
        this.#parts(word, this.#next())
        return
      case 'options':
        this.#options(word)
        return
      case 'place':
        this.#area(word, 1)
        return
      case 'pattern':
        this.#limit(word, this.#word(HEADER.patternCount))
        return
      case 'key_set':
        this.#limit(word, this.#word(HEADER.keySetCount))
        return
      case 'jump':
        this.#next()
        this.#forward(word)
        return
      case 'goto':
        this.#forward(word)
        return
    }
  }

  /** Jumps lead forward only, so that the work per record is bounded by the length of the program. */
  #forward(word: number): void {
    if (word <= this.#op || word >= this.#codeWords) this.#refuse()
    this.#jumpTargets.add(word)
  }

  #field(word: number): void {
    if (word >= codes.FIELD_PATH) this.#limit(word - codes.FIELD_PATH, this.#word(HEADER.pathCount))
    else this.#limit(word, this.#keyCount + 1)
  }

  #options(address: number): void {
    this.#area(address, codes.OPTION_BYTES)
    const word = (place: number) => this.#word(address + place)
    for (const id of [codes.OPTION_TAG_ID, codes.OPTION_INTO, codes.OPTION_TIME_ID]) {
      this.#limit(word(id), this.#keyCount + 1)
    }
    this.#area(word(codes.OPTION_TAG_TEXT), word(codes.OPTION_TAG_TEXT + 4))
    this.#area(word(codes.OPTION_PREFIX), word(codes.OPTION_PREFIX + 4))
    this.#area(word(codes.OPTION_TYPES), word(codes.OPTION_TYPES + 4) * 8)
    if (word(codes.OPTION_TIME_ID) !== 0) this.#area(word(codes.OPTION_TIME_FORMAT), 1)
    const isTagging = word(codes.OPTION_FAILURE) === codes.FAILURE_TAG
    if (isTagging && (word(codes.OPTION_TAG_ID) === 0 || this.#word(HEADER.reasonNames) === 0)) {
      this.#refuse()
    }
  }

  #parts(address: number, count: number): void {
    this.#area(address, this.#limit(count, codes.TEMPLATE_PARTS_MAX + 1) * 16)
    for (let part = 0; part < count; part++) {
      const [kind = 0, x = 0, y = 0, z = 0] = [0, 4, 8, 12].map((place) =>
        this.#word(address + part * 16 + place)
      )
      if (kind === codes.PART_TEXT) this.#area(x, y)
      else if (kind === codes.PART_TIME) this.#area(x, 1)
      else if (kind === codes.PART_FIELD) {
        this.#field(x)
        if (y !== WHOLE_RECORD) this.#area(y, z)
      }
    }
  }

  #table(place: number, words: number, countMax: number): void {
    this.#area(this.#word(place), this.#limit(this.#word(place + 4), countMax + 1) * words * 4)
  }

  #next(): number {
    if (this.#at >= this.#codeWords) this.#refuse()
    return this.#word(this.#code + this.#at++ * 4)
  }

  #word(address: number): number {
    if (address + 4 > this.#bytes.length) this.#refuse()
    return this.#bytes.readUInt32LE(address)
  }

  #area(address: number, byteCount: number): void {
    if (address < HEADER_BYTES || address + byteCount > this.#bytes.length) this.#refuse()
  }

  /** The value itself, when it is below `end`. */
  #limit(value: number, end: number): number {
    return value < end ? value : this.#refuse()
  }

  #refuse(): never {
    throw new MillraceError('MR_TASK', `the program is damaged at word ${this.#op} of its code`)
  }
}
