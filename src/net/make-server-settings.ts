/**
 * From what a caller knows of a server (an address as text, names of certificate files, a
 * password) to the settings every connection is opened from.
 */
import { readFileSync } from 'node:fs'
import { createSecureContext } from 'node:tls'
import { FileError, UsageError } from '../errors.js'
import { parseAddressMap, parseServerAddress } from './address.js'
import { DEFAULT_TIMEOUT_MS, type ServerSettings, type TlsSettings } from './server-settings.js'

export { formatServerAddress, holdsPassword, maskSecrets } from './address.js'
export type { ServerSettings } from './server-settings.js'

export interface ServerWishes {
  /** Wins over a user in the address; so does `password`. */
  username?: string | undefined
  password?: string | undefined
  passwordHint?: string | undefined
  /** Encrypt although the address does not say `rediss://`. */
  tls?: boolean | undefined
  /** PEM files. */
  caFile?: string | undefined
  certFile?: string | undefined
  keyFile?: string | undefined
  sni?: string | undefined
  insecure?: boolean | undefined
  timeoutMs?: number | undefined
  loadingWaitMs?: number | undefined
  /** `a:1=b:2`: what nodes of a cluster, or Sentinels, call a:1 is reached at b:2. */
  mapAddress?: readonly string[] | undefined
  onLoading?: ServerSettings['onLoading']
}

/** Throws UsageError for a bad address or combination, FileError for an unreadable file. */
export function makeServerSettings(addressText: string, wishes: ServerWishes = {}): ServerSettings {
  const parsed = parseServerAddress(addressText)
  const tlsAsked =
    wishes.tls === true ||
    wishes.insecure === true ||
    [wishes.caFile, wishes.certFile, wishes.keyFile, wishes.sni].some((each) => each !== undefined)
  if (tlsAsked && parsed.transport === 'unix') {
    throw new UsageError('TLS over a unix socket is not a thing servers offer', {
      hint: 'leave out the TLS options, or name host and port',
    })
  }
  if ((wishes.certFile === undefined) !== (wishes.keyFile === undefined)) {
    throw new UsageError(
      'a certificate and its key go together: give both `certFile` and `keyFile`',
    )
  }
  const address = tlsAsked ? { ...parsed, transport: 'tls' as const } : parsed
  const tls = address.transport === 'tls' ? readTls(wishes) : undefined
  return {
    address,
    username: wishes.username ?? parsed.username,
    password: wishes.password ?? parsed.password,
    passwordHint: wishes.passwordHint,
    timeoutMs: wishes.timeoutMs ?? DEFAULT_TIMEOUT_MS,
    loadingWaitMs: wishes.loadingWaitMs,
    onLoading: wishes.onLoading,
    ...(wishes.mapAddress === undefined ? {} : { addressMap: parseAddressMap(wishes.mapAddress) }),
    ...(tls === undefined ? {} : { tls }),
  }
}

function readTls(wishes: ServerWishes): TlsSettings {
  const { caFile, certFile, keyFile } = wishes
  const files = { ca: readPem(caFile), cert: readPem(certFile), key: readPem(keyFile) }
  try {
    createSecureContext(files)
  } catch (error) {
    // openssl's own text: error:<number>:<library>:<function>:<what>
    const what = (error as Error).message.split(':').at(-1)
    throw new FileError(
      'ERR_BAD_CERTIFICATE',
      `the certificate ${certFile!} and the key ${keyFile!} cannot be used: ${what!}`,
      { cause: error, hint: 'both are PEM files, and the key is that of the certificate' },
    )
  }
  return { ...files, sni: wishes.sni, insecure: wishes.insecure }
}

function readPem(path: string | undefined): Buffer | undefined {
  if (path === undefined) return undefined
  let bytes: Buffer
  try {
    bytes = readFileSync(path)
  } catch (error) {
    // Node's own words: `ENOENT: no such file or directory, open '…'`.
    const what = /^[A-Z0-9]+: ([^,]+)/.exec((error as Error).message)?.[1] ?? 'failed'
    throw new FileError('ERR_CANNOT_READ', `cannot read ${path}: ${what}`, { cause: error })
  }
  // An authority that is none would be passed over in silence.
  if (bytes.includes('-----BEGIN ')) return bytes
  throw new FileError('ERR_BAD_CERTIFICATE', `${path} is no PEM file`, {
    hint: 'it begins with -----BEGIN CERTIFICATE----- or the like',
  })
}
