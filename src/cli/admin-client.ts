// Runs on: main.
// One request to the admin server of a running Millrace, over TCP or its Unix socket.

import { type IncomingMessage, request } from 'node:http'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { systemClock } from '../core/clock.ts'
import { errnoOf, errorText, MillraceError } from '../core/errors.ts'
import type { AdminOptions } from './options.ts'

/** A server that does not answer within this is not well. */
const ANSWER_MS = 5_000
/** Changes may take as long as the work behind them. */
const CHANGE_MS = 600_000
/** A body of any length is sent and stored before the answer. */
const SEND_MS = 24 * 3600 * 1000
const ANSWER_BYTES_MAX = 64 * 1024 * 1024

export interface AdminAnswer {
  readonly status: number
  readonly body: string
}

/** Nobody answered, or not to the end: what was asked can be asked again. */
export class NoAnswer extends MillraceError {}

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
export async function askAdmin(
  options: AdminOptions,
  method: 'GET' | 'POST',
  path: string
): Promise<AdminAnswer> {
  const limitMs = method === 'GET' ? ANSWER_MS : CHANGE_MS
  const response = await openAdmin(options, method, path, limitMs)
  try {
    return { status: response.statusCode ?? 0, body: await textOf(response) }
  } catch (error) {
    throw noAnswer(options, error)
  }
}

/** Settles when the head of the answer is there, within `limitMs`. */
function openAdmin(
  options: AdminOptions,
  method: 'GET' | 'POST',
  path: string,
  limitMs: number,
  body: AsyncIterable<Uint8Array> | null = null
): Promise<IncomingMessage> {
  const target = adminTarget(options.admin)
  const headers = {
    ...(options.token === undefined ? {} : { authorization: `Bearer ${options.token}` }),
    ...(body === null ? {} : { 'content-type': 'application/x-ndjson' })
  }
  return new Promise((resolve, reject) => {
    const asked = request(
      { ...target, method, path, headers: { host: 'localhost', ...headers } },
      (response) => {
        cancel()
        resolve(response)
      }
    )
    const cancel = systemClock.after(limitMs, () =>
      asked.destroy(new Error(`none within ${limitMs / 1000} s`))
    )
    asked.on('error', (error) => {
      cancel()
      reject(noAnswer(options, error))
    })
    if (body === null) asked.end()
    // An answer before the end of the body, or none at all, is told above.
    else void pipeline(Readable.from(body), asked).catch(() => undefined)
  })
}

/** Sends a body as it comes; the answer is JSON, as of `askAdminJson`. */
export async function sendAdmin(
  options: AdminOptions,
  path: string,
  body: AsyncIterable<Uint8Array>
): Promise<unknown> {
  const response = await openAdmin(options, 'POST', path, SEND_MS, body)
  const text = await textOf(response)
  if (response.statusCode === 200) return JSON.parse(text)
  throw answered(response.statusCode ?? 0, text)
}

async function textOf(response: IncomingMessage): Promise<string> {
  const pieces: Buffer[] = []
  let byteCount = 0
  for await (const piece of response) {
    const bytes = piece as Buffer // without an encoding, pieces are buffers
    byteCount += bytes.length
    if (byteCount > ANSWER_BYTES_MAX) throw new Error('answer is too long')
    pieces.push(bytes)
  }
  return Buffer.concat(pieces).toString()
}

function noAnswer(options: AdminOptions, error: unknown): NoAnswer {
  const reason = errnoOf(error) || errorText(error)
  const message = `no answer from the admin server at ${options.admin}: ${reason}`
  return new NoAnswer('MR_ADMIN', message, { cause: error })
}

/** Hands the pieces of a long answer on as they come, until `onPiece` says that it wants no more. */
export async function readAdmin(
  options: AdminOptions,
  path: string,
  onPiece: (piece: Buffer) => Promise<boolean>
): Promise<void> {
  const response = await openAdmin(options, 'GET', path, ANSWER_MS)
  if (response.statusCode !== 200) {
    const body = await textOf(response)
    throw answered(response.statusCode ?? 0, body)
  }
  try {
    for await (const piece of response) {
      if (!(await onPiece(piece as Buffer))) break // without an encoding, pieces are buffers
    }
  } catch (error) {
    throw new MillraceError('MR_ADMIN', `the answer was cut: ${errorText(error)}`, { cause: error })
  }
}

/** The answer as JSON; an answer that is not 200 is an error with its text. */
export async function askAdminJson(
  options: AdminOptions,
  method: 'GET' | 'POST',
  path: string
): Promise<unknown> {
  const { status, body } = await askAdmin(options, method, path)
  if (status === 200) return JSON.parse(body)
  throw answered(status, body)
}

/** What the server says is wrong with the request is the user's to mend. */
function answered(status: number, body: string): MillraceError {
  const code = status === 400 ? 'MR_USAGE' : 'MR_ADMIN'
  const text = status === 400 ? faultIn(body) : `the admin server answered ${status}: ${body}`
  return new MillraceError(code, text.slice(0, 2000))
}

function faultIn(body: string): string {
  try {
    const value: unknown = JSON.parse(body)
    if (typeof value === 'object' && value !== null && 'error' in value) return String(value.error)
  } catch {
    // No JSON: as it is.
  }
  return body
}
