// Runs on: any.
// Lists of addresses and networks as configuration writes them: `10.0.0.0/8`, `fd00::/8`, `192.0.2.7`.

import { BlockList, isIP, isIPv6 } from 'node:net'
import { MillraceError } from '../core/errors.ts'

const MAPPED = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i

/** Sockets that listen on `::` show IPv4 peers as `::ffff:192.0.2.7`; rules and people write `192.0.2.7`. */
export function plainAddress(address: string): string {
  return MAPPED.exec(address)?.[1] ?? address
}

export class AddressSet {
  readonly #list = new BlockList()

  /** Throws `MR_CONFIG_INVALID` at the first text that is neither an address nor a network. */
  constructor(texts: readonly string[]) {
    for (const text of texts) this.#add(text)
  }

  has(address: string): boolean {
    const plain = plainAddress(address)
    // A zone (`fe80::1%eth0`) says how to get there, not who it is.
    const host = plain.replace(/%.*$/, '')
    return isIP(host) !== 0 && this.#list.check(host, isIPv6(host) ? 'ipv6' : 'ipv4')
  }

  #add(text: string): void {
    const [address = '', digits, ...rest] = text.split('/')
    const family = isIP(address) === 6 ? 'ipv6' : 'ipv4'
    const bitsMax = family === 'ipv6' ? 128 : 32
    const bits = digits === undefined ? bitsMax : /^\d{1,3}$/.test(digits) ? Number(digits) : -1
    if (isIP(address) === 0 || rest.length > 0 || bits < 0 || bits > bitsMax) {
      const message = `"${text}" is no address and no network; write 192.0.2.7, 10.0.0.0/8 or fd00::/8`
      throw new MillraceError('MR_CONFIG_INVALID', message)
    }
    this.#list.addSubnet(address, bits, family)
  }
}
