// Step 8. Runs on: main.
// The official SDK as this output uses it: prebuilt bodies put in by a middleware, its retries off. Loaded when an
// output starts, because it takes 0.1 s.

import {
  CloudWatchLogsClient,
  type CloudWatchLogsClientConfig,
  CreateLogGroupCommand,
  CreateLogStreamCommand,
  PutLogEventsCommand,
  type PutLogEventsCommandOutput,
  PutRetentionPolicyCommand
} from '@aws-sdk/client-cloudwatch-logs'
import type { Clock } from '../../../src/core/clock.ts'
import { parseEndpoint } from './config.ts'
import type { ControlPlane } from './creation.ts'
import { failureOf } from './failures.ts'
import { SdkHttpHandler } from './http-handler.ts'
import type { CloudWatchOptions, StreamName } from './options.ts'

/** A body as the pool left it. */
export interface PreparedBody {
  readonly bytes: Buffer
  readonly isCompressed: boolean
  /** null: the SDK hashes. */
  readonly sha256: string | null
}

/** Key of the prepared body in the input of a command; the serializer does not know it. */
const PREPARED = Symbol('prepared body')

export class LogsService implements ControlPlane {
  readonly #options: CloudWatchOptions
  readonly #handler: SdkHttpHandler
  #client: CloudWatchLogsClient

  constructor(options: CloudWatchOptions, clock: Clock) {
    this.#options = options
    this.#handler = new SdkHttpHandler(options.max_in_flight, options.connect_timeout, clock)
    this.#client = createClient(options, this.#handler)
  }

  /** Throws when nothing says which region. */
  async checkRegion(): Promise<string> {
    return await this.#client.config.region()
  }

  /** Looks for credentials anew: tokens and keys are replaced while the process runs. */
  renewCredentials(): void {
    this.#client = createClient(this.#options, this.#handler)
  }

  async put(
    name: StreamName,
    body: PreparedBody,
    signal: AbortSignal
  ): Promise<PutLogEventsCommandOutput> {
    const input = {
      logGroupName: name.group,
      logStreamName: name.stream,
      logEvents: [],
      [PREPARED]: body
    }
    return await this.#client.send(new PutLogEventsCommand(input), { abortSignal: signal })
  }

  /** For servers that still want tokens: the SDK builds the request from the events. */
  async putWithToken(
    body: PreparedBody,
    token: string,
    signal: AbortSignal
  ): Promise<PutLogEventsCommandOutput> {
    const input = { ...JSON.parse(body.bytes.toString()), sequenceToken: token }
    return await this.#client.send(new PutLogEventsCommand(input), { abortSignal: signal })
  }

  async createStream({ group, stream }: StreamName, signal: AbortSignal): Promise<void> {
    const command = new CreateLogStreamCommand({ logGroupName: group, logStreamName: stream })
    await this.#client.send(command, { abortSignal: signal })
  }

  async createGroup(group: string, signal: AbortSignal): Promise<void> {
    const { log_group_class, kms_key_id, tags } = this.#options
    const command = new CreateLogGroupCommand({
      logGroupName: group,
      ...(log_group_class === undefined ? {} : { logGroupClass: log_group_class }),
      ...(kms_key_id === undefined ? {} : { kmsKeyId: kms_key_id }),
      ...(tags === undefined ? {} : { tags: { ...tags } })
    })
    await this.#client.send(command, { abortSignal: signal })
  }

  async setRetention(group: string, signal: AbortSignal): Promise<void> {
    const { retention_in_days } = this.#options
    if (retention_in_days === undefined) return
    const command = new PutRetentionPolicyCommand({
      logGroupName: group,
      retentionInDays: retention_in_days
    })
    await this.#client.send(command, { abortSignal: signal })
  }

  failureOf(error: unknown): ReturnType<typeof failureOf> {
    return failureOf(error)
  }

  destroy(): void {
    this.#client.destroy()
    this.#handler.destroy()
  }
}

function createClient(options: CloudWatchOptions, handler: SdkHttpHandler): CloudWatchLogsClient {
  const { aws_key_id, aws_sec_key, aws_session_token } = options
  const endpoint = options.endpoint === undefined ? null : parseEndpoint(options.endpoint)
  const client = new CloudWatchLogsClient({
    maxAttempts: 1,
    // A cast: the handler takes the part of the SDK's request that it uses, and gives what its protocol reads.
    requestHandler: handler as unknown as NonNullable<CloudWatchLogsClientConfig['requestHandler']>,
    ...(options.region === undefined ? {} : { region: options.region }),
    ...(options.profile === undefined ? {} : { profile: options.profile }),
    ...(endpoint === null ? {} : { endpoint: endpoint.href }),
    ...(aws_key_id === undefined || aws_sec_key === undefined
      ? {}
      : {
          credentials: {
            accessKeyId: aws_key_id,
            secretAccessKey: aws_sec_key,
            ...(aws_session_token === undefined ? {} : { sessionToken: aws_session_token })
          }
        })
  })
  client.middlewareStack.add(
    (next) => (args) => {
      // A cast: `put` set the key; other commands have none.
      const prepared = (args.input as { [PREPARED]?: PreparedBody })[PREPARED]
      if (prepared !== undefined) usePrepared(args.request, prepared)
      return next(args)
    },
    { step: 'build', name: 'preparedBody', priority: 'low' }
  )
  return client
}

function usePrepared(request: unknown, { bytes, isCompressed, sha256 }: PreparedBody): void {
  // A cast: the request of an HTTP protocol, after serialization.
  const http = request as { body: Uint8Array; headers: Record<string, string> }
  http.body = bytes
  http.headers['content-length'] = String(bytes.length)
  if (isCompressed) http.headers['content-encoding'] = 'gzip'
  // The signer takes a hash that is there already: the pool made it.
  if (sha256 !== null) http.headers['x-amz-content-sha256'] = sha256
}
