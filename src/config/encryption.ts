// Runs on: main.
// Keys of the queue's encryption: 32 bytes as base64 or hex, told apart by their length. No message shows any of it.

import { KEY_BYTES, type StoreKey, type StoreKeys } from '../core/encryption-keys.ts'
import type { Report } from './convert.ts'
import type { ConfigPath } from './findings.ts'
import type { Shell } from './shell.ts'

const HEX = /^[0-9a-fA-F]{64}$/
/** Standard or URL alphabet, padded or not. */
const BASE64 = /^[A-Za-z0-9+/_-]{43}=?$/
const HINT = 'make one with: openssl rand -base64 32'

/** Null: nothing is encrypted and nothing encrypted is read. Faults are reported; the value then means nothing. */
export function encryptionOf(
  block: Shell['queue']['encryption'],
  report: Report
): StoreKeys | null {
  if (block === undefined) return null
  const path = ['queue', 'encryption']
  const current = currentKey(block, path, report)
  const all: StoreKey[] = current === null ? [] : [current]
  for (const [index, { id, key }] of (block.old ?? []).entries()) {
    const place = [...path, 'old', index]
    if (all.some((known) => known.id === id)) {
      const message = `key ${id} stands here twice`
      const hint = 'a new key needs a new id: stored segments name theirs'
      report('MR_CONFIG_DUPLICATE', [...place, 'id'], message, hint)
    }
    const bytes = keyBytes(key, [...place, 'key'], report)
    if (bytes !== null) all.push({ id, key: bytes })
  }
  return { current, all }
}

/** Without a key, stored segments are read with the old ones and new ones are plain. */
function currentKey(
  block: NonNullable<Shell['queue']['encryption']>,
  path: ConfigPath,
  report: Report
): StoreKey | null {
  const { id, key } = block
  if (key === undefined) {
    if (id !== undefined) report('MR_CONFIG_MISSING', path, `key ${id} has no "key"`, HINT)
    return null
  }
  const bytes = keyBytes(key, [...path, 'key'], report)
  if (id === undefined) {
    const hint = 'add id: 1, and count up with every new key'
    report('MR_CONFIG_MISSING', path, 'the key has no "id"', hint)
  }
  return bytes === null || id === undefined ? null : { id, key: bytes }
}

function keyBytes(text: string, path: ConfigPath, report: Report): Uint8Array | null {
  if (HEX.test(text)) return new Uint8Array(Buffer.from(text, 'hex'))
  if (BASE64.test(text)) {
    const bytes = Buffer.from(text, 'base64')
    if (bytes.length === KEY_BYTES) return new Uint8Array(bytes)
  }
  const message = `the value is no key: ${KEY_BYTES} bytes are needed, as base64 or hex`
  report('MR_CONFIG_INVALID', path, message, HINT)
  return null
}
