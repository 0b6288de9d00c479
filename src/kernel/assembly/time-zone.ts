// Names of zones that mean one thing everywhere. Ambiguous ones (IST, CST, BST) are refused.

/** Six bytes of name, offset in quarters of an hour i16. */
const ZONES = memory.data<u8>([
  85, 84, 67, 0, 0, 0, 0, 0, 71, 77, 84, 0, 0, 0, 0, 0, 85, 84, 0, 0, 0, 0, 0, 0, 90, 0, 0, 0, 0, 0, 0, 0, 69, 83, 84,
  0, 0, 0, 236, 255, 69, 68, 84, 0, 0, 0, 240, 255, 77, 83, 84, 0, 0, 0, 228, 255, 77, 68, 84, 0, 0, 0, 232, 255, 80,
  83, 84, 0, 0, 0, 224, 255, 80, 68, 84, 0, 0, 0, 228, 255, 67, 69, 84, 0, 0, 0, 4, 0, 67, 69, 83, 84, 0, 0, 8, 0,
  69, 69, 84, 0, 0, 0, 8, 0, 69, 69, 83, 84, 0, 0, 12, 0, 87, 69, 84, 0, 0, 0, 0, 0, 87, 69, 83, 84, 0, 0, 4, 0, 77,
  83, 75, 0, 0, 0, 12, 0, 74, 83, 84, 0, 0, 0, 36, 0, 75, 83, 84, 0, 0, 0, 36, 0, 65, 69, 83, 84, 0, 0, 40, 0, 65,
  69, 68, 84, 0, 0, 44, 0, 78, 90, 83, 84, 0, 0, 48, 0, 78, 90, 68, 84, 0, 0, 52, 0
])
const ZONE_COUNT: u32 = 23

/** Seconds east of Greenwich of the zone that zoneName read. */
export let zoneSeconds: i32 = 0

/** Behind the zone's name at `p`, or 0. */
export function zoneName(p: usize, end: usize): usize {
  let n: u32 = 0
  let name: u64 = 0
  while (p + n < end && n < 6) {
    const c: u32 = load<u8>(p + n)
    if ((c & 0xdf) - 65 > 25) break
    name |= <u64>(c & 0xdf) << (n << 3)
    n++
  }
  if (!n) return 0
  for (let i: u32 = 0; i < ZONE_COUNT; i++) {
    const zone = ZONES + (<usize>i << 3)
    if ((load<u64>(zone) & 0xffffffffffff) != name) continue
    zoneSeconds = <i32>load<i16>(zone, 6) * 900
    return p + n
  }
  return 0
}
