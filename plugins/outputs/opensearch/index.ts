// Step 8. Runs on: main.
// OpenSearch and Elasticsearch by `_bulk`: each record exactly once, by an id that follows from its place in the queue.

import { defineOutput } from '../../../src/plugin/define.ts'
import { OpenSearchOutput } from './client.ts'
import { check, config } from './config.ts'

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
    // One record more than the body, or the compressed copy, whichever is larger; untouched pages cost nothing.
    slotExtraBytes: Math.max(options.max_record_bytes, options.bulk_bytes / 2),
    retry: { firstDelayMs: options.retry.base, delayMsMax: options.retry.cap }
  }),
  create: (options, context) => new OpenSearchOutput(options, context)
})
