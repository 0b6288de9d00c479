// Steps 1 to 4. Runs on: ingest.
// The tcp input of one ingest thread: all of it is src/plugin/line-streams.ts.

import type { ScanKernel } from '../../../src/kernel/scan-kernel.ts'
import { parseListenAddress } from '../../../src/net/listen-address.ts'
import type { CreateInput } from '../../../src/plugin/input.ts'
import { type LineStreamOptions, LineStreams } from '../../../src/plugin/line-streams.ts'
import { isListenedHere } from '../../../src/plugin/listening.ts'
import { SenderWarnings } from '../../../src/plugin/sender-warnings.ts'

export interface TcpOptions extends LineStreamOptions {
  readonly key: string
}

const createInput: CreateInput<TcpOptions, ScanKernel> = (options, context) => {
  const { key } = options
  const warnings = new SenderWarnings(context)
  const streams = new LineStreams(options, context, warnings, { framing: 'lf', key })
  return {
    async start() {
      const bound: string[] = []
      for (const text of options.listen) {
        const address = parseListenAddress(text)
        if (isListenedHere(address, context)) bound.push(await streams.listen(address))
      }
      return bound
    },
    stop: (signal) => streams.stop(signal)
  }
}

export default createInput
