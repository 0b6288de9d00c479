// Steps 1 to 4. Runs on: ingest.
// The syslog input of one ingest thread: streams and datagrams by what src/plugin has for both.

import type { ScanKernel } from '../../../src/kernel/scan-kernel.ts'
import { parseAnyAddress } from '../../../src/net/listen-address.ts'
import {
  type DatagramRecordOptions,
  DatagramRecords
} from '../../../src/plugin/datagram-records.ts'
import type { CreateInput } from '../../../src/plugin/input.ts'
import type { Framing } from '../../../src/plugin/line-connection.ts'
import { type LineStreamOptions, LineStreams } from '../../../src/plugin/line-streams.ts'
import { isListenedHere } from '../../../src/plugin/listening.ts'
import { SenderWarnings } from '../../../src/plugin/sender-warnings.ts'

export interface SyslogOptions extends LineStreamOptions, DatagramRecordOptions {
  readonly framing: Framing
}

/** Field that has the message, until its parser takes it apart. */
const KEY = 'message'

const createInput: CreateInput<SyslogOptions, ScanKernel> = (options, context) => {
  const { framing } = options
  const warnings = new SenderWarnings(context)
  const streams = new LineStreams(options, context, warnings, { framing, key: KEY })
  const datagrams = new DatagramRecords(options, context, { key: KEY, isSplit: false })
  return {
    async start() {
      const bound: string[] = []
      for (const text of options.listen) {
        const address = parseAnyAddress(text)
        if (!isListenedHere(address, context)) continue
        const isDatagrams = address.kind === 'udp'
        bound.push(await (isDatagrams ? datagrams.listen(address) : streams.listen(address)))
      }
      return bound
    },
    async stop(signal) {
      await Promise.all([streams.stop(signal), datagrams.stop()])
    }
  }
}

export default createInput
