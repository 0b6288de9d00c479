// Runs on: main.
// Options of the tail input. Fluent Bit's and Fluentd's names are aliases where they mean the same.

import { Type } from 'typebox'
import { bytes, duration, stringList } from '../../../src/plugin/fields.ts'

export const config = Type.Object(
  {
    paths: stringList({
      description:
        'Files to follow: absolute paths with `*`, `?`, `[a-z]`, `{a,b}` and `**` (any directories), one or a list. Symbolic links are followed. Let them match the names that rotated files get, so that one that is renamed while the server is down is read to its end.',
      'x-alias': ['path']
    }),
    exclude: stringList({
      default: ['*.gz', '*.bz2', '*.zst', '*.xz'],
      description:
        'Files to leave out: patterns of names, or of whole paths where they hold a slash.',
      'x-alias': ['exclude_path']
    }),
    tag: Type.String({
      minLength: 1,
      default: 'file.*',
      description:
        'Tag of the records; `*` stands for the path of the file with dots for slashes: `file.var.log.app.log`.'
    }),
    format: Type.Enum(['plain', 'cri', 'docker'], {
      default: 'plain',
      description:
        'Form of the lines: `plain`; `cri`, as containerd and CRI-O write them; `docker`, as the driver json-file of Docker does. Of the last two, time and stream are those of the line, and parts of long lines are joined behind the queue. A line of another form is stored as it is and counted.'
    }),
    key: Type.String({
      minLength: 1,
      maxLength: 255,
      default: 'log',
      description: 'Field of the text.'
    }),
    path_key: Type.Unsafe<string | null>({
      type: ['string', 'null'],
      minLength: 1,
      maxLength: 255,
      default: null,
      description: 'Field of the path of the file; null: none.'
    }),
    start_at: Type.Enum(['beginning', 'end'], {
      default: 'beginning',
      description:
        'Where to begin in files that are there when the input starts for the first time. Files that appear later are read from their beginning, and what was read before is known.'
    }),
    refresh_interval: duration({
      default: '5s',
      min: '100ms',
      max: '1h',
      description: 'How often to look for new files.'
    }),
    rotate_wait: duration({
      default: '5s',
      min: '0s',
      max: '1h',
      description:
        'How long a file that was renamed or deleted is followed after it last grew. Then a last line without an end is stored too.'
    }),
    ignore_older: Type.Optional(
      duration({
        min: '1s',
        description:
          'Files that did not change for so long are not opened, and closed when they are read to their end. What is written to one later is read. Without it: files of any age.'
      })
    ),
    max_line_bytes: bytes({
      default: '1MiB',
      min: '1KiB',
      max: '4MiB',
      description: 'Longest text of a record; a longer line goes on in the next record.'
    }),
    keep_empty_lines: Type.Boolean({
      default: false,
      description: 'Whether empty lines are records.'
    })
  },
  { additionalProperties: false }
)
