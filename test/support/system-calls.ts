// What `strace -f -y -xx -o FILE` wrote, as calls in the order in which they began. Two threads may be in calls at once:
// a call has the line where it began and the line where it ended, and only `a.endLine < b.startLine` says "a, then b".

export interface SystemCall {
  readonly name: string
  /** As strace prints them, escapes resolved to bytes (latin1). */
  readonly args: string
  /** Path that strace knows for the first descriptor, or what stands in its place for sockets (`socket:[123]`). */
  readonly path: string
  /** Negative: failed. Null: the process ended within the call. */
  readonly result: number | null
  readonly startLine: number
  /** Infinity: never. */
  readonly endLine: number
}

/** Options that the parser counts on. Strings are never cut: data of a whole write has to be seen. */
export const STRACE_OPTIONS = ['-f', '-y', '-xx', '-s', '100000000']

const LINE = /^(\d+) +(.*)$/
const RESUMED = /^<\.\.\. (\w+) resumed>(.*)$/
const CALL = /^(\w+)\((.*)$/
const UNFINISHED = ' <unfinished ...>'
const RESULT = /\) += (-?\d+|\?)[^)]*$/
const ESCAPE = /\\x([0-9a-f]{2})/g
const FIRST_DESCRIPTOR = /^(?:-?\d+|AT_FDCWD)<([^>]*)>/

export function parseSystemCalls(trace: string): SystemCall[] {
  const calls: SystemCall[] = []
  const open = new Map<string, { name: string; text: string; startLine: number; at: number }>()
  trace.split('\n').forEach((line, lineNumber) => {
    const [, process = '', rest = ''] = LINE.exec(line) ?? []
    const [, resumedName, tail = ''] = RESUMED.exec(rest) ?? []
    const begun = open.get(process)
    if (resumedName !== undefined && begun?.name === resumedName) {
      open.delete(process)
      const whole = callOf(begun.name, begun.text + tail, begun.startLine, lineNumber)
      calls[begun.at] = whole
      return
    }
    const [, name, text = ''] = CALL.exec(rest) ?? []
    if (name === undefined) return
    if (text.endsWith(UNFINISHED)) {
      const args = text.slice(0, -UNFINISHED.length)
      open.set(process, { name, text: args, startLine: lineNumber, at: calls.length })
      calls.push(callOf(name, `${args}) = ?`, lineNumber, Number.POSITIVE_INFINITY))
    } else {
      calls.push(callOf(name, text, lineNumber, lineNumber))
    }
  })
  return calls
}

function callOf(name: string, text: string, startLine: number, endLine: number): SystemCall {
  const found = RESULT.exec(text)
  const args = unescaped(found === null ? text : text.slice(0, found.index))
  const [, path = ''] = FIRST_DESCRIPTOR.exec(args) ?? []
  const result = found === null || found[1] === '?' ? null : Number(found[1])
  return { name, args, path, result, startLine, endLine }
}

const unescaped = (text: string): string =>
  text.replace(ESCAPE, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 16)))
