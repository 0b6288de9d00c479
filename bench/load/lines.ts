// Log lines of the load: nginx combined format, about 200 bytes, each with `seq=` and ten digits in the request path,
// so that a sink can count every record whether the line was parsed or not.

import type { Random } from '../../src/core/clock.ts'

export const SEQ_MARK = 'seq='
export const SEQ_DIGITS = 10

const AGENTS = [
  'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36',
  'Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:133.0) Gecko/20100101 Firefox/133.0',
  'curl/8.5.0',
  'Go-http-client/1.1'
]
const PATHS = ['/api/v1/items/', '/static/js/main.', '/users/orders/', '/search/']
const METHODS = ['GET', 'GET', 'GET', 'POST', 'PUT']
const STATUS = [200, 200, 200, 200, 304, 404, 500]
const MONTHS = 'Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec'.split(' ')

function pick<T>(random: Random, list: readonly T[]): T {
  const item = list[Math.floor(random() * list.length)]
  if (item === undefined) throw new Error('pick from an empty list')
  return item
}

const two = (value: number): string => String(value).padStart(2, '0')

function clfTime(date: Date): string {
  const day = `${two(date.getUTCDate())}/${MONTHS[date.getUTCMonth()]}/${date.getUTCFullYear()}`
  return `${day}:${date.toISOString().slice(11, 19)} +0000`
}

/** One nginx combined line whose sequence number is ten zeros. */
export function nginxLine(random: Random, date: Date): string {
  const byte = () => Math.floor(random() * 256)
  const path = pick(random, PATHS) + Math.floor(random() * 1e6)
  return (
    `${byte()}.${byte()}.${byte()}.${byte()} - - [${clfTime(date)}] ` +
    `"${pick(random, METHODS)} ${path}?${SEQ_MARK}${'0'.repeat(SEQ_DIGITS)} HTTP/1.1" ` +
    `${pick(random, STATUS)} ${Math.floor(random() * 60_000)} ` +
    `"https://shop.example.com/catalog/${Math.floor(random() * 1000)}" "${pick(random, AGENTS)}"`
  )
}

/** Small seeded generator (xorshift32), so that every run sends the same bytes. */
export function seededRandom(seed: number): Random {
  let state = seed | 1
  return () => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return (state >>> 0) / 2 ** 32
  }
}
