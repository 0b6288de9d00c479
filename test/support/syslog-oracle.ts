// Syslog messages read the plain way, with regular expressions: what the kernel's parsers are compared with.

export interface OracleOptions {
  readonly dialect: 'rfc3164' | 'rfc5424' | 'auto'
  readonly structuredData?: 'nested' | 'flat' | 'text'
  readonly arrivalMs: number
}

export interface OracleMessage {
  readonly fields: Record<string, unknown>
  /** Null: the record keeps its own. */
  readonly timeMs: number | null
}

const FACILITIES =
  'kern user mail daemon auth syslog lpr news uucp cron authpriv ftp ntp audit alert clock local0 local1 local2 local3 local4 local5 local6 local7'.split(
    ' '
  )
const SEVERITIES = 'emerg alert crit err warning notice info debug'.split(' ')
const MONTHS = 'jan feb mar apr may jun jul aug sep oct nov dec'.split(' ')
const ISO =
  /^(\d{4})-(\d\d)-(\d\d)[T ](\d\d):(\d\d):(\d\d)(?:[.,](\d+))?(?:([zZ])|([+-])(\d\d)(?::?(\d\d))?)$/
const DAY_MS = 86_400_000
const ELEMENT = /\[([^ "=\]]+)((?: [^ "=\]]+="(?:\\.|[^"\\])*")*)\]/sy
const PARAM = / ([^ "=\]]+)="((?:\\.|[^"\\])*)"/gs

/** `text` is in latin1. Null: it is none. */
export function readSyslog(text: string, options: OracleOptions): OracleMessage | null {
  const [head, digits] = /^<(\d{1,3})>/.exec(text) ?? []
  if (head === undefined || Number(digits) > 191) return null
  const fields: Record<string, unknown> = {
    facility: FACILITIES[Number(digits) >> 3],
    severity: SEVERITIES[Number(digits) & 7]
  }
  const rest = text.slice(head.length)
  if (rest.startsWith('1 ') && options.dialect !== 'rfc3164') {
    return readNew(rest.slice(2), fields, options)
  }
  return options.dialect === 'rfc5424' ? null : readOld(rest, fields, options.arrivalMs)
}

function readNew(
  text: string,
  fields: Record<string, unknown>,
  { structuredData = 'nested' }: OracleOptions
): OracleMessage | null {
  const found = /^([^ ]+) ([^ ]+) ([^ ]+) ([^ ]+) ([^ ]+) /.exec(text)
  if (found === null) return null
  const [all, time = '', ...names] = found
  const timeMs = time === '-' ? null : isoMs(time)
  if (time !== '-' && timeMs === null) return null
  for (const [i, name] of ['host', 'ident', 'pid', 'msgid'].entries()) {
    if (names[i] !== '-') fields[name] = names[i]
  }
  let at = all.length
  if (text[at] === '-') at++
  else {
    const start = at
    const map: Record<string, Record<string, string>> = {}
    for (ELEMENT.lastIndex = at; text[at] === '['; at = ELEMENT.lastIndex) {
      const [, id, params] = ELEMENT.exec(text) ?? []
      if (id === undefined || params === undefined || hasControl(id)) return null
      const values: Record<string, string> = Object.fromEntries(
        [...params.matchAll(PARAM)].map(([, name, value = '']) => [
          name,
          value.replaceAll(/\\(["\\\]])/g, '$1')
        ])
      )
      if (Object.keys(values).some(hasControl)) return null
      map[id] = values
      for (const [name, value] of Object.entries(values)) {
        if (structuredData === 'flat') fields[`${id}.${name}`] = value
      }
    }
    if (at === start) return null
    if (structuredData === 'text') fields['structured_data'] = text.slice(start, at)
    else if (structuredData === 'nested') fields['structured_data'] = map
  }
  if (at === text.length) return { fields, timeMs }
  if (text[at] !== ' ') return null
  fields['message'] = withoutMark(text.slice(at + 1))
  return { fields, timeMs }
}

function readOld(text: string, fields: Record<string, unknown>, arrivalMs: number): OracleMessage {
  const time = readOldTime(text, arrivalMs)
  let rest = text
  if (time !== null) {
    rest = text.slice(time.length)
    if (rest.startsWith(':')) rest = rest.slice(1)
    else if (rest !== '') {
      rest = rest.slice(1)
      const host = /^([^ ]+) /.exec(rest)?.[1]
      if (host !== undefined && !host.endsWith(':') && !host.includes('[')) {
        fields['host'] = host
        rest = rest.slice(host.length + 1)
      }
    }
    rest = rest.replace(/^ +/, '')
  }
  const tag = /^([^ :[]+)(?:\[([^\] ]+)\]:?|:) ?/.exec(rest)
  if (tag !== null) {
    fields['ident'] = tag[1]
    if (tag[2] !== undefined) fields['pid'] = tag[2]
    rest = rest.slice(tag[0].length)
  }
  fields['message'] = withoutMark(rest)
  return { fields, timeMs: time === null ? null : time.timeMs }
}

function readOldTime(text: string, arrivalMs: number): { length: number; timeMs: number } | null {
  if (/^\d/.test(text)) {
    const [word = ''] = /^[^ ]*/.exec(text) ?? []
    const timeMs = isoMs(word)
    return timeMs === null ? null : { length: word.length, timeMs }
  }
  const found = /^(\w{3}) ([ \d]?\d) (?:(\d{4}) )?(\d\d):(\d\d):(\d\d)(?:\.(\d+))?(?=[ :]|$)/.exec(
    text
  )
  if (found === null) return null
  const [all, name = '', day, year, hour, minute, second, fraction = ''] = found
  const month = MONTHS.indexOf(name.toLowerCase())
  if (month < 0) return null
  const clock = [hour, minute, second] as const
  const ms = Math.floor(Number(`0.${fraction}0`) * 1000 + 1e-6)
  const at = (y: number) => dateMs(y, month, Number(day), clock)
  const first = new Date(arrivalMs + DAY_MS).getUTCFullYear() + 1
  const years =
    year === undefined ? Array.from({ length: 12 }, (_, i) => first - i) : [Number(year)]
  for (const y of years) {
    const timeMs = at(y)
    if (timeMs === null) continue
    const limit = year === undefined ? Math.floor(arrivalMs / 1000) * 1000 + DAY_MS : Infinity
    if (timeMs <= limit) return timeMs < 0 ? null : { length: all.length, timeMs: timeMs + ms }
  }
  return null
}

function isoMs(text: string): number | null {
  const found = ISO.exec(text)
  if (found === null) return null
  const [, y, mo, d, h, mi, s, fraction = '', , sign, zh = '0', zm = '0'] = found
  const date = dateMs(Number(y), Number(mo) - 1, Number(d), [h, mi, s])
  if (date === null || Number(zh) > 23 || Number(zm) > 59) return null
  const zone = (Number(zh) * 60 + Number(zm)) * 60_000 * (sign === '-' ? -1 : 1)
  const timeMs = date - zone + Math.floor(Number(`0.${fraction}0`) * 1000 + 1e-6)
  return timeMs < 0 || timeMs >= Date.UTC(2200, 0, 1) ? null : timeMs
}

function dateMs(
  year: number,
  month: number,
  day: number,
  clock: readonly (string | undefined)[]
): number | null {
  const [hour, minute, second] = clock.map(Number)
  if (hour! > 23 || minute! > 59 || second! > 60) return null
  const date = new Date(Date.UTC(year, month, day))
  if (date.getUTCMonth() !== month || date.getUTCDate() !== day) return null
  return date.getTime() + ((hour! * 60 + minute!) * 60 + second!) * 1000
}

const hasControl = (name: string): boolean => [...name].some((each) => each < ' ')

const withoutMark = (text: string): string => text.replace(/^\xef\xbb\xbf/, '')
