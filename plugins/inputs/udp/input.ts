// Steps 1 to 4. Runs on: ingest.
// The udp input of one ingest thread: all of it is src/plugin/datagram-records.ts. A port is bound by one thread.

import type { ScanKernel } from '../../../src/kernel/scan-kernel.ts'
import { parseAnyAddress } from '../../../src/net/listen-address.ts'
import {
  type DatagramRecordOptions,
  DatagramRecords
} from '../../../src/plugin/datagram-records.ts'
import type { CreateInput } from '../../../src/plugin/input.ts'
import { isListenedHere } from '../../../src/plugin/listening.ts'

export interface UdpOptions extends DatagramRecordOptions {
  readonly key: string
  readonly lines: boolean
}

const createInput: CreateInput<UdpOptions, ScanKernel> = (options, context) => {
  const { key, lines: isSplit } = options
  const datagrams = new DatagramRecords(options, context, { key, isSplit })
  return {
    async start() {
      const bound: string[] = []
      for (const text of options.listen) {
        const address = parseAnyAddress(text)
        if (address.kind !== 'udp' || !isListenedHere(address, context)) continue
        bound.push(await datagrams.listen(address))
      }
      return bound
    },
    stop: () => datagrams.stop()
  }
}

export default createInput
