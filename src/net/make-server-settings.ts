/**
 * From what a caller knows of a server (an address as text, names of certificate files, a
 * password) to the settings every connection is opened from.
 */
import { readFileSync } from 'node:fs'
import { FileError, UsageError } from '../errors.js'
import { parseServerAddress } from './address.js'
import { DEFAULT_TIMEOUT_MS, type ServerSettings } from './server-settings.js'

export { formatServerAddress, holdsPassword, maskSecrets } from './address.js'
export type { ServerSettings } from './server-settings.js'

export interface ServerWishes {
  /** Wins over a user in the address; so does `password`. */
  username?: string | undefined
  password?: string | undefined
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
    throw new UsageError('a certificate and its key go together: give both --cert and --key')
  }
  const address = tlsAsked ? { ...parsed, transport: 'tls' as const } : parsed
  return {
    address,
    username: wishes.username ?? parsed.username,
    password: wishes.password ?? parsed.password,
    timeoutMs: wishes.timeoutMs ?? DEFAULT_TIMEOUT_MS,
    loadingWaitMs: wishes.loadingWaitMs,
    onLoading: wishes.onLoading,
    ...(address.transport === 'tls'
      ? {
          tls: {
            ca: readPem(wishes.caFile),
            cert: readPem(wishes.certFile),
            key: readPem(wishes.keyFile),
            sni: wishes.sni,
            insecure: wishes.insecure,
          },
        }
      : {}),
  }
}

function readPem(path: string | undefined): Buffer | undefined {
  if (path === undefined) return undefined
  try {
    return readFileSync(path)
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? 'failed'
    throw new FileError('ERR_CANNOT_READ', `cannot read ${path}: ${code}`, { cause: error })
  }
}
