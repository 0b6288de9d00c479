// Step 8. Runs on: main.
// Files of JSON lines below one directory: what runs when nothing is configured, and an archive on a mounted volume.

import { Type } from 'typebox'
import { defineOutput } from '../../../src/plugin/define.ts'
import { template } from '../../../src/plugin/fields.ts'
import { FileOutput } from './client.ts'

const BODY_BYTES_MAX = 4 * 1024 * 1024

const config = Type.Object(
  {
    path: template({
      default: '${data_dir}/logs/${tag}.${time:%Y-%m-%d}.ndjson',
      description:
        'File of a record. Everything up to the last slash before the first `${...}` is the directory that files stay below.'
    }),
    file_mode: Type.String({
      default: '0640',
      pattern: '^0?[0-7]{3}$',
      description: 'Permissions of new files, octal.'
    })
  },
  { additionalProperties: false }
)

export default defineOutput({
  type: 'file',
  stability: 'stable',
  summary: 'Appends one JSON object per line to files named by tag and time.',
  config,
  renderModule: new URL('./render.ts', import.meta.url),
  sizes: () => ({
    bodyBytesMax: BODY_BYTES_MAX,
    requestsMax: 4,
    lingerMs: 1000,
    flushTimeoutMs: 60_000,
    isOrderedPerTarget: true,
    slotExtraBytes: 0
  }),
  create: (options) => new FileOutput({ fileMode: Number.parseInt(options.file_mode, 8) })
})
