// Runs on: main.
// Options of the systemd input.

import { Type } from 'typebox'
import { stringList } from '../../../src/plugin/fields.ts'

export const config = Type.Object(
  {
    units: stringList({
      default: [],
      description:
        'Units whose entries are read, as `journalctl --unit` takes them, patterns too; empty: all entries.'
    }),
    tag: Type.String({
      minLength: 1,
      default: 'systemd',
      description: 'Tag of the records.'
    }),
    key: Type.String({
      minLength: 1,
      maxLength: 255,
      default: 'log',
      description: 'Field that gets the text (`MESSAGE`).'
    }),
    fields: stringList({
      default: ['_SYSTEMD_UNIT', 'SYSLOG_IDENTIFIER', 'PRIORITY', '_HOSTNAME', '_PID'],
      description:
        'Further fields of the journal that records get, under the names that they have there, as text. `*` alone: all but those that begin with two underscores.'
    }),
    start_at: Type.Enum(['beginning', 'end'], {
      default: 'beginning',
      description:
        'Where the input begins when it starts for the first time: with the oldest entry, or with what comes from now on. Later starts go on behind the last entry that is stored.'
    }),
    directory: Type.Unsafe<string | null>({
      type: ['string', 'null'],
      minLength: 1,
      default: null,
      description:
        'Directory with the files of the journal, for a journal that is mounted from elsewhere; null: that of this machine.'
    }),
    command: Type.String({
      minLength: 1,
      default: 'journalctl',
      description: 'Program that reads the journal: a path, or a name that is looked for in `PATH`.'
    })
  },
  { additionalProperties: false }
)
