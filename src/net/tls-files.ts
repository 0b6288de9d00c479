// Runs on: ingest.
// Certificate, key and authorities of a listener, read from their files and checked against each other, so that a mistake
// is known when it is made and not when the first client comes.

import { X509Certificate } from 'node:crypto'
import fs from 'node:fs/promises'
import { createSecureContext, type SecureContextOptions } from 'node:tls'
import { errorText, MillraceError } from '../core/errors.ts'

/** The `tls` block of an input. */
export interface ListenerTls {
  readonly cert_file?: string
  readonly key_file?: string
  readonly key_passphrase?: string
  readonly ca_file?: string
  readonly min_version: '1.2' | '1.3'
  readonly client_auth: 'none' | 'optional' | 'required'
}

export interface TlsMaterial {
  /** Certificate, key, authorities and passphrase for a secure context. */
  readonly context: SecureContextOptions
  /** All bytes of the files, to tell whether something changed. */
  readonly bytes: Buffer
  /** Bytes of the authorities. */
  readonly caBytes: Buffer
  readonly subject: string
  readonly serialNumber: string
  /** When the certificate ends, milliseconds since 1970: of its chain the part that ends first. */
  readonly endsMs: number
}

const CERTIFICATE = /-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----/g

/** Reads and checks; throws `MR_CONFIG_TLS` with the file at fault. */
export async function readTlsMaterial(tls: ListenerTls): Promise<TlsMaterial> {
  const { ca_file, cert_file, key_file, key_passphrase } = tls
  const cert = await read('cert_file', cert_file)
  const key = await read('key_file', key_file)
  const ca = ca_file === undefined ? null : await read('ca_file', ca_file)
  const chain = certificatesOf('cert_file', cert_file, cert)
  if (ca !== null) certificatesOf('ca_file', ca_file, ca)
  const [leaf] = chain
  const context: SecureContextOptions = {
    cert,
    key,
    ...(ca === null ? {} : { ca }),
    ...(key_passphrase === undefined ? {} : { passphrase: key_passphrase }),
    minVersion: tls.min_version === '1.3' ? 'TLSv1.3' : 'TLSv1.2'
  }
  try {
    createSecureContext(context)
  } catch (error) {
    const reason = reasonOf(error, key_passphrase !== undefined)
    throw failed(`${key_file} is no key of the certificate ${cert_file}: ${reason}`, error)
  }
  return {
    context,
    bytes: Buffer.concat([cert, key, ca ?? Buffer.alloc(0)]),
    caBytes: ca ?? Buffer.alloc(0),
    subject: leaf?.subject.replaceAll('\n', ', ') ?? '',
    serialNumber: leaf?.serialNumber ?? '',
    endsMs: Math.min(...chain.map(({ validTo }) => Date.parse(validTo)))
  }
}

/** What tells that a file was replaced or rewritten; links are followed. '' for a file that is not there. */
export async function fileState(path: string | undefined): Promise<string> {
  if (path === undefined) return ''
  try {
    const { ctimeNs, dev, ino, mtimeNs, size } = await fs.stat(path, { bigint: true })
    return [dev, ino, size, mtimeNs, ctimeNs].join(':')
  } catch {
    return ''
  }
}

async function read(option: string, path: string | undefined): Promise<Buffer> {
  if (path === undefined) throw failed(`tls.${option} is needed for tls:// addresses`)
  try {
    return await fs.readFile(path)
  } catch (error) {
    throw failed(`tls.${option} cannot be read: ${errorText(error)}`, error)
  }
}

function certificatesOf(
  option: string,
  path: string | undefined,
  bytes: Buffer
): [X509Certificate, ...X509Certificate[]] {
  const blocks = bytes.toString('latin1').match(CERTIFICATE) ?? []
  try {
    const [first, ...rest] = blocks.map((block) => new X509Certificate(block))
    if (first !== undefined) return [first, ...rest]
  } catch (error) {
    throw failed(`tls.${option}: ${path} holds a certificate that cannot be read`, error)
  }
  throw failed(`tls.${option}: ${path} holds no certificate in PEM form`)
}

/** OpenSSL's reasons in words that lead to the mistake. */
function reasonOf(error: unknown, hasPassphrase: boolean): string {
  const text = errorText(error)
  if (/key values mismatch|key type mismatch/i.test(text)) return 'the two do not belong together'
  if (/bad decrypt|interrupted or cancelled|passphrase/i.test(text)) {
    return hasPassphrase ? 'key_passphrase is wrong' : 'it needs key_passphrase'
  }
  if (/no start line|unsupported/i.test(text)) return 'it holds no private key in PEM form'
  return text
}

function failed(message: string, cause?: unknown): MillraceError {
  return new MillraceError('MR_CONFIG_TLS', message, { cause })
}
