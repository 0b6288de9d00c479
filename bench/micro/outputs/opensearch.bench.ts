// Runs on: main.
// What the output `opensearch` costs per MB: node bench/micro/outputs/opensearch.bench.ts
// The client on main against a sink in a process of its own that answers every item, and the render half's finish on a
// pool thread. Figures are CPU time of this process. Budget of the client: 0.29 cpu-ms/MB at 4 MiB.

import { OpenSearchOutput } from '../../../plugins/outputs/opensearch/client.ts'
import type { OpenSearchOptions } from '../../../plugins/outputs/opensearch/options.ts'
import createRender from '../../../plugins/outputs/opensearch/render.ts'
import { outputContext, renderArea, renderContext } from '../../../test/support/output-batches.ts'
import { measure, measureFlushes, startSink } from './measure.ts'

const MIB = 1024 * 1024

const sink = await startSink('fake-opensearch.ts', '--discard')

const options: OpenSearchOptions = {
  endpoints: [`http://127.0.0.1:${sink.port}`],
  path: '',
  index: 'logs',
  index_sanitize: true,
  id: 'position',
  require_alias: false,
  time_key: '@timestamp',
  time_precision: 3,
  time_key_conflict: 'keep',
  include_tag_key: false,
  tag_key: 'tag',
  bulk_bytes: 4 * MIB,
  flush_interval: 1000,
  inflight_max: 8,
  server_timeout: 45_000,
  connect_timeout: 5000,
  request_timeout: 75_000,
  max_response_bytes: 64 * MIB,
  retry: { base: 1000, cap: 60_000 }
}

/** Row of a Docker record of 200 bytes: 428 bytes with its action line. */
function row(n: number): string {
  const id = `ABEiM0RVZncAAAAHAAAA${String(n % 10_000).padStart(4, '0')}`
  const document = {
    '@timestamp': '2026-11-20T17:05:09.123Z',
    container_id: 'a1b2c3d4'.repeat(8),
    container_name: '/web-1',
    source: 'stdout',
    log: `${n} ${'the quick brown fox jumps over the lazy dog '.repeat(5)}`.slice(0, 200)
  }
  return `{"create":{"_index":"logs-2026.11.20","_id":"${id}"}}\n${JSON.stringify(document)}\n`
}

function rowsOf(bytes: number): string[] {
  const rows: string[] = []
  for (let size = 0; size < bytes; size += rows.at(-1)?.length ?? 0) rows.push(row(rows.length))
  return rows
}

const output = new OpenSearchOutput(options, outputContext())
await output.start()
for (const bytes of [4 * MIB, MIB, 128 * 1024]) {
  await measureFlushes(`client, bodies of ${bytes / 1024} KiB`, output, rowsOf(bytes), 8)
}
await output.stop()
sink.stop()

const rows = rowsOf(4 * MIB).map((text) => ({ target: 'logs-2026.11.20', text }))
const area = renderArea(rows, 8 * MIB)
const bytes = area.rendered.length
for (const compress of ['off', 'gzip'] as const) {
  const half = createRender({ ...options, compress }, renderContext)
  await measure(`finish, compress: ${compress}`, bytes, rows.length, () => {
    half.finish(area)
    return Promise.resolve()
  })
}
