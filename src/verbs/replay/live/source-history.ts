/** What a live source says of its own history, asked beside the link. */
import { AbortedError, LinkError } from '../../../errors.js'
import { ControlClient } from '../../../net/control.js'
import type { ServerSettings } from '../../../net/server-settings.js'
import type { Checkpoint } from '../../../target/checkpoint.js'

type Info = ReadonlyMap<string, string>

/** How far the source has come; undefined where it does not say. */
export async function askSource(
  source: ServerSettings,
  signal: AbortSignal | undefined,
): Promise<number | undefined> {
  // Who may not ask must believe what has come.
  return await askReplication(source, signal, undefined, (info) =>
    Number(info.get('master_repl_offset') ?? -1),
  )
}

/** The checkpoint was written by a replay from another address: of the same history, where this
 * server was promoted since, or the addresses are two names of one server. */
export async function isSameHistory(
  found: Checkpoint,
  source: ServerSettings,
  signal: AbortSignal | undefined,
): Promise<boolean> {
  if (!found.source.startsWith('server:') || found.replid === '') return false
  return await askReplication(
    source,
    signal,
    false,
    (info) =>
      info.get('master_replid') === found.replid ||
      (info.get('master_replid2') === found.replid &&
        Number(info.get('second_repl_offset') ?? -1) >= found.nextReplOffset),
  )
}

/** `denied` where the source refuses to say. */
async function askReplication<T, D>(
  source: ServerSettings,
  signal: AbortSignal | undefined,
  denied: D,
  read: (info: Info) => T,
): Promise<T | D> {
  const control = await ControlClient.open(source, signal)
  try {
    return read(await control.info('replication'))
  } catch (error) {
    if (error instanceof LinkError || error instanceof AbortedError) throw error
    return denied
  } finally {
    control.close()
  }
}
