// Step 1. Runs on: ingest.
// `_bulk` while it is switched off. Taken for a path like any other, its lines would be stored as records, action lines too,
// and the shipper, which finds no items in the answer, would send them again without end.

import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Facade } from './exchange.ts'
import { type Refusal, refusal } from './refusal.ts'

const OFF = refusal(
  404,
  'not_found',
  '_bulk is switched off: set elasticsearch: {enabled: true} on this input'
)

export class BulkOff implements Facade {
  owns(path: string): boolean {
    return path === '/_bulk' || /^\/[^/]+\/_bulk$/.test(path)
  }

  take(): Promise<Refusal> {
    return Promise.resolve(OFF)
  }

  refuse(_request: FastifyRequest, reply: FastifyReply, why: Refusal): FastifyReply {
    const error = { type: 'resource_not_found_exception', reason: why.text }
    return reply.code(why.code).send({ error: { root_cause: [error], ...error }, status: why.code })
  }
}
