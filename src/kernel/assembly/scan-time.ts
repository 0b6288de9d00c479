// Event times as the scanner needs them: whole seconds for the bounds of a frame.

import { be16, be32, be64, CUT, skipValue } from './msgpack'

/** The time is in timeSeconds. */
export const TIME_OK: u32 = 0
/** nil or zero: the arrival time stands for it. */
export const TIME_ARRIVAL: u32 = 1
/** No usable time: the arrival time stands for it, and it is counted. */
export const TIME_BAD: u32 = 2

const NANOS: u32 = 1000000000

/** Seconds since 1970, rounded down. Valid after TIME_OK. */
export let timeSeconds: f64 = 0
export let timeState: u32 = 0
/** Seconds field of an EventTime with nsec 0, else 0: group markers are told by it. */
export let markerSeconds: u32 = 0

let isUnitGuessed: bool = true

export function setTimeUnitGuess(isOn: bool): void {
  isUnitGuessed = isOn
}

@inline
function eventTime(p: usize): void {
  const seconds = be32(p)
  const nanos = be32(p + 4)
  timeState = seconds | nanos ? TIME_OK : TIME_ARRIVAL
  timeSeconds = <f64>seconds + <f64>(nanos >= NANOS ? nanos / NANOS : 0)
  markerSeconds = nanos ? 0 : seconds
}

function set(seconds: f64): void {
  timeState = seconds == 0 ? TIME_ARRIVAL : TIME_OK
  timeSeconds = seconds
}

/** A header without a first element. */
export function setNoTime(): void {
  timeState = TIME_BAD
  markerSeconds = 0
}

/** A number without a unit: seconds, unless it is too big for that. */
function setNumber(value: f64): void {
  if (value - value != 0) {
    timeState = TIME_BAD
    return
  }
  if (isUnitGuessed && value >= 1e11) {
    value = value >= 1e17 ? value / 1e9 : value >= 1e14 ? value / 1e6 : value / 1e3
  }
  set(Math.floor(value))
}

/** MessagePack timestamp (ext -1) of 4, 8 or 12 bytes; anything else is no time. */
function setExt(p: usize, type: u32, byteCount: u32): void {
  if (type == 0 && byteCount == 8) eventTime(p)
  else if (type != 0xff) timeState = TIME_BAD
  else if (byteCount == 4) set(<f64>be32(p))
  else if (byteCount == 8) set(<f64>(be64(p) & 0x3ffffffff))
  else if (byteCount == 12) set(<f64>(<i64>be64(p + 4)))
  else timeState = TIME_BAD
}

/** Reads the time at p; gives the byte behind it, or CUT. */
export function readTime(p: usize, end: usize): usize {
  markerSeconds = 0
  if (p + 10 <= end && load<u16>(p) == 0x00d7) {
    eventTime(p + 2)
    return p + 10
  }
  const behind = skipValue(p, end)
  if (behind == CUT) return CUT
  const c: u32 = load<u8>(p)
  if (c < 0x80) set(<f64>c)
  else if (c >= 0xe0) set(<f64>(<i32>c - 256))
  else {
    switch (c) {
      case 0xc0:
        timeState = TIME_ARRIVAL
        break
      case 0xc7:
        setExt(p + 3, load<u8>(p, 2), load<u8>(p, 1))
        break
      case 0xca:
        setNumber(<f64>reinterpret<f32>(be32(p + 1)))
        break
      case 0xcb:
        setNumber(reinterpret<f64>(be64(p + 1)))
        break
      case 0xcc:
        set(<f64>load<u8>(p, 1))
        break
      case 0xcd:
        set(<f64>be16(p + 1))
        break
      case 0xce:
        set(<f64>be32(p + 1))
        break
      case 0xcf:
        setNumber(<f64>be64(p + 1))
        break
      case 0xd0:
        set(<f64>(<i32>load<i8>(p, 1)))
        break
      case 0xd1:
        set(<f64>(<i32>(<i16>be16(p + 1))))
        break
      case 0xd2:
        set(<f64>(<i32>be32(p + 1)))
        break
      case 0xd3:
        setNumber(<f64>(<i64>be64(p + 1)))
        break
      case 0xd6:
        setExt(p + 2, load<u8>(p, 1), 4)
        break
      case 0xd7:
        setExt(p + 2, load<u8>(p, 1), 8)
        break
      default:
        timeState = TIME_BAD
    }
  }
  return behind
}
