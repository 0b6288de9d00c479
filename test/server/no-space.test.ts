// The data directory on a small volume of its own: a tmpfs in a mount namespace, which an unprivileged user can have.

import t, { type Test } from 'tap'
import { eventually } from '../support/eventually.ts'
import { arrivedSeqs, missingSeqs, type NumberedLoad, queuesOf } from '../support/numbered-load.ts'
import { skip, smallVolume, total as totalIn, VOLUME_MIB } from '../support/small-volume.ts'

const LIMIT_MS = 60_000
const MIB = 1024 * 1024

t.setTimeout(180_000)

async function setUp(t: Test, options: { queue: string; route: string }) {
  const volume = await smallVolume(t, options)
  const { search } = volume
  volume.refuse()
  const router = volume.launch()
  await router.ready()
  const load = volume.load()
  const total = () => totalIn(router)
  const freeBytes = () => router.metric('millrace_queue_volume_free_bytes')
  return { router, search, load, total, freeBytes }
}

/** Waits until nothing was acked for a while of looks. */
const stalled = (load: NumberedLoad) => {
  let before = -1
  let looks = 0
  return eventually('acks have stopped', LIMIT_MS, async () => {
    looks = load.acked.length === before && before > 0 ? looks + 1 : 0
    before = load.acked.length
    return looks > 150 ? before : null
  })
}

for (const [name, queue] of [
  ['small segments', 'min_free: "0", segment_bytes: 2MiB'],
  ['segments of the default size', 'min_free: "0"']
] as const) {
  t.test(`Q25 a full volume pauses senders and loses nothing: ${name}`, { skip }, async (t) => {
    const { freeBytes, load, router, search, total } = await setUp(t, {
      queue,
      route: 'overflow: block'
    })
    const ackedFull = await stalled(load)
    t.ok((await freeBytes()) < MIB, `${await freeBytes()} bytes free`)
    t.notOk(router.hasExited)
    t.ok(load.unackedChunks > 0, 'chunks wait')
    t.equal((await total()).pending, ackedFull, 'every acked record pends')
    const { shards } = await queuesOf(router)
    t.equal(shards[0]?.state, 'full')

    search.reset()
    await eventually('acks go on', LIMIT_MS, () => load.acked.length > ackedFull + 5000)
    load.close()
    await eventually('every chunk is acked', LIMIT_MS, () => load.unackedChunks === 0)
    await eventually('all is delivered', LIMIT_MS, async () => (await total()).pending === 0)
    t.same(missingSeqs(load.acked, arrivedSeqs(search)), [])
    t.match(await total(), { delivered: (await total()).appended, lost: 0, dropped: 0 })
    t.notOk(router.hasExited)
    t.equal(await router.stop(), 0)
  })
}

for (const [name, minFree] of [
  ['before it is full', '5MiB'],
  ['when a write finds no room', '0']
] as const) {
  t.test(`Q26 drop_oldest makes room ${name}`, { skip }, async (t) => {
    const { freeBytes, load, router, search, total } = await setUp(t, {
      queue: `min_free: "${minFree}", segment_bytes: 2MiB`,
      route: 'overflow: drop_oldest'
    })
    await eventually('twice the volume was acked', LIMIT_MS, () => {
      return load.acked.length * 2000 > 2 * VOLUME_MIB * MIB
    })
    t.notOk(router.hasExited)
    load.close()
    await eventually('every chunk is acked', LIMIT_MS, () => load.unackedChunks === 0)
    const held = await total()
    t.ok(held.dropped > 0, `${held.dropped} dropped`)
    t.ok(held.pending * 2000 > 3 * MIB, `${held.pending} kept: no more went than had to`)
    if (minFree !== '0') t.ok((await freeBytes()) > 2 * MIB, `${await freeBytes()} bytes free`)
    search.reset()
    await eventually('the rest is delivered', LIMIT_MS, async () => (await total()).pending === 0)
    const end = await total()
    t.equal(end.delivered + end.dropped, end.appended, 'delivered + dropped = appended')
    const arrived = arrivedSeqs(search)
    t.equal(arrived.length, end.delivered, 'nothing arrived that is counted as dropped')
    t.equal(new Set(arrived).size, arrived.length, 'none twice')
    const newest = load.acked.toSorted((one, other) => other - one).slice(0, end.delivered)
    t.same(missingSeqs(newest, arrived), [], 'the newest are there')
    t.equal(await router.stop(), 0)
  })
}
