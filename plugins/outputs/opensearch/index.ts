// Step 8. Runs on: main.
// OpenSearch and Elasticsearch by `_bulk`: each record exactly once, by an id that follows from its place in the queue.

import { defineOutput } from '../../../src/plugin/define.ts'
import { OpenSearchOutput } from './client.ts'
import { check, config } from './config.ts'
import { isCompressed } from './options.ts'

/** A flush may outlast its own deadline by the time that it takes to close a socket. */
const CLOSE_MS = 5000

export default defineOutput({
  type: 'opensearch',
  stability: 'beta',
  summary: 'Stores each record once in OpenSearch or Elasticsearch, by bulk requests.',
  config,
  renderModule: new URL('./render.ts', import.meta.url),
  check,
  sizes: (options) => ({
    bodyBytesMax: options.bulk_bytes,
    requestsMax: options.inflight_max,
    lingerMs: options.flush_interval,
    flushTimeoutMs: options.request_timeout + CLOSE_MS,
    isOrderedPerTarget: false,
    // Room for the compressed copy; a body that does not shrink to half travels as it is.
    slotExtraBytes: isCompressed(options) ? options.bulk_bytes / 2 : 0,
    retry: { firstDelayMs: options.retry.base, delayMsMax: options.retry.cap }
  }),
  create: (options, context) => new OpenSearchOutput(options, context)
})
