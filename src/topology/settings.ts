/** From any address of a server, or of what Sentinels watch, to the settings of its connections. */
import { makeServerSettings, type ServerWishes } from '../net/make-server-settings.js'
import type { ServerSettings } from '../net/server-settings.js'
import { isSentinelAddress, parseSentinelAddress, unlocated } from './sentinel-address.js'
import { hidingName, locate } from './sentinel.js'

export interface DeploymentWishes extends ServerWishes {
  /** Sentinels have users and passwords of their own. */
  sentinelUsername?: string | undefined
  sentinelPassword?: string | undefined
}

/**
 * Each connection that is opened with the settings of a Sentinel's master goes to who is the master
 * then. Throws UsageError for a bad address or combination, FileError for an unreadable file.
 */
export function settingsOf(text: string, wishes: DeploymentWishes = {}): ServerSettings {
  if (!isSentinelAddress(text)) return makeServerSettings(text, wishes)
  const address = parseSentinelAddress(text)
  const { isTls, username, password } = address
  const base = makeServerSettings(isTls ? 'rediss://-' : 'redis://-', {
    ...wishes,
    username: wishes.username ?? username,
    password: wishes.password ?? password,
  })
  const server = { ...base, address: { ...unlocated(address), transport: base.address.transport } }
  const { sentinelUsername, sentinelPassword } = wishes
  const who = { address, server, username: sentinelUsername, password: sentinelPassword }
  return {
    ...server,
    isWatched: true,
    locate: async (signal) => await locate(who, signal),
    hidingName: async (signal) => await hidingName(who, signal),
  }
}
