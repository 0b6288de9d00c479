// Runs on: main.
// The admin server on every address of the configuration, and on a socket in the data directory, which only the user of
// the process can open: commands on the same machine need no token there.

import { join } from 'node:path'
import { AdminServer } from '../../admin/server.ts'
import type { AdminSource } from '../../admin/status.ts'
import type { MillraceConfig } from '../../config/schema.ts'
import { systemClock } from '../../core/clock.ts'
import { errorText } from '../../core/errors.ts'
import { parseListenAddress } from '../../net/listen-address.ts'
import type { OutputLog } from '../../plugin/output.ts'

/** Sockets that the configuration names, and the one of the data directory. */
const SHARED_MODE = 0o660
const OWN_MODE = 0o600

export interface AdminServers {
  /** The first address as bound; null: the configuration wants none. */
  start(): Promise<string | null>
  stop(): Promise<void>
}

export function adminServers(
  config: MillraceConfig,
  source: AdminSource,
  log: OutputLog
): AdminServers {
  const { hosts, listen, token } = config.admin
  const shared = { token, hostNames: hosts, clock: systemClock }
  const create = (text: string, socketMode = SHARED_MODE) =>
    new AdminServer(source, { ...shared, address: parseListenAddress(text), socketMode })
  const servers = listen.map((text) => create(text))
  const socketUrl = `unix://${join(config.dataDir, 'admin.sock')}`
  const hasSocket = listen.length > 0 && !listen.includes(socketUrl)
  const startSocket = async () => {
    try {
      const server = create(socketUrl, OWN_MODE)
      servers.push(server)
      await server.start()
    } catch (error) {
      // Its path may be too long, or the volume takes no more names: the other addresses do.
      log.warn({ event: 'admin.socket', error: errorText(error) }, 'no admin socket in data_dir')
    }
  }
  return {
    async start() {
      const listed = [...servers]
      // First: who sees the others answer finds the socket too.
      if (hasSocket) await startSocket()
      const bound: string[] = []
      for (const server of listed) bound.push(await server.start())
      return bound[0] ?? null
    },
    async stop() {
      await Promise.all(servers.map((server) => server.stop()))
    }
  }
}
