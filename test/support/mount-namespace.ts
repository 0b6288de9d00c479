// Volumes of a test's own: mounts in a mount namespace, which root and, on most systems, any user can have.

import { spawnSync } from 'node:child_process'

/** Words before a command that give it a mount namespace; null: not allowed here. */
export function mountNamespace(): readonly string[] | null {
  const ways = [
    ['unshare', '-Urm'],
    ['unshare', '-m']
  ] as const
  const script = 'mount -t tmpfs -o size=1m tmpfs /tmp'
  const works = ways.find(([command, option]) => {
    return spawnSync(command, [option, 'sh', '-c', script]).status === 0
  })
  return works ?? null
}
