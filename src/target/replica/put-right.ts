/**
 * A target that a load by replication left as a replica of nobody, or with its settings changed, is made
 * a master again with the settings that it had: at the end of each load, and of one that was killed by
 * the next run or by `replay --finish`. Does only what there is to do.
 */
import { TargetError } from '../../errors.js'
import { formatServerAddress } from '../../net/address.js'
import { ControlClient } from '../../net/control.js'
import { keyspaceOf, type InfoFields } from '../../net/info.js'
import type { ServerSettings } from '../../net/server-settings.js'
import { findRecord, forgetRecords } from './load-record.js'
import { readOncePassword, replidOfLoad, type ToldSettings } from './once-password.js'
import { putBack, readReplicaSettings, type ReplicaSettings } from './replica-settings.js'

export interface PutRight {
  /** Of the load that was left: all of it is there, nothing, or what is there is not known to be all. */
  readonly data: 'whole' | 'none' | 'part'
  readonly keys: number
  /** It had a password or a user for its own master, and what these were is recorded elsewhere. */
  readonly isIncomplete: boolean
}

/** A replica that heard of its master so lately is loaded right now. */
const AT_WORK_SECONDS = 5

/** Undefined: nothing was left there. Rejects with LinkError, AuthError, ProtocolError, TargetError (a
 * load is at work) or AbortedError. */
export async function putRight(
  server: ServerSettings,
  { stateDir, signal }: { stateDir: string; signal?: AbortSignal | undefined },
): Promise<PutRight | undefined> {
  const control = await ControlClient.open(atDb0(server), signal)
  try {
    const now = await readReplicaSettings(control)
    const told = now === undefined ? undefined : readOncePassword(now.masterauth)
    const name = formatServerAddress(server.address)
    if (now === undefined || told === undefined) {
      forgetRecords(stateDir, name)
      return undefined
    }
    const found = findRecord(stateDir, now.masterauth)
    const info = await control.info()
    if (found?.owner === 'alive' || (found?.owner !== 'dead' && isAtWork(info))) {
      throw new TargetError('ERR_TARGET_IN_USE', `a load into ${name} is at work`, {
        hint: 'stop it first: it puts everything right by itself',
      })
    }
    const before = found?.record.before ?? settingsOf(told, now)
    const isIncomplete = found === undefined && (told.hadPassword || told.hadUser)
    const after = await makeMaster(control, info, before)
    found?.remove()
    return { ...dataOf(after, now.masterauth), isIncomplete }
  } finally {
    control.close()
  }
}

/** The target as a master, with these settings. Resolves to its INFO then. */
export async function makeMaster(
  control: ControlClient,
  info: InfoFields,
  before: ReplicaSettings,
): Promise<InfoFields> {
  if (info.get('role') === 'slave') await control.call('SLAVEOF', 'NO', 'ONE')
  await putBack(control, before)
  return await control.info()
}

/** What a target has of the load with this password, once it is a master again. */
export function dataOf(info: InfoFields, password: string): Pick<PutRight, 'data' | 'keys'> {
  let keys = 0
  for (const count of keyspaceOf(info).values()) keys += count
  const replid = replidOfLoad(password)
  // It takes the name of its master's history when it has loaded all of it, and keeps it as the second.
  const isWhole = info.get('master_replid') === replid || info.get('master_replid2') === replid
  return { data: isWhole ? 'whole' : keys === 0 ? 'none' : 'part', keys }
}

function isAtWork(info: InfoFields): boolean {
  if (info.get('role') !== 'slave') return false
  if (info.get('master_link_status') === 'up') return true
  const lastIo = Number(info.get('master_sync_last_io_seconds_ago') ?? -1)
  return info.get('master_sync_in_progress') === '1' && lastIo >= 0 && lastIo < AT_WORK_SECONDS
}

/** Without a record: what is not a secret. */
function settingsOf(told: ToldSettings, now: ReplicaSettings): ReplicaSettings {
  return {
    masterauth: '',
    masteruser: now.masteruser === undefined ? undefined : '',
    disklessLoad:
      now.disklessLoad === undefined ? undefined : (told.disklessLoad ?? now.disklessLoad),
  }
}

export function atDb0(server: ServerSettings): ServerSettings {
  return { ...server, address: { ...server.address, db: 0 } }
}
