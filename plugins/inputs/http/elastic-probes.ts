// Runs on: ingest.
// What shippers ask Elasticsearch or OpenSearch for at their start (Beats, Logstash, clients): harmless answers that let them
// go on. Nothing is kept: templates and policies belong to the destination of the records.

export interface Probe {
  readonly status: number
  readonly body: object
}

const CLUSTER = 'millrace'
const NODE = 'millrace-node-0000000'
const ACKNOWLEDGED: Probe = { status: 200, body: { acknowledged: true } }
const LICENSE = {
  status: 'active',
  uid: '00000000-0000-0000-0000-000000000000',
  type: 'basic',
  mode: 'basic',
  issue_date_in_millis: 0,
  expiry_date_in_millis: 4_102_444_800_000
}

/** `path` begins with `/_`, or is `/`; null: nothing that a shipper needs. */
export function probeAnswer(method: string, path: string, version: string): Probe | null {
  if (path === '/') return { status: 200, body: infoOf(version) }
  const [, first = ''] = path.split('/')
  const isReading = method === 'GET' || method === 'HEAD'
  switch (first) {
    case '_index_template':
    case '_template':
    case '_component_template':
    case '_ilm':
    case '_ingest':
    case '_data_stream':
    case '_plugins':
    case '_opendistro':
      return isReading ? { status: 200, body: {} } : ACKNOWLEDGED
    case '_cluster':
      return isReading ? { status: 200, body: healthBody() } : ACKNOWLEDGED
    case '_nodes':
      return isReading ? { status: 200, body: nodesOf(version) } : null
    case '_license':
      return isReading ? { status: 200, body: { license: LICENSE } } : null
    case '_xpack':
      return isReading ? { status: 200, body: xpackBody() } : null
    case '_cat':
    case '_alias':
    case '_aliases':
    case '_mapping':
      return isReading ? { status: 200, body: {} } : ACKNOWLEDGED
    default:
      return null
  }
}

function infoOf(version: string): object {
  return {
    name: NODE,
    cluster_name: CLUSTER,
    cluster_uuid: 'millrace00000000000000',
    version: {
      number: version,
      build_flavor: 'default',
      build_type: 'docker',
      build_hash: '0000000000000000000000000000000000000000',
      build_date: '2026-01-01T00:00:00.000000000Z',
      build_snapshot: false,
      lucene_version: '9.0.0',
      minimum_wire_compatibility_version: '7.17.0',
      minimum_index_compatibility_version: '7.0.0'
    },
    tagline: 'You Know, for Search'
  }
}

function healthBody(): object {
  return {
    cluster_name: CLUSTER,
    status: 'green',
    timed_out: false,
    number_of_nodes: 1,
    number_of_data_nodes: 1,
    active_primary_shards: 0,
    active_shards: 0,
    relocating_shards: 0,
    initializing_shards: 0,
    unassigned_shards: 0,
    number_of_pending_tasks: 0
  }
}

/** No address: a client that sniffs stays with the one that it has. */
function nodesOf(version: string): object {
  return {
    _nodes: { total: 1, successful: 1, failed: 0 },
    cluster_name: CLUSTER,
    nodes: { [NODE]: { name: NODE, version, roles: ['ingest'] } }
  }
}

function xpackBody(): object {
  return {
    build: { hash: '0000000', date: '2026-01-01T00:00:00.000Z' },
    license: { uid: LICENSE.uid, type: 'basic', mode: 'basic', status: 'active' },
    features: {
      ilm: { available: true, enabled: true },
      security: { available: true, enabled: false }
    }
  }
}
