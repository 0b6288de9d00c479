// Runs on: main.
// One request to the admin server of a running Millrace, over TCP or its Unix socket.

import { request } from 'node:http'
import { errnoOf, errorText, MillraceError } from '../core/errors.ts'
import type { AdminOptions } from './options.ts'

/** A server that does not answer within this is not well. */
const ANSWER_MS = 5_000
/** Changes may take as long as the work behind them. */
const CHANGE_MS = 600_000
const ANSWER_BYTES_MAX = 64 * 1024 * 1024

export interface AdminAnswer {
  readonly status: number
  readonly body: string
}

/** Where a request goes: `http` options of an address as users write it. */
export function adminTarget(
  address: string
): { host: string; port: number } | { socketPath: string } {
  if (address.startsWith('unix://')) return { socketPath: address.slice('unix://'.length) }
  const text = address.replace(/^(https?|tcp):\/\//, '').replace(/\/$/, '')
  const match = /^(?:\[([^\]]+)\]|([^:]+)):(\d+)$/.exec(text)
  const host = match?.[1] ?? match?.[2]
  if (host === undefined) {
    throw new MillraceError(
      'MR_USAGE',
      `admin address "${address}" is no address; write host:port or unix:///path`
    )
  }
  // What a server listens on is not always what a client can dial.
  const dialled = host === '0.0.0.0' ? '127.0.0.1' : host === '::' ? '::1' : host
  return { host: dialled, port: Number(match?.[3]) }
}

/** Sends one request and reads the whole answer. Throws MR_ADMIN when nobody answers. */
export function askAdmin(
  options: AdminOptions,
  method: 'GET' | 'POST',
  path: string
): Promise<AdminAnswer> {
  const target = adminTarget(options.admin)
  const headers = options.token === undefined ? {} : { authorization: `Bearer ${options.token}` }
  return new Promise((resolve, reject) => {
    const fail = (error: unknown) => {
      const reason = errnoOf(error) || errorText(error)
      const message = `no answer from the admin server at ${options.admin}: ${reason}`
      reject(new MillraceError('MR_ADMIN', message, { cause: error }))
    }
    const signal = AbortSignal.timeout(method === 'GET' ? ANSWER_MS : CHANGE_MS)
    const asked = request(
      { ...target, method, path, headers: { host: 'localhost', ...headers }, signal },
      (response) => {
        const chunks: Buffer[] = []
        let byteCount = 0
        response.on('data', (chunk: Buffer) => {
          byteCount += chunk.length
          chunks.push(chunk)
          if (byteCount > ANSWER_BYTES_MAX) response.destroy(new Error('answer is too long'))
        })
        response.on('error', fail)
        response.on('end', () =>
          resolve({ status: response.statusCode ?? 0, body: Buffer.concat(chunks).toString() })
        )
      }
    )
    asked.on('error', fail)
    asked.end()
  })
}

/** The answer as JSON; an answer that is not 200 is an error with its text. */
export async function askAdminJson(
  options: AdminOptions,
  method: 'GET' | 'POST',
  path: string
): Promise<unknown> {
  const { status, body } = await askAdmin(options, method, path)
  if (status === 200) return JSON.parse(body)
  throw new MillraceError('MR_ADMIN', `the admin server answered ${status}: ${body.slice(0, 500)}`)
}
