// A volume without a byte to spare: cursors are written, a start works, and a drain gives the room back.

import t from 'tap'
import { eventually } from '../support/eventually.ts'
import { arrivedSeqs, imbalance, missingSeqs, queuesOf } from '../support/numbered-load.ts'
import type { RouterProcess } from '../support/router-process.ts'
import { fillUp, skip, smallVolume, total } from '../support/small-volume.ts'

const LIMIT_MS = 60_000
const MIB = 1024 * 1024
const RECORDS = 2000

t.setTimeout(180_000)

/** Up, although `/readyz` says that it takes nothing. */
const answers = (router: RouterProcess) =>
  eventually('the admin server answers', LIMIT_MS, async () => {
    if (router.hasExited) throw new Error(router.log)
    return (await fetch(`${router.adminUrl}/readyz`).catch(() => null)) !== null
  })

t.test(
  'Q28 at 0 bytes free cursors are written, a restart works, and a drain makes room',
  { skip },
  async (t) => {
    const volume = await smallVolume(t, {
      drainTimeout: '300ms',
      queue: 'min_free: "0", segment_bytes: 1MiB',
      route: 'overflow: block'
    })
    const { load, refuse, search } = volume
    refuse()
    const first = volume.launch()
    await first.ready()
    const sender = load({ recordsMax: RECORDS })
    await eventually('all is acked', LIMIT_MS, () => sender.acked.length === RECORDS)
    await first.kill()
    fillUp(volume)
    t.equal(volume.freeBytes(), 0)

    // A start, some requests, a stop: not one segment is free yet, so cursors find no new room.
    search.reset()
    search.plan({ kind: 'none' }, { kind: 'none' })
    refuse()
    const second = volume.launch()
    await answers(second)
    await eventually(
      'a part is delivered',
      LIMIT_MS,
      async () => (await total(second)).delivered > 0
    )
    t.match(await total(second), { appended: RECORDS, lost: 0, dropped: 0 })
    await second.stop()
    const before = arrivedSeqs(search)
    t.ok(before.length > 0 && before.length < RECORDS, `${before.length} delivered`)
    t.equal(volume.freeBytes(), 0, 'still no byte')

    search.reset()
    const third = volume.launch()
    await answers(third)
    await eventually('all is delivered', LIMIT_MS, async () => (await total(third)).pending === 0)
    const after = arrivedSeqs(search)
    t.equal(before.length + after.length, RECORDS, 'nothing again: the cursor was on disk')
    t.same(missingSeqs(sender.acked, [...before, ...after]), [])
    t.match(await total(third), { delivered: RECORDS, lost: 0, dropped: 0 })
    for (const cursor of (await queuesOf(third)).cursors) t.equal(imbalance(cursor), 0)
    const more = load({ recordsMax: 200 })
    await eventually('records are taken again', LIMIT_MS, () => more.acked.length === 200)
    await eventually('and delivered', LIMIT_MS, async () => (await total(third)).pending === 0)
    t.equal(await third.stop(), 0)
  }
)

t.test(
  'Q28 min_free stops intake, and another process takes the rest: the backlog is delivered',
  { skip },
  async (t) => {
    const volume = await smallVolume(t, {
      queue: 'min_free: 6MiB, segment_bytes: 1MiB',
      route: 'overflow: block'
    })
    volume.refuse()
    const router = volume.launch()
    await router.ready()
    const sender = volume.load()
    await eventually('the queue is full', LIMIT_MS, async () => {
      return (await router.metric('millrace_queue_blocked_now')) === 1
    })
    t.ok(volume.freeBytes() > 3 * MIB, `${volume.freeBytes()} bytes stay free`)
    fillUp(volume)
    t.equal(volume.freeBytes(), 0)
    const acked = sender.acked.length
    volume.search.reset()
    await eventually('the backlog is delivered', LIMIT_MS, async () => {
      return (await total(router)).delivered >= acked
    })
    for (const cursor of (await queuesOf(router)).cursors) t.equal(imbalance(cursor), 0)
    t.notOk(router.hasExited)
    t.equal(await router.stop(), 0)
  }
)
