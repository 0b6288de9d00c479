// Runs on: main.
// What the output `cloudwatch_logs` costs per MB: node bench/micro/outputs/cloudwatch.bench.ts
// The client on main against a sink in a process of its own, and the render half's finish on a pool thread. Figures are
// CPU time of this process. Budget of the client: 0.74 cpu-ms/MB at 1 MiB.

import { CloudWatchOutput } from '../../../plugins/outputs/cloudwatch_logs/client.ts'
import type { CloudWatchOptions } from '../../../plugins/outputs/cloudwatch_logs/options.ts'
import createRender from '../../../plugins/outputs/cloudwatch_logs/render.ts'
import {
  batchesOf,
  outputContext,
  renderArea,
  renderContext
} from '../../../test/support/output-batches.ts'
import { measure, measureBatches, startSink } from './measure.ts'

const MIB = 1024 * 1024
const NOW_MS = 1_763_650_020_000

const sink = await startSink('fake-cloudwatch.ts', '--discard')

const options: CloudWatchOptions = {
  region: 'us-east-1',
  endpoint: `http://127.0.0.1:${sink.port}`,
  aws_key_id: 'AK',
  aws_sec_key: 'SK',
  log_group_name: '/docker/web',
  log_stream_name: '${tag}',
  default_log_group_name: 'millrace-default',
  sanitize_char: '.',
  allow_unconfined_names: false,
  auto_create_group: false,
  auto_create_stream: true,
  include_tag_key: false,
  tag_key: 'tag',
  max_event_bytes: 1_048_550,
  oversize: 'dlq',
  truncate_suffix: '',
  compression: 'none',
  batch_events: 10_000,
  flush_interval: 5000,
  max_in_flight: 16,
  connect_timeout: 5000,
  request_timeout: 30_000,
  retry: { base: 1000, cap: 60_000 }
}

/** Row of a Docker record of 200 bytes, as JSON in JSON. */
function row(n: number, stream: number, timeMs: number) {
  const message = JSON.stringify({
    container_id: 'a1b2c3d4'.repeat(8),
    container_name: '/web-1',
    source: 'stdout',
    log: `${n} ${'the quick brown fox jumps over the lazy dog '.repeat(5)}`.slice(0, 200)
  })
  return {
    target: `/docker/web\u0000stream-${stream}`,
    text: `{"message":${JSON.stringify(message)},"timestamp":${timeMs}},`,
    timeMs,
    message
  }
}

const ROWS = 2600
const half = createRender(options, renderContext)
const areas = {
  'one stream, in order': renderArea(
    Array.from({ length: ROWS }, (_, n) => row(n, 0, NOW_MS + n)),
    4 * MIB
  ),
  'one stream, four senders': renderArea(
    Array.from({ length: ROWS }, (_, n) => row(n, 0, NOW_MS + n - 50 * (n % 4))),
    4 * MIB
  ),
  '100 streams': renderArea(
    Array.from({ length: ROWS }, (_, n) => row(n, n % 100, NOW_MS + n)),
    4 * MIB
  )
}

const output = new CloudWatchOutput(options, outputContext())
await output.start()
for (const name of ['one stream, in order', '100 streams'] as const) {
  const area = areas[name]
  const batches = batchesOf(area, half.finish(area))
  await measureBatches(`client, ${name}, ${batches.length} requests`, output, batches, 8)
}
await output.stop()
sink.stop()

for (const [name, area] of Object.entries(areas)) {
  await measure(`finish with hash, ${name}`, area.rendered.length, ROWS, () => {
    half.finish(area)
    return Promise.resolve()
  })
}
