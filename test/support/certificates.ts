// Certificates of test/fixtures/tls, and a folder of a listener whose files a test replaces.

import fs from 'node:fs'
import path from 'node:path'
import type { Test } from 'tap'
import type { ListenerTls } from '../../src/net/tls-files.ts'
import { shortDir } from './short-dir.ts'

const FOLDER = path.join(import.meta.dirname, '../fixtures/tls')

export const certificateFile = (name: string): string => path.join(FOLDER, name)
export const certificate = (name: string): Buffer => fs.readFileSync(certificateFile(name))

/** What a client shows: `client`, `stranger`, `expired`. */
export const identity = (name: string) => ({
  cert: certificate(`${name}.pem`),
  key: certificate(`${name}.key`)
})

export interface TlsFolder {
  readonly tls: ListenerTls
  /** Puts the file of the fixtures in place, by rename. */
  replace(file: 'tls.crt' | 'tls.key' | 'ca.crt', fixture: string): void
  readonly directory: string
}

/** A listener's own copies of `server`. */
export function tlsFolder(t: Test, rest: Partial<ListenerTls> = {}): TlsFolder {
  const directory = shortDir(t)
  const replace = (file: string, fixture: string) => {
    fs.writeFileSync(path.join(directory, 'new'), certificate(fixture))
    fs.renameSync(path.join(directory, 'new'), path.join(directory, file))
  }
  replace('tls.crt', 'server.pem')
  replace('tls.key', 'server.key')
  replace('ca.crt', 'ca.pem')
  const tls: ListenerTls = {
    cert_file: path.join(directory, 'tls.crt'),
    key_file: path.join(directory, 'tls.key'),
    min_version: '1.2',
    client_auth: 'none',
    ...(rest.client_auth === undefined ? {} : { ca_file: path.join(directory, 'ca.crt') }),
    ...rest
  }
  return { tls, replace, directory }
}
