// Runs on: any.
// Docker records of shape D whose line is plain, an access log or a JSON object.

import { dockerRecord } from '../kernel/samples.ts'

type RecordOf = (index: number) => Record<string, unknown>

/** The line of an access log in the combined format; 200 lines a second, as a busy server writes them. */
export const accessRecord: RecordOf = (index) => ({
  ...dockerRecord(index),
  log: `10.0.${index % 256}.7 - frank [20/Nov/2026:14:${String(Math.floor(index / 12_000) % 60).padStart(2, '0')}:${String(Math.floor(index / 200) % 60).padStart(2, '0')} +0000] "GET /api/v1/items/${index}?page=2 HTTP/1.1" ${index % 17 ? 200 : 404} ${500 + index} "https://example.com/start" "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36"`
})

/** A JSON object with eleven members. */
export const jsonRecord: RecordOf = (index) => ({
  ...dockerRecord(index),
  log: JSON.stringify({
    level: index % 5 ? 'info' : 'error',
    message: `request ${index} finished`,
    method: 'GET',
    path: `/api/v1/items/${index}`,
    status: 200,
    took_ms: 12.5 + (index % 10),
    user: { id: index, name: 'frank' },
    trace: 'c0ffee00c0ffee00c0ffee00c0ffee00',
    ok: true,
    retries: 0,
    pod: null
  })
})
