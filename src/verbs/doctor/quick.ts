/** The part of it that one INFO answers: before a backup. */
import { formatServerAddress } from '../../net/address.js'
import { ControlClient } from '../../net/control.js'
import { kindOfServer, type InfoFields } from '../../net/info.js'
import type { ServerSettings } from '../../net/server-settings.js'
import type { Check } from './options.js'
import { quickChecks } from './server-checks.js'

export interface QuickLook {
  readonly place: string
  readonly info: InfoFields
  readonly checks: readonly Check[]
}

/** Rejects with LinkError, AuthError, ProtocolError or AbortedError. */
export async function quickLook(
  settings: ServerSettings,
  signal: AbortSignal | undefined,
): Promise<QuickLook> {
  const client = await ControlClient.open(settings, signal, 'ask')
  try {
    const info = await client.info()
    const place = formatServerAddress(client.settings.address)
    const { family, version } = kindOfServer(info) ?? { family: 'redis', version: '?' }
    return { place, info, checks: quickChecks({ place, info, family, version }) }
  } finally {
    client.close()
  }
}
