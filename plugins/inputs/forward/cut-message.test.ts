// What a message in many pieces costs, in bytes that are copied and looked at.

import { encode } from '@msgpack/msgpack'
import t from 'tap'
import { JsonConverter } from '../../../src/kernel/json-converter.ts'
import { ScanKernel } from '../../../src/kernel/scan-kernel.ts'
import { ForwardClient } from '../../../test/support/forward-client.ts'
import { forwardHost } from '../../../test/support/forward-host.ts'

const MIB = 1024 * 1024
const PIECE_BYTES = 1000
const TIME = 1_700_000_000

const entries = Array.from({ length: MIB / 1024 }, (_, n) => [TIME, { n, text: 'x'.repeat(1000) }])
const packedEntries = Buffer.concat(entries.map((entry) => encode(entry)))
const fields = Object.fromEntries(entries.map((_, n) => [`field${n}`, 'x'.repeat(1000)]))

const messages: Readonly<Record<string, { readonly bytes: Buffer; readonly count: number }>> = {
  'one long text': {
    bytes: packed(['t', [[TIME, { m: 'x'.repeat(MIB) }]], { chunk: 'c' }]),
    count: 1
  },
  'an array of entries': { bytes: packed(['t', entries, { chunk: 'c' }]), count: entries.length },
  'a packed body': { bytes: packed(['t', packedEntries, { chunk: 'c' }]), count: entries.length },
  'one record of many fields': { bytes: packed(['t', TIME, fields, { chunk: 'c' }]), count: 1 },
  'JSON text': {
    bytes: Buffer.from(JSON.stringify(['t', entries, { chunk: 'c' }])),
    count: entries.length
  }
}

function packed(message: readonly unknown[]): Buffer {
  return Buffer.from(encode(message))
}

/** Bytes that `copy` moved and that scans looked at while `run` ran. */
async function costOf(run: () => Promise<void>): Promise<{ copied: number; scanned: number }> {
  const cost = { copied: 0, scanned: 0 }
  const { copy } = Buffer.prototype
  const { scan } = ScanKernel.prototype
  const { findEnd } = JsonConverter.prototype
  Buffer.prototype.copy = function (...args: Parameters<typeof copy>) {
    const byteCount = copy.apply(this, args)
    cost.copied += byteCount
    return byteCount
  }
  ScanKernel.prototype.scan = function (bytes, progress) {
    cost.scanned += Math.max(0, bytes.length - progress.scannedBytes)
    return scan.call(this, bytes, progress)
  }
  JsonConverter.prototype.findEnd = function (bytes, progress) {
    cost.scanned += Math.max(0, bytes.length - progress.scannedBytes)
    return findEnd.call(this, bytes, progress)
  }
  try {
    await run()
  } finally {
    Buffer.prototype.copy = copy
    ScanKernel.prototype.scan = scan
    JsonConverter.prototype.findEnd = findEnd
  }
  return cost
}

for (const [title, { bytes, count }] of Object.entries(messages)) {
  t.test(`C01 ${title} of 1 MiB, cut at every 1,000th byte, has no quadratic cost`, async (t) => {
    const { host, address } = await forwardHost(t)
    const client = await ForwardClient.connect(address)
    const cost = await costOf(async () => {
      for (let at = 0; at < bytes.length; at += PIECE_BYTES) {
        const end = Math.min(bytes.length, at + PIECE_BYTES)
        client.send(bytes.subarray(at, end))
        // Each piece is a read of its own.
        while (host.counter('received_bytes') < end) {
          await new Promise((resolve) => setImmediate(resolve))
        }
      }
    })
    await client.receive(1)
    t.equal(host.recordCount(), count)
    t.equal(host.counter('acks'), 1)
    t.ok(cost.copied >= bytes.length, 'copies are counted')
    t.ok(cost.copied < 6 * bytes.length, `${(cost.copied / bytes.length).toFixed(1)} copies of it`)
    t.ok(cost.scanned < 3 * bytes.length, `${(cost.scanned / bytes.length).toFixed(1)} scans of it`)
    client.destroy()
  })
}
