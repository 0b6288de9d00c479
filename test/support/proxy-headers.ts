// Headers of the PROXY protocol, valid or not.

const SIGNATURE = Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1')

export const v1 = (text: string): Buffer => Buffer.from(`PROXY ${text}\r\n`)

export function v2(parts: {
  readonly command?: number
  readonly family: number
  readonly addresses: readonly number[]
}): Buffer {
  const { addresses, command = 0x21, family } = parts
  const fixed = Buffer.from([command, family, addresses.length >> 8, addresses.length & 255])
  return Buffer.concat([SIGNATURE, fixed, Buffer.from(addresses)])
}

/** 2001:db8::7 */
export const IPV6_BYTES = [0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7]
