// The machine that runs a program's words. Each op returns the place of the next one, or 0 when the record's steps are
// over; jumps lead forward only, so the work per record is bounded by the program's length.

import {
  OP_COMMIT,
  OP_COMPARE,
  OP_CONVERT,
  OP_COPY,
  OP_COUNT,
  OP_DEAD,
  OP_DROP,
  OP_END,
  OP_EXISTS,
  OP_FILTER_KEYS,
  OP_FROM_INPUT,
  OP_JOIN,
  OP_JUMP,
  OP_LEAVE_JS,
  OP_MATCH,
  OP_MERGE,
  OP_PARSE_ACCESS,
  OP_PARSE_JSON,
  OP_PARSE_RX,
  OP_PARSE_SYSLOG,
  OP_PARSE_TIME,
  OP_REGEX,
  OP_REMOVE,
  OP_RENAME,
  OP_SET_JSON,
  OP_SET_TEXT,
  OP_TYPE_IS,
  REASON_PROGRAM,
  REASON_STEP
} from '../codes'
import { code } from './areas'
import { count } from './counters'
import { opJoin } from './op-join'
import { opConvert } from './op-convert'
import { opLeaveJs } from './op-leave-js'
import { opMerge } from './op-merge'
import { opParseAccess, opParseSyslog, opParseJson, opParseRegex, opParseTime } from './op-parse'
import {
  opCommit,
  opCopy,
  opFilterKeys,
  opRemove,
  opRename,
  opSetJson,
  opSetText
} from './op-set'
import { opCompare, opExists, opFromInput, opMatch, opRegex, opTypeIs } from './op-test'
import { deadLetter, drop, OUTCOME_OUT, outcome, setStep, step } from './outcome'
import { clearPending } from './pending'

/** Runs the program over the table: OUTCOME_*. */
export function execute(pc: usize): u32 {
  clearPending()
  while (true) {
    const word = load<u32>(pc)
    setStep(word >> 16)
    switch (word & 0xffff) {
      case OP_END:
        return OUTCOME_OUT
      case OP_SET_JSON:
        pc = opSetJson(pc)
        break
      case OP_SET_TEXT:
        pc = opSetText(pc)
        break
      case OP_COPY:
        pc = opCopy(pc)
        break
      case OP_COMMIT:
        pc = opCommit(pc)
        break
      case OP_REMOVE:
        pc = opRemove(pc)
        break
      case OP_FILTER_KEYS:
        pc = opFilterKeys(pc)
        break
      case OP_RENAME:
        pc = opRename(pc)
        break
      case OP_MATCH:
        pc = opMatch(pc)
        break
      case OP_COMPARE:
        pc = opCompare(pc)
        break
      case OP_EXISTS:
        pc = opExists(pc)
        break
      case OP_TYPE_IS:
        pc = opTypeIs(pc)
        break
      case OP_REGEX:
        pc = opRegex(pc)
        break
      case OP_FROM_INPUT:
        pc = opFromInput(pc)
        break
      case OP_PARSE_JSON:
        pc = opParseJson(pc)
        break
      case OP_PARSE_ACCESS:
        pc = opParseAccess(pc)
        break
      case OP_PARSE_SYSLOG:
        pc = opParseSyslog(pc)
        break
      case OP_PARSE_RX:
        pc = opParseRegex(pc)
        break
      case OP_PARSE_TIME:
        pc = opParseTime(pc)
        break
      case OP_CONVERT:
        pc = opConvert(pc)
        break
      case OP_LEAVE_JS:
        pc = opLeaveJs(pc)
        break
      case OP_MERGE:
        pc = opMerge(pc)
        break
      case OP_JOIN:
        pc = opJoin(pc)
        break
      case OP_DROP:
        pc = drop(REASON_STEP)
        break
      case OP_DEAD:
        pc = deadLetter(load<u32>(pc, 4))
        break
      case OP_JUMP:
        pc = code + (<usize>load<u32>(pc, 4) << 2)
        break
      case OP_COUNT:
        count(step, load<u32>(pc, 4))
        pc += 8
        break
      default:
        pc = deadLetter(REASON_PROGRAM)
    }
    if (!pc) return outcome
  }
}
