/**
 * An archive that lies in a repository only is written through a spool, a directory that may be gone with the
 * machine: whose turn it is to write says the sidecar there. A spool that is still here goes on; one that is
 * gone, and had sent all, is followed by the next, at the same byte. Two never write to the same archive.
 */
import { randomBytes } from 'node:crypto'
import { formatManifest } from '../aof/manifest.js'
import { APPEND_DIR, MANIFEST, SIDECAR } from '../archive/layout.js'
import { readSidecar } from '../archive/manifest-set.js'
import { noteShippedId, shippedIdOf } from '../archive/shipping.js'
import { formatSidecar, type Sidecar, type Spooled } from '../archive/sidecar.js'
import type { ArchiveStore } from '../archive/store.js'
import { generationsOf, manifestOf } from '../archive/timeline.js'
import { writeFileAtomic } from '../disk/atomic-file.js'
import type { Store } from '../storage/store.js'
import { archivesOf, fetchPart, sidecarAt, type StoredArchive } from './archives.js'

/**
 * Loads the archive in a spool, or what it goes on from: nothing, where there is nothing. Resolves with what
 * users are to know. Rejects as the store does, or with FileError.
 */
export async function takeOver(
  archive: ArchiveStore,
  store: Store,
  name: string,
): Promise<string | undefined> {
  const message = (await isOurTurn(archive, store, name))
    ? undefined
    : await followOther(archive, store, name)
  archive.load()
  archive.sidecar.spooled = { ...(archive.sidecar.spooled ?? newSpool()), ended: false }
  return message
}

/** False: nothing is in it, or all of it arrived, and the next one may have gone on since. */
async function isOurTurn(archive: ArchiveStore, store: Store, name: string): Promise<boolean> {
  const { sidecar: here, problem } = readSidecar(archive.partsDir)
  if (problem !== undefined) return true
  if (here === undefined || here.timeline.length === 0) return false
  const there = await sidecarAt(store, [name, shippedIdOf(archive)])
  if (typeof there !== 'object' || there.spooled === undefined) return true
  return !there.spooled.ended && there.spooled.by === here.spooled?.by
}

async function followOther(
  archive: ArchiveStore,
  store: Store,
  name: string,
): Promise<string | undefined> {
  archive.clear()
  archive.create()
  const all = await archivesOf(store, name)
  const last = all.findLast(({ sidecar }) => sidecar.spooled !== undefined)
  if (last === undefined) return undefined
  if (last.sidecar.spooled?.ended !== true) {
    return (
      `${last.directory} was not ended, and its spool is not here: its run may still be writing ` +
      'to it. A new archive begins beside it'
    )
  }
  await follow(archive, last)
  return undefined
}

/** The increment that it ended with is fetched: the rest is away. */
async function follow(archive: ArchiveStore, from: StoredArchive): Promise<void> {
  const { store, path, id, sidecar } = from
  const last = sidecar.timeline.at(-1)
  if (last?.kind !== 'incr') return
  const spooled = newSpool()
  // First of all: from now on it is nobody else's turn.
  await store.put([...path, APPEND_DIR, SIDECAR], formatSidecar({ ...sidecar, spooled }))
  await fetchPart(from, last.file, archive.path(last.file), undefined)
  noteShippedId(archive, id)
  const files = sidecar.timeline.flatMap((entry) => (entry.kind === 'gap' ? [] : [entry.file]))
  const away = files.filter((file) => file !== last.file)
  const copy: Sidecar = { ...sidecar, away, spooled }
  // Those that the repository has of them are read there.
  delete copy.hashes
  const manifest = formatManifest(manifestOf(generationsOf(sidecar.timeline).at(-1)))
  writeFileAtomic(archive.path(MANIFEST), manifest)
  writeFileAtomic(archive.path(SIDECAR), formatSidecar(copy))
}

function newSpool(): Spooled {
  return { by: randomBytes(8).toString('hex'), ended: false }
}
