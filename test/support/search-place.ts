// What a test of a whole router with OpenSearch behind it stands on: a destination, a folder, two ports.

import type { Test } from 'tap'
import { FakeOpenSearch } from './fake-opensearch.ts'
import { freePort } from './free-port.ts'

export async function searchPlace(t: Test) {
  const search = await new FakeOpenSearch().start()
  t.teardown(() => search.stop())
  return { search, folder: t.testdir(), port: await freePort(), adminPort: await freePort() }
}
