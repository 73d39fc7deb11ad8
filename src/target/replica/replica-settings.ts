/**
 * The settings of a target that a load by replication changes, and puts back. `masterauth` is set
 * first and put back last: as long as anything is changed, it says so (once-password.ts).
 */
import type { ControlClient } from '../../net/control.js'

export interface ReplicaSettings {
  readonly masterauth: string
  /** Undefined: the server has none (before 6.0). */
  readonly masteruser: string | undefined
  /** How it loads what it replicates; undefined before 6.0. */
  readonly disklessLoad: string | undefined
}

const NAMES = ['masterauth', 'masteruser', 'repl-diskless-load'] as const

/** Undefined: CONFIG may not be asked. */
export async function readReplicaSettings(
  control: ControlClient,
): Promise<ReplicaSettings | undefined> {
  const found = new Map<string, string>()
  for (const name of NAMES) {
    const told = await control.configGet(name)
    if (told === undefined) return undefined
    const value = told.get(name)
    if (value !== undefined) found.set(name, value)
  }
  return {
    masterauth: found.get('masterauth') ?? '',
    masteruser: found.get('masteruser'),
    disklessLoad: found.get('repl-diskless-load'),
  }
}

/** @param isDiskless what comes may be loaded from the line, past the target's disk */
export async function setForLoad(
  control: ControlClient,
  before: ReplicaSettings,
  password: string,
  isDiskless: boolean,
): Promise<void> {
  await setConfig(control, 'masterauth', password)
  if ((before.masteruser ?? '') !== '') await setConfig(control, 'masteruser', '')
  if (isDiskless && before.disklessLoad === 'disabled') {
    await setConfig(control, 'repl-diskless-load', 'on-empty-db')
  }
}

export async function putBack(control: ControlClient, before: ReplicaSettings): Promise<void> {
  if (before.disklessLoad !== undefined) {
    await setConfig(control, 'repl-diskless-load', before.disklessLoad)
  }
  if (before.masteruser !== undefined) await setConfig(control, 'masteruser', before.masteruser)
  await setConfig(control, 'masterauth', before.masterauth)
}

async function setConfig(control: ControlClient, name: string, value: string): Promise<void> {
  await control.call('CONFIG', 'SET', name, value)
}
