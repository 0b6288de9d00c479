import t from 'tap'
import { world } from '../support/changing-router.ts'

t.setTimeout(180_000)

t.test('limits above the volume are said at the start, with the figures', async (t) => {
  const { start } = await world(t)
  const one = 'max_bytes: 600TiB, to: [first]'
  const warned = await start(`  a: {match: "a", ${one}}\n  b: {match: "b", ${one}}`)
  t.match(
    warned.log,
    /"level":"warn".*"event":"queue.limits_above_volume".*max_bytes of 2 routes add up to 1200TiB, the volume has /
  )
  t.equal(await warned.stop(), 0)
  const fits = await start('  a: {match: "a", max_bytes: 4MiB, to: [first]}')
  t.notMatch(fits.log, /limits_above_volume/)
  t.equal(await fits.stop(), 0)
})
