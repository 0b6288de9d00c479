// Runs on: main.
// Dead letters, replays and jobs of the admin API. All of them show records or change something,
// so all but the list of logs are guarded.

import { Readable } from 'node:stream'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { MillraceError } from '../core/errors.ts'
import type { AdminSource } from './status.ts'

type Guard = {
  preHandler: (request: FastifyRequest, reply: FastifyReply) => Promise<void>
}

interface LogRoute {
  Params: { log: string }
  Querystring: Readonly<Record<string, string | undefined>>
}

interface QueueRoute {
  Params: { route: string; output: string }
  Querystring: Readonly<Record<string, string | undefined>>
}

interface JobRoute {
  Params: { id: string }
}

/** Dead letters shown at once. */
const SHOWN_MAX = 1000
const SHOWN_DEFAULT = 20

export function addLetterRoutes(app: FastifyInstance, source: AdminSource, guard: Guard): void {
  const { jobs, letters } = source
  app.get('/api/v1/dlq', () => letters.logs())
  app.get<LogRoute>('/api/v1/dlq/:log', guard, ({ params, query }) => {
    const limit = Math.min(numberOf(query, 'limit', SHOWN_DEFAULT), SHOWN_MAX)
    return letters.views(params.log, query['where'] ?? '', limit)
  })
  app.get<LogRoute>('/api/v1/dlq/:log/export', guard, ({ params, query }, reply) => {
    const limit = numberOf(query, 'limit', Number.MAX_SAFE_INTEGER)
    const isRaw = query['raw'] === 'true'
    const pieces = letters.export(params.log, query['where'] ?? '', limit, isRaw)
    reply.type(isRaw ? 'application/octet-stream' : 'application/x-ndjson')
    return reply.send(Readable.from(pieces, { objectMode: true, highWaterMark: 16 }))
  })
  app.post<LogRoute>('/api/v1/dlq/:log/replay', guard, ({ params, query }) =>
    letters.replay(params.log, {
      where: query['where'] ?? '',
      to: query['to'] ?? null,
      limit: numberOf(query, 'limit', Number.MAX_SAFE_INTEGER),
      perSecond: rateOf(query),
      isDryRun: query['dry_run'] === 'true'
    })
  )
  app.post<LogRoute>('/api/v1/dlq/:log/purge', guard, ({ params, query }) =>
    letters.purge(params.log, query['where'] ?? '', query['dry_run'] === 'true')
  )
  app.post<QueueRoute>('/api/v1/queues/:route/:output/replay', guard, ({ params, query }) => {
    const { from, to_time: toTime = null } = query
    if (from === undefined) throw new MillraceError('MR_USAGE', 'the query has no "from"')
    const isDryRun = query['dry_run'] === 'true'
    const request = { from, toTime, perSecond: rateOf(query), isDryRun }
    return source.replays.start(params.route, params.output, request)
  })
  app.get('/api/v1/jobs', guard, () => jobs.list())
  app.get<JobRoute>('/api/v1/jobs/:id', guard, ({ params }) => jobs.get(idOf(params.id)))
  app.post<JobRoute>('/api/v1/jobs/:id/stop', guard, ({ params }) => jobs.stop(idOf(params.id)))
}

function numberOf(
  query: Readonly<Record<string, string | undefined>>,
  name: string,
  otherwise: number
): number {
  const text = query[name]
  if (text === undefined) return otherwise
  if (/^[1-9]\d{0,14}$/.test(text)) return Number(text)
  throw new MillraceError('MR_USAGE', `${name}=${text}: write a whole number from 1`)
}

/** Records per second; null: no limit. */
function rateOf(query: Readonly<Record<string, string | undefined>>): number | null {
  const text = query['rate']
  if (text === undefined) return null
  const rate = /^\d{1,9}(\.\d{1,6})?$/.test(text) ? Number(text) : 0
  if (rate > 0) return rate
  throw new MillraceError('MR_USAGE', `rate=${text}: write records per second, above 0`)
}

const idOf = (text: string): number => (/^\d{1,15}$/.test(text) ? Number(text) : -1)
