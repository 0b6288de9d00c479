// Runs on: main.
// Paths of the admin server that change queues, all of them guarded. What is asked for stands in the query, the answer is
// JSON with exact counts. A wish that cannot be granted is 409, with the reason.

import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { MillraceError } from '../core/errors.ts'
import type { CursorChoice, ImportSource, QueueChanges } from './status.ts'

type Query = Readonly<Record<string, string | undefined>>
type Guard = { preHandler(request: FastifyRequest, reply: FastifyReply): Promise<void> }

export function addQueueChanges(app: FastifyInstance, guard: Guard, changes: QueueChanges): void {
  const post = (name: string, change: (query: Query) => unknown) =>
    app.post<{ Querystring: Query }>(`/api/v1/queues/${name}`, guard, async (request, reply) => {
      try {
        return await change(request.query)
      } catch (error) {
        if (!(error instanceof MillraceError)) throw error
        return await reply.code(409).send({ error: `${error.code} ${error.message}` })
      }
    })
  post('adopt', (query) => changes.adopt(text(query, 'orphan'), text(query, 'route')))
  post('cursor', (query) => changes.moveCursor(choiceOf(query), text(query, 'to')))
  post('skip', (query) => changes.skip(choiceOf(query), whole(query, 'first'), whole(query, 'end')))
  post('drop', (query) => changes.drop(text(query, 'log'), query['yes'] === 'true'))
}

/** An export as the body of the request, read as it comes: what stands in it is checked to its last line. */
export function addQueueImport(app: FastifyInstance, guard: Guard, imports: ImportSource): void {
  app.addContentTypeParser('application/x-ndjson', (_, payload, done) => done(null, payload))
  const options = { ...guard, bodyLimit: Number.MAX_SAFE_INTEGER }
  app.post<{ Querystring: Query; Body: AsyncIterable<Uint8Array> }>(
    '/api/v1/queues/import',
    options,
    async ({ body, query }, reply) => {
      try {
        const sum = text(query, 'sum')
        if (!/^[0-9a-f]{64}$/.test(sum)) {
          throw new MillraceError('MR_USAGE', '"sum" of the query is no SHA-256 in hex')
        }
        return await imports.take(text(query, 'route'), sum, body)
      } catch (error) {
        if (!(error instanceof MillraceError)) throw error
        // What is left of the body is not read.
        reply.header('connection', 'close')
        return await reply.code(409).send({ error: `${error.code} ${error.message}` })
      }
    }
  )
}

const choiceOf = (query: Query): CursorChoice => ({
  route: text(query, 'route'),
  destination: text(query, 'destination'),
  shard: query['shard'] ?? null
})

function text(query: Query, name: string): string {
  const value = query[name]
  if (value === undefined || value === '') {
    throw new MillraceError('MR_USAGE', `the query has no "${name}"`)
  }
  return value
}

function whole(query: Query, name: string): number {
  const value = Number(text(query, name))
  if (!Number.isSafeInteger(value) || value < 0) {
    throw new MillraceError('MR_USAGE', `"${name}" of the query is no offset`)
  }
  return value
}
