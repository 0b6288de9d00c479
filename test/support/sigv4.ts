// Checks AWS Signature Version 4 on its own, so that the stand-in proves what the SDK was made to sign.

import { createHash, createHmac } from 'node:crypto'
import type { IncomingMessage } from 'node:http'

const ALGORITHM = 'AWS4-HMAC-SHA256'

/** Why the signature is wrong; null: it is right. */
export function signatureFault(
  request: IncomingMessage,
  body: Buffer,
  secretOf: (keyId: string) => string | undefined
): string | null {
  const match =
    /^AWS4-HMAC-SHA256 Credential=([^/]+)\/(\d{8})\/([^/]+)\/logs\/aws4_request, SignedHeaders=([^,]+), Signature=([0-9a-f]{64})$/.exec(
      request.headers.authorization ?? ''
    )
  if (match === null) return 'authorization is no SigV4 header for the service logs'
  const [, keyId = '', day = '', region = '', signed = '', signature] = match
  const secret = secretOf(keyId)
  if (secret === undefined) return `key ${keyId} is unknown`
  const bodyHash = createHash('sha256').update(body).digest('hex')
  const claimed = request.headers['x-amz-content-sha256']
  if (claimed !== undefined && claimed !== bodyHash)
    return 'x-amz-content-sha256 is not of the body'
  const names = signed.split(';')
  for (const needed of ['host', 'x-amz-date', 'x-amz-target']) {
    if (!names.includes(needed)) return `${needed} is not signed`
  }
  const url = new URL(request.url ?? '/', 'http://fake')
  const canonical = [
    request.method,
    url.pathname,
    [...url.searchParams]
      .map(([key, value]) => `${key}=${value}`)
      .sort()
      .join('&'),
    ...names.map((name) => `${name}:${String(request.headers[name] ?? '').trim()}`),
    '',
    signed,
    bodyHash
  ].join('\n')
  const scope = `${day}/${region}/logs/aws4_request`
  const text = [
    ALGORITHM,
    request.headers['x-amz-date'],
    scope,
    createHash('sha256').update(canonical).digest('hex')
  ].join('\n')
  const key = [day, region, 'logs', 'aws4_request'].reduce<Buffer>(
    (last, part) => createHmac('sha256', last).update(part).digest(),
    Buffer.from(`AWS4${secret}`)
  )
  const expected = createHmac('sha256', key).update(text).digest('hex')
  return expected === signature ? null : 'the signature does not fit'
}
