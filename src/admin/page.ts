// Runs on: main.
// The page at `/`: queues, lag and dead letters at a glance. No script, no external asset; reloads itself.

import type {
  AdminSource,
  CursorStatus,
  DeadLetterLogStatus,
  ParkedStatus,
  ShardStatus
} from './status.ts'

const REFRESH_SECONDS = 5

const STYLE = `
  :root { color-scheme: light dark; font: 14px/1.5 system-ui, sans-serif }
  body { max-width: 72rem; margin: 2rem auto; padding: 0 1rem }
  h1 { font-size: 1.3rem } h2 { font-size: 1rem; margin-top: 2rem }
  table { border-collapse: collapse; width: 100% }
  th, td { text-align: left; padding: .3rem .6rem; border-bottom: 1px solid #8884 }
  td.n, th.n { text-align: right; font-variant-numeric: tabular-nums }
  .bad { color: #c22; font-weight: 600 } .ok { color: #2a2 } .dim { opacity: .65 }
`

export const PAGE_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'"

export function renderPage(source: AdminSource, nowMs: number): string {
  const ready = source.readiness()
  const { shards, cursors, parked } = source.queues()
  const health = ready.isOk
    ? '<span class="ok">ready</span>'
    : `<span class="bad">not ready: ${escapeHtml(ready.reasons.join(', '))}</span>`
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta http-equiv="refresh" content="${REFRESH_SECONDS}">
<title>Millrace</title><style>${STYLE}</style></head><body>
<h1>Millrace ${escapeHtml(source.version)} &mdash; ${health}</h1>
<p class="dim">up ${duration(nowMs - source.startedMs)} &middot; ${escapeHtml(addressList(source))}</p>
<h2>Destinations</h2>
${cursorTable(cursors, nowMs)}
<h2>Queues</h2>
${shardTable(shards)}
<h2>Parked</h2>
${parkedTable(parked)}
<h2>Dead letters</h2>
${deadLetterTable(source.letters.logs())}
<p class="dim"><a href="/metrics">metrics</a> &middot; <a href="/api/v1/queues">queues as JSON</a> &middot;
<a href="/readyz">readiness</a></p>
</body></html>
`
}

function cursorTable(cursors: readonly CursorStatus[], nowMs: number): string {
  const rows = cursors.map((cursor) => {
    const lag =
      cursor.oldestPendingMs === null ? '&ndash;' : duration(nowMs - cursor.oldestPendingMs)
    const lost = total(cursor.lost)
    return [
      cell(`${cursor.route} &rarr; ${escapeHtml(cursor.destination)}`, '', true),
      cell(cursor.shard),
      number(cursor.appended),
      number(cursor.delivered),
      number(cursor.pending),
      cell(lag, 'n', true),
      number(cursor.deadLettered, cursor.deadLettered > 0),
      number(total(cursor.dropped)),
      number(lost, lost > 0),
      cell(cursor.lastError ?? '')
    ].join('')
  })
  const heads = ['route', 'shard']
  const numbers = ['appended', 'delivered', 'pending', 'lag', 'dead letters', 'dropped', 'lost']
  return table(heads, numbers, ['last error'], rows)
}

function shardTable(shards: readonly ShardStatus[]): string {
  const rows = shards.map((shard) =>
    [
      cell(shard.route),
      cell(shard.shard),
      cell(shard.state, shard.state === 'ok' ? 'ok' : 'bad'),
      cell(shard.durability),
      cell(shard.overflow),
      number(shard.segments),
      number(shard.diskBytes),
      number(shard.bytesMax)
    ].join('')
  )
  const heads = ['route', 'shard', 'state', 'durability', 'overflow']
  return table(heads, ['segments', 'bytes', 'limit'], [], rows)
}

/** What destinations set aside for indices and streams that they refuse. */
function parkedTable(parks: readonly ParkedStatus[]): string {
  const rows = parks.map((park) =>
    [
      cell(`${park.route} &rarr; ${escapeHtml(park.destination)}`, '', true),
      number(park.keys, park.keys > 0),
      number(park.records, park.records > 0),
      number(park.bytes),
      number(park.delivered),
      cell(park.isFull ? 'full: what fails waits in the queue' : '')
    ].join('')
  )
  return table(['route'], ['keys', 'records', 'bytes', 'delivered'], [''], rows)
}

function deadLetterTable(logs: readonly DeadLetterLogStatus[]): string {
  const rows = logs.map((log) =>
    [cell(log.log), number(log.records, log.records > 0), number(log.bytes)].join('')
  )
  return table(['log'], ['records', 'bytes'], [], rows)
}

function table(
  heads: readonly string[],
  numbers: readonly string[],
  tails: readonly string[],
  rows: readonly string[]
): string {
  if (rows.length === 0) return '<p class="dim">none</p>'
  const head = [
    ...heads.map((text) => `<th>${text}</th>`),
    ...numbers.map((text) => `<th class="n">${text}</th>`),
    ...tails.map((text) => `<th>${text}</th>`)
  ].join('')
  const body = rows.map((row) => `<tr>${row}</tr>`).join('\n')
  return `<table><tr>${head}</tr>\n${body}</table>`
}

function cell(text: string, kind = '', isMarkup = false): string {
  const attribute = kind === '' ? '' : ` class="${kind}"`
  return `<td${attribute}>${isMarkup ? text : escapeHtml(text)}</td>`
}

function number(value: number, isBad = false): string {
  return cell(value.toLocaleString('en'), isBad ? 'n bad' : 'n')
}

function total(byReason: Readonly<Record<string, number>>): number {
  return Object.values(byReason).reduce((sum, count) => sum + count, 0)
}

function addressList(source: AdminSource): string {
  return Object.entries(source.addresses())
    .map(([input, addresses]) => `${input}: ${addresses.join(' ')}`)
    .join(' · ')
}

function duration(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1000))
  if (seconds < 60) return `${seconds} s`
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)} h`
  return `${Math.floor(seconds / 86_400)} d`
}

function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (sign) => `&#${sign.charCodeAt(0)};`)
}
