/**
 * How to reach one server: where it listens, who we are, how the line is encrypted, how long
 * silence is borne. Made once from the command line or by a caller of the library; every
 * connection of a run (the replication link, the control client, a replay's pipelines) is opened
 * from the same settings.
 */
import { isIP } from 'node:net'
import type { LinkError } from '../errors.js'
import type { ServerAddress } from './address.js'

/** PEM texts or DER bytes, already read from their files. */
export interface TlsSettings {
  /** Authorities to trust in place of the system's. */
  ca?: string | Buffer | undefined
  /** Our own certificate and its key, where the server asks for one. */
  cert?: string | Buffer | undefined
  key?: string | Buffer | undefined
  /** Server name to ask for and to verify; by default the host, unless it is an IP address. */
  sni?: string | undefined
  /** Takes any certificate. The line is encrypted, but nobody knows to whom. */
  insecure?: boolean | undefined
}

export interface ServerPlace {
  readonly host: string
  readonly port: number
}

/** How far a replication link is, as a replica's INFO tells it. */
export interface LinkStatus {
  /** The stream comes. */
  readonly isUp: boolean
  /** A snapshot comes, or is waited for. */
  readonly isSyncing: boolean
  /** Whom it is connected to. */
  readonly address: ServerAddress | undefined
  readonly replid: string | undefined
  /** Last stream byte received; -1 before the first. */
  readonly replOffset: number
  readonly lastByteMs: number
}

export interface AnnouncedLink {
  readonly status: LinkStatus
  /** Somebody says that another is the master: asks at once whether that is so. */
  hurry(): void
}

/** What a replication link says of itself to its master: where a replica like it would be found. */
export interface LinkAnnouncement {
  /** Undefined: the address that the link comes from. */
  readonly host: string | undefined
  /** Undefined: none. */
  readonly port: number | undefined
  /** Told of each link that lasts. */
  readonly onLink: (link: AnnouncedLink) => void
}

export interface ServerSettings {
  address: ServerAddress
  /** Where a server is reached from here that is known under another address (NAT, containers): by
   * `host:port`. Whom it is meant by, and told as, stays the address that it has itself. */
  addressMap?: ReadonlyMap<string, ServerPlace> | undefined
  /** Where `address` is a name only: asked before each connection who it is now. */
  locate?: ((signal?: AbortSignal) => Promise<ServerPlace>) | undefined
  /** Sentinels watch it: they list each replication link that it has. */
  isWatched?: boolean | undefined
  announcement?: LinkAnnouncement | undefined
  /** A name to announce, in place of the address that a link comes from, which keeps it out of what they
   * list; undefined: there is none. Asked before each link that announces nothing else. */
  hidingName?: ((signal?: AbortSignal) => Promise<string | undefined>) | undefined
  /** ACL user; without it AUTH is sent with the password alone. */
  username?: string | undefined
  password?: string | undefined
  /** What a server that wants a password is answered with: how the caller is given one. */
  passwordHint?: string | undefined
  /** Used where `address.transport` is `tls`. */
  tls?: TlsSettings | undefined
  /** Connecting, and any silence of the server longer than this, fails. Milliseconds. */
  timeoutMs: number
  /** How long a server may be loading its data before it is given up. Default 30 minutes. */
  loadingWaitMs?: number | undefined
  /** Told each time that such a server is asked again in a while, but where a replication link
   * waits: that tells of all its waits itself. */
  onLoading?: ((error: LinkError, retryInMs: number) => void) | undefined
}

/** The settings of the connection that is opened now. Rejects with what `locate` rejects with. */
export async function located(
  settings: ServerSettings,
  signal?: AbortSignal,
): Promise<ServerSettings> {
  if (settings.locate === undefined) return settings
  const { host, port } = await settings.locate(signal)
  return { ...settings, locate: undefined, address: { ...settings.address, host, port } }
}

/** Where the connection is made to. */
export function dialledPlace({ address, addressMap }: ServerSettings): ServerPlace {
  return addressMap?.get(placeKey(address)) ?? address
}

/** Whose certificate is wanted; undefined: none by name. */
export function certifiedName(settings: ServerSettings): string | undefined {
  const { sni } = settings.tls ?? {}
  const names = [settings.address.host, dialledPlace(settings).host]
  return sni ?? names.find((name) => isIP(name) === 0)
}

export function placeKey({ host, port }: ServerPlace): string {
  return `${host}:${port}`
}

/** Where the caller has no better one. */
export const PASSWORD_HINT = 'give one with `password`'
export const DEFAULT_TIMEOUT_MS = 30_000
export const DEFAULT_LOADING_WAIT_MS = 30 * 60_000
export const DEFAULT_RETRIES = 5
