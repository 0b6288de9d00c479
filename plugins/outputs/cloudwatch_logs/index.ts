// Step 8. Runs on: main.
// Amazon CloudWatch Logs by PutLogEvents: at least once, in order within a stream.

import { defineOutput } from '../../../src/plugin/define.ts'
import { CloudWatchOutput } from './client.ts'
import { check, config } from './config.ts'
import { ROW_BYTES_MAX } from './options.ts'

/**
 * Rendered rows of one task. A request ends at 1 MiB and costs 0.5 ms whatever its size, and rows of a task go to many
 * streams: eight requests' worth at least, so that batches of a few streams are full (8 streams, one run each on a busy
 * machine: 1.7 cpu-s per million records against 2.1 with tasks of 2 MiB).
 */
const TASK_BYTES_MAX = Math.max(8 * 1024 * 1024, ROW_BYTES_MAX)
/** Heads of the bodies: 100 bytes a stream. More streams than fit wait for the next task. */
const HEADS_BYTES_MAX = 1024 * 1024
/** A flush may outlast its own deadline by the time that it takes to close a socket. */
const CLOSE_MS = 5000

export default defineOutput({
  type: 'cloudwatch_logs',
  stability: 'beta',
  summary: 'Sends records to Amazon CloudWatch Logs, in order within each stream.',
  config,
  renderModule: new URL('./render.ts', import.meta.url),
  check,
  sizes: (options) => ({
    bodyBytesMax: TASK_BYTES_MAX,
    requestsMax: options.max_in_flight,
    lingerMs: options.flush_interval,
    flushTimeoutMs: options.request_timeout + CLOSE_MS,
    isOrderedPerTarget: true,
    slotExtraBytes: HEADS_BYTES_MAX + (options.compression === 'gzip' ? TASK_BYTES_MAX / 2 : 0),
    retry: { firstDelayMs: options.retry.base, delayMsMax: options.retry.cap }
  }),
  create: (options, context) => new CloudWatchOutput(options, context)
})
