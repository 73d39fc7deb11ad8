/** Where an archive is kept: in the directory of the user, or in a spool on its way into a repository. */
import { rmdirSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { ArchiveStore } from '../../archive/store.js'
import { Lock } from '../../disk/lock.js'
import { makeSpoolDirectory, spoolDirectory } from '../../disk/spool-directory.js'
import { UsageError } from '../../errors.js'
import { formatServerAddress } from '../../net/address.js'
import { nameOfBackups } from '../backup/name.js'
import type { ArchiveCall } from './options.js'
import { Shipping } from './shipping.js'

export const LOCK_FILE = 'rrep.lock'

export interface ArchivePlace {
  readonly dir: string
  readonly store: ArchiveStore
  readonly shipping: Shipping | undefined
  /** Lets others in; a spool that is empty goes. */
  close(): void
}

export async function openPlace(call: ArchiveCall): Promise<ArchivePlace> {
  const { server, ship, shipEveryMs, onEvent } = call
  const source = formatServerAddress(server.address)
  const dir = call.dir ?? spoolOf(call, source)
  if (call.dir === undefined) makeSpoolDirectory(dir)
  const store = new ArchiveStore(dir, source)
  store.create()
  const lock = Lock.take(join(dir, LOCK_FILE), { what: dir })
  const close = (): void => {
    lock.release()
    if (call.dir !== undefined) return
    removeEmpty(store.partsDir)
    removeEmpty(dir)
  }
  try {
    const name = nameOfBackups({ kind: 'server', server })
    const isAlone = call.dir === undefined
    if (!isAlone) store.load()
    const shipping =
      ship === undefined
        ? undefined
        : await Shipping.open(store, { ship, name, shipEveryMs, onEvent, isAlone })
    return { dir: isAlone ? shipping!.place : dir, store, shipping, close }
  } catch (error) {
    close()
    throw error
  }
}

/** The same for every run of this source into this repository. */
function spoolOf({ ship, spoolDir }: ArchiveCall, source: string): string {
  if (ship === undefined) throw new UsageError('an archive needs a place: `dir`, `ship` or both')
  const repository = /^[a-z0-9]+:\/\//i.test(ship) ? ship : resolve(ship)
  return spoolDirectory(spoolDir, `ship ${source} ${repository} `, Buffer.alloc(0))
}

function removeEmpty(dir: string): void {
  try {
    rmdirSync(dir)
  } catch {
    // What has not arrived is in it, or the next run has begun.
  }
}
