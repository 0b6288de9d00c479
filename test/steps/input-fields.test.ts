// What inputs add to their records: address, tag and metadata, for records of that input alone.

import fc from 'fast-check'
import t from 'tap'
import { mappingOf } from '../../src/plugin/record-mapping.ts'
import type { InputSteps } from '../../src/steps/compile.ts'
import { FrameStore } from '../support/frame-store.ts'
import { type Plain, pack, packEntry, packTime } from '../support/msgpack-objects.ts'
import { harness } from '../support/task-harness.ts'

const NONE = {
  metadata: 'drop',
  source_address_key: null,
  tag_key: null,
  overwrite: false
} as const
type Options = Partial<Parameters<typeof mappingOf>[0]>

const stepsOf = (options: Options, input = 'app'): InputSteps => {
  const mapping = mappingOf({ ...NONE, ...options })
  return mapping === null ? { input } : { input, mapping }
}

/** `[[time, metadata], record]`. */
function withMeta(record: { [key: string]: Plain }, ...meta: Uint8Array[]): Buffer {
  const header = [Buffer.from([0x91 + meta.length]), packTime(5, 0), ...meta]
  return Buffer.concat([Buffer.from([0x92]), ...header, pack(record)])
}

interface Sent {
  readonly entries: Buffer[]
  readonly source?: string
}

function written(inputSteps: InputSteps[], groups: Sent[], steps: unknown[] = []) {
  const store = new FrameStore()
  store.append(
    groups.map((group) => ({ source: 'app\x0010.0.0.1', ...group })),
    1_700_000_000_000
  )
  const one = harness(store, { inputSteps, steps, spec: { timeField: null } })
  return one.documents(one.run())
}

const META = { otlp: { severity_number: 9 }, k: 'v', big: 18446744073709551615n }
const JSON_META = { ...META, big: Number(META.big) }

t.test('nothing to add is no step', (t) => {
  t.equal(mappingOf(NONE), null)
  t.equal(mappingOf({ ...NONE, overwrite: true }), null)
  t.end()
})

t.test('address and tag, for records of the input that bear an address', (t) => {
  const steps = stepsOf({ source_address_key: 'from', tag_key: 'tag' })
  const entries = [packEntry({ a: 1 })]
  const sources = ['app\x0010.0.0.1', 'app\0', 'app2\x0010.0.0.2']
  t.same(
    written(
      [steps],
      sources.map((source) => ({ entries, source }))
    ),
    [{ a: 1, from: '10.0.0.1', tag: 'docker.web' }, { a: 1, tag: 'docker.web' }, { a: 1 }]
  )
  t.end()
})

t.test('fields of the record stay, unless they are to be replaced', (t) => {
  const options = { source_address_key: 'from', metadata: 'merge' } as const
  const groups = [{ entries: [withMeta({ from: 'me', k: 1 }, pack(META))] }]
  t.same(written([stepsOf(options)], groups), [{ ...JSON_META, from: 'me', k: 1 }])
  t.same(written([stepsOf({ ...options, overwrite: true })], groups), [
    { ...JSON_META, from: '10.0.0.1', k: 'v' }
  ])
  t.end()
})

t.test('what the server knows wins over metadata of the same name', (t) => {
  const groups = [{ entries: [withMeta({}, pack({ from: 'told' }))] }]
  for (const overwrite of [false, true]) {
    const steps = stepsOf({ source_address_key: 'from', metadata: 'merge', overwrite })
    t.same(written([steps], groups), [{ from: '10.0.0.1' }])
  }
  t.end()
})

t.test('metadata is left out, laid beside the fields or put under _meta', (t) => {
  const groups = [{ entries: [withMeta({ a: 1 }, pack(META)), packEntry({ a: 2 })] }]
  t.same(written([stepsOf({})], groups), [{ a: 1 }, { a: 2 }])
  t.same(written([stepsOf({ metadata: 'merge' })], groups), [{ a: 1, ...JSON_META }, { a: 2 }])
  t.same(written([stepsOf({ metadata: 'nest' })], groups), [{ a: 1, _meta: JSON_META }, { a: 2 }])
  t.same(
    written([stepsOf({ metadata: 'nest' })], [{ entries: [withMeta({ _meta: 1 }, pack(META))] }]),
    [{ _meta: 1 }]
  )
  t.end()
})

t.test('metadata that is empty or no map is none', (t) => {
  const empty = ['80', 'de0000', 'df00000000', '90', 'c0', 'a161']
  const entries = empty.map((hex) => withMeta({ a: 1 }, Buffer.from(hex, 'hex')))
  entries.push(withMeta({ a: 1 }))
  for (const metadata of ['merge', 'nest'] as const) {
    t.same(written([stepsOf({ metadata })], [{ entries }]), Array(7).fill({ a: 1 }))
  }
  t.end()
})

t.test('keys of metadata that are no text become it; of two the last stands', (t) => {
  // {7: 1, nil: 2, "d": 3, "d": 4, bin "b": 5, [1]: 6}
  const meta = Buffer.from(
    '8607' + '01' + 'c002' + 'a16403' + 'a16404' + 'c4016205' + '910106',
    'hex'
  )
  const groups = [{ entries: [withMeta({ a: 1 }, meta)] }]
  const members = { 7: 1, null: 2, d: 4, b: 5, '[1]': 6 }
  t.same(written([stepsOf({ metadata: 'merge' })], groups), [{ a: 1, ...members }])
  t.same(written([stepsOf({ metadata: 'nest' })], groups), [{ a: 1, _meta: members }])
  t.end()
})

t.test('whole messages bear metadata among their options', (t) => {
  const message = Buffer.concat([
    Buffer.from([0x94]),
    pack('tag'),
    packTime(5, 0),
    pack({ a: 1 }),
    pack({ metadata: { k: 'v' }, chunk: 'x' })
  ])
  const store = new FrameStore()
  store.append([{ entries: [message], form: 2, source: 'app\0' }], 1)
  const one = harness(store, {
    inputSteps: [stepsOf({ metadata: 'nest' })],
    spec: { timeField: null }
  })
  t.same(one.documents(one.run()), [{ a: 1, _meta: { k: 'v' } }])
  t.end()
})

t.test('steps of the route read what was added, and templates read metadata in every case', (t) => {
  const groups = [{ entries: [withMeta({ a: 1 }, pack(META))] }]
  const steps = [{ set: { b: '${record._meta.k}', c: '${meta["k"]}!' } }, { remove: ['_meta'] }]
  t.same(written([stepsOf({ metadata: 'nest' })], groups, steps), [{ a: 1, b: 'v', c: 'v!' }])
  t.same(written([stepsOf({})], groups, [{ set: { c: '${meta["k"]}' } }]), [{ a: 1, c: 'v' }])
  t.end()
})

t.test('what is added stands behind the parser of the input', (t) => {
  const parser = { type: 'json', keep_others: false }
  const steps = { ...stepsOf({ tag_key: 'tag', metadata: 'merge' }), parser }
  const groups = [{ entries: [withMeta({ log: '{"k":"parsed"}', x: 1 }, pack({ k: 'v', m: 1 }))] }]
  t.same(written([steps], groups), [{ k: 'parsed', tag: 'docker.web', m: 1 }])
  t.end()
})

t.test('metadata of more names than a dictionary holds goes on with an empty one', (t) => {
  const entries = Array.from({ length: 12 }, (_, entry) => {
    const meta = Object.fromEntries(
      Array.from({ length: 500 }, (_, index) => [`key-${entry}-${index}`, index])
    )
    return withMeta({ entry }, pack(meta))
  })
  const documents = written([stepsOf({ metadata: 'merge' })], [{ entries }])
  t.equal(documents.length, 12)
  t.same(
    documents.map((document) => Object.keys(document).length),
    Array(12).fill(501)
  )
  t.same(documents[11]?.['key-11-499'], 499)
  t.end()
})

t.test('a key of metadata that no table takes is left out and counted, the others stay', (t) => {
  const store = new FrameStore()
  const meta = pack({ ['x'.repeat(70_000)]: 1, k: 'v' })
  store.append([{ entries: [withMeta({ a: 1 }, meta)], source: 'app\0' }], 1)
  const one = harness(store, {
    inputSteps: [stepsOf({ metadata: 'merge' })],
    spec: { timeField: null }
  })
  const result = one.run()
  t.same(one.documents(result), [{ a: 1, k: 'v' }])
  t.equal(result.counters['step_records_total|route|app:fields|failed|too_many_fields'], 1)
  t.end()
})

const value = fc.oneof(
  fc.constantFrom<Plain>('', 'text', '10.0.0.1', null, true, -7, 2n ** 64n - 1n, 0.5),
  fc.constantFrom<Plain>({ p: [1, 'x'] }, {}, [{ q: null }])
)
const key = fc.constantFrom('a', 'b', 'from', 'tag', '_meta', 'a long key of more than 16')
const map = fc.dictionary(key, value, { maxKeys: 6 })
const options = fc.record({
  metadata: fc.constantFrom('drop', 'merge', 'nest'),
  source_address_key: fc.constantFrom(null, 'from', '_meta', 'a'),
  tag_key: fc.constantFrom(null, 'tag', 'a long key of more than 16'),
  overwrite: fc.boolean()
})

t.test('kernel and plain objects agree on random records, metadata and options', (t) => {
  const records = fc.array(fc.tuple(map, fc.option(map)), { minLength: 1, maxLength: 6 })
  fc.assert(
    fc.property(options, records, fc.boolean(), (chosen, sent, hasAddress) => {
      const store = new FrameStore(1000)
      const entries = sent.map(([record, meta]) =>
        meta === null ? packEntry(record) : withMeta(record, pack(meta))
      )
      store.append(
        [{ entries, source: hasAddress ? 'app\x0010.0.0.1' : 'app\0' }],
        1_700_000_000_000
      )
      const inputSteps = [stepsOf(chosen)]
      const compiled = harness(store, { inputSteps })
      const objects = harness(store, { inputSteps, kernel: 'objects' })
      t.same(compiled.bodies(compiled.run()), objects.bodies(objects.run()))
    }),
    { numRuns: 200, seed: 20261121 }
  )
  t.end()
})
