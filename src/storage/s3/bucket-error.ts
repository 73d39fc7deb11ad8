/** What a store of buckets says against a request, as errors that say what happened and what to do. */
import { printable } from '../../bytes/printable.js'
import { AuthError, FileError, LinkError, ProtocolError, RrepError } from '../../errors.js'

const MAX_MESSAGE_CHARS = 300

const WRONG_KEY = new Set([
  'InvalidAccessKeyId',
  'SignatureDoesNotMatch',
  'ExpiredToken',
  'ExpiredTokenException',
  'InvalidToken',
  'TokenRefreshRequired',
])
const NO_KEY = new Set(['CredentialsProviderError', 'TokenProviderError'])
const GONE = new Set(['NoSuchKey', 'NotFound'])
const BUSY = new Set(['SlowDown', 'ServiceUnavailable', 'Throttling', 'ThrottlingException'])

interface Fault {
  name: string
  message: string
  status: number | undefined
  systemCode: string | undefined
  attempts: number | undefined
}

/** `doing` is the verb and the object: `write a/b`. An error of ours comes back as it is. */
export function bucketError(bucket: string, doing: string, cause: unknown): RrepError {
  if (cause instanceof RrepError) return cause
  const { name, message, status, systemCode, attempts } = faultOf(cause)
  const what = `cannot ${doing} in s3://${bucket}`
  const options = {
    cause,
    details: { bucket, httpStatus: status, storeCode: name, systemCode, attempts },
  }
  if (NO_KEY.has(name)) {
    return new AuthError('ERR_STORE_AUTH', `${what}: there are no credentials`, {
      ...options,
      hint: 'AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile, or a role of this machine',
    })
  }
  if (name === 'NoSuchBucket') {
    return new FileError('ERR_NO_SUCH_BUCKET', `${what}: there is no such bucket`, {
      ...options,
      hint: 'make it first; of another store than AWS name the address in AWS_ENDPOINT_URL',
    })
  }
  if (WRONG_KEY.has(name)) {
    return new AuthError(
      'ERR_STORE_AUTH',
      `${what}: the store does not know this key: ${message}`,
      {
        ...options,
        hint: 'the access key, or the secret, is wrong or no longer valid',
      },
    )
  }
  if (status === 403 || status === 401) {
    return new AuthError('ERR_STORE_DENIED', `${what}: the store does not allow it`, {
      ...options,
      hint: 'what is needed: list the bucket, put, get and delete objects below the prefix',
    })
  }
  if (GONE.has(name) || status === 404) {
    return new FileError('ERR_NO_SUCH_FILE', `${what}: there is no such object`, options)
  }
  if (BUSY.has(name) || status === 429 || (status !== undefined && status >= 500)) {
    const tries = attempts === undefined ? '' : `, after ${attempts} attempts`
    return new LinkError('ERR_STORE_BUSY', `${what}: the store could not${tries}: ${message}`, {
      ...options,
      retriable: true,
    })
  }
  if (status === undefined) {
    const said = message === '' ? (systemCode ?? name) : message
    const why = name === 'TimeoutError' ? 'it said nothing for too long' : said
    return new LinkError('ERR_STORE_UNREACHABLE', `${what}: the store is not reached: ${why}`, {
      ...options,
      retriable: true,
      hint: 'the address of a store other than AWS stands in AWS_ENDPOINT_URL',
    })
  }
  return new ProtocolError('ERR_STORE_REFUSED', `${what}: ${name}: ${message}`, options)
}

function faultOf(cause: unknown): Fault {
  const { name, message, code, $metadata } = cause as Partial<{
    name: string
    message: string
    code: unknown
    $metadata: { httpStatusCode?: number; attempts?: number }
  }>
  return {
    name: safe(name ?? 'Error'),
    message: safe(message ?? ''),
    status: $metadata?.httpStatusCode,
    systemCode: typeof code === 'string' ? safe(code) : undefined,
    attempts: $metadata?.attempts,
  }
}

function safe(text: string): string {
  return printable(Buffer.from(text), 0, undefined, MAX_MESSAGE_CHARS)
}

export function isBucketFault(error: unknown, code: string): boolean {
  return error instanceof RrepError && error.code === code
}
