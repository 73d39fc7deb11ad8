/**
 * Requests to a bucket, with the settings that S3-compatible stores demand. Endpoint, region and
 * credentials are found by the SDK's own chain: environment, profiles, roles of the machine.
 */
import type { S3Client } from '@aws-sdk/client-s3'
import type * as sdkModule from './sdk.js'
import { AbortedError } from '../../errors.js'
import { bucketError } from './bucket-error.js'

export type Sdk = typeof sdkModule

const CONNECT_TIMEOUT_MS = 5000
/** Without a byte for so long a request is given up, and tried again. */
const IDLE_TIMEOUT_MS = 60_000
const ATTEMPTS = 6
const FALLBACK_REGION = 'us-east-1'

/** Who makes the request of a command: it is tried again where that may help. */
export type Send = <Output>(
  doing: string,
  run: (client: S3Client, options: { abortSignal?: AbortSignal }) => Promise<Output>,
  options?: { isTidying?: boolean },
) => Promise<Output>

export interface BucketClient {
  readonly sdk: Sdk
  /** Rejects with AuthError, FileError (no such bucket or object), LinkError, ProtocolError, AbortedError.
   * `isTidying`: it is made behind an abort too. */
  readonly send: Send
}

export async function connectBucket(
  bucket: string,
  signal: AbortSignal | undefined,
): Promise<BucketClient> {
  // Its notice of a Node that it will leave one day has no place in the mail of a cron job.
  process.env['AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED'] ??= 'true'
  const sdk = await loadSdk()
  const client = await makeClient(sdk)
  const send: Send = async (doing, run, { isTidying = false } = {}) => {
    const isAborted = (): boolean => !isTidying && signal?.aborted === true
    if (isAborted()) throw new AbortedError()
    try {
      return await run(client, isTidying || signal === undefined ? {} : { abortSignal: signal })
    } catch (error) {
      if (isAborted()) throw new AbortedError()
      throw bucketError(bucket, doing, error)
    }
  }
  return { sdk, send }
}

async function loadSdk(): Promise<Sdk> {
  const loaded = await import('./sdk.js')
  // The command line's bundle of it is CommonJS, and comes as one value.
  return 'default' in loaded ? (loaded.default as Sdk) : loaded
}

async function makeClient(sdk: Sdk): Promise<S3Client> {
  const { env } = process
  const hasEndpoint = (env['AWS_ENDPOINT_URL_S3'] ?? env['AWS_ENDPOINT_URL'] ?? '') !== ''
  const checksums = 'WHEN_REQUIRED' as const
  const settings = {
    ...(env['AWS_MAX_ATTEMPTS'] === undefined ? { maxAttempts: ATTEMPTS } : {}),
    // Newer checksums are refused by stores other than AWS itself; what is written carries its MD5.
    requestChecksumCalculation: checksums,
    responseChecksumValidation: checksums,
    forcePathStyle: hasEndpoint,
    followRegionRedirects: !hasEndpoint,
    requestHandler: {
      connectionTimeout: CONNECT_TIMEOUT_MS,
      socketTimeout: IDLE_TIMEOUT_MS,
      throwOnRequestTimeout: true,
    },
  }
  const client = new sdk.S3Client(settings)
  try {
    await client.config.region()
    return client
  } catch {
    // None is configured: stores other than AWS have none, and AWS says which one it is.
    client.destroy()
    return new sdk.S3Client({ ...settings, region: FALLBACK_REGION })
  }
}
