/**
 * An archive goes back to an earlier place in its stream: what lies behind it a failover lost. It is
 * set aside in a file of its own, an append-only file like the others, then cut off.
 *
 * A process that dies in between leaves either all of it in the archive, or nothing.
 */
import { open, type FileHandle } from 'node:fs/promises'
import { existsSync, rmSync, truncateSync, unlinkSync } from 'node:fs'
import { fileError } from '../../disk/file-error.js'
import { WriteCounter } from '../../replication/lost-writes.js'
import { encodeCommand } from '../../resp/encoder.js'
import { lostName } from '../layout.js'
import { formatMark } from '../marks.js'
import { recoverPart, type RecoveredPart } from '../recovery.js'
import type { IncrRecord } from '../sidecar.js'
import type { ArchiveStore } from '../store.js'
import type { PartFiles } from './part-files.js'
import { PartWriter } from './part.js'

const COPY_BYTES = 1 << 20

/** What was set aside: so many writes, in that file; none where there are no writes. */
export interface LostPart {
  readonly writes: number
  readonly file: string | undefined
}

/**
 * To the last whole place up to this stream byte. Undefined, and nothing done, where the newest snapshot
 * lies behind it, or where what it would cut is not here any more. To be called while nothing arrives.
 */
export async function goBack(
  store: ArchiveStore,
  files: PartFiles,
  old: PartWriter,
  replOffset: number,
): Promise<{ lost: LostPart; part: PartWriter } | undefined> {
  await old.file.sync()
  const place = cutPlaceOf(store, replOffset)
  if (place === undefined) return undefined
  const lost = await setAside(store, place)
  await old.file.close()
  cutOff(store, place)
  const { record, part } = place
  const { dbnum, replid } = part
  store.sidecar.replid = replid
  const file = files.open(store.path(record.file), part.filePosition)
  const at = { storedReplOffset: part.replOffset, unstoredBytes: 0, dbnum, replid }
  return { lost, part: new PartWriter({ record, file }, files, at) }
}

interface CutPlace {
  /** The increment that it lies in, and those behind it. */
  record: IncrRecord
  later: readonly IncrRecord[]
  part: RecoveredPart
}

function cutPlaceOf(store: ArchiveStore, replOffset: number): CutPlace | undefined {
  const { timeline, currentBase } = store
  if (currentBase === undefined || currentBase.replOffset > replOffset) return undefined
  const incrs = timeline
    .slice(timeline.indexOf(currentBase) + 1)
    .filter((entry) => entry.kind === 'incr')
  const index = incrs.findLastIndex(({ startReplOffset }) => startReplOffset <= replOffset)
  const record = incrs[index]
  if (record === undefined) return undefined
  const later = incrs.slice(index + 1)
  // What lies in the repository only is not fetched for it: it stays, in front of a gap.
  if ([record, ...later].some(({ file }) => store.isAway(file))) return undefined
  const part = recoverPart(store.path(record.file), 0, replOffset)
  return { record, later, part }
}

/** Copies what lies behind the place. The files must be on disk as they are. */
async function setAside(store: ArchiveStore, { record, later, part }: CutPlace): Promise<LostPart> {
  const { replOffset, dbnum, replid, filePosition } = part
  let path = store.path(lostName(replid, replOffset + 1))
  for (let count = 2; existsSync(path); count += 1) {
    path = store.path(lostName(replid, replOffset + 1, count))
  }
  const counter = new WriteCounter('annotated')
  try {
    const to = await open(path, 'wx', 0o600)
    try {
      await to.appendFile(formatMark({ replOffset, dbnum, replid }))
      await to.appendFile(encodeCommand('SELECT', String(dbnum)))
      await copy(store.path(record.file), filePosition, to, counter)
      for (const { file } of later) await copy(store.path(file), 0, to, counter)
      await to.sync()
    } finally {
      await to.close()
    }
  } catch (error) {
    throw fileError(path, 'write', error)
  }
  const { writes } = counter
  if (writes === 0) rmSync(path, { force: true })
  return { writes, file: writes === 0 ? undefined : path }
}

/** The manifest first: what it names must be there. */
function cutOff(store: ArchiveStore, { record, later, part }: CutPlace): void {
  record.endReplOffset = undefined
  store.dropIncrements(later)
  const path = store.path(record.file)
  try {
    truncateSync(path, part.filePosition)
    for (const { file } of later) unlinkSync(store.path(file))
  } catch (error) {
    throw fileError(path, 'cut', error)
  }
}

async function copy(
  path: string,
  byteOffset: number,
  to: FileHandle,
  counter: WriteCounter,
): Promise<void> {
  const from = await open(path, 'r')
  try {
    const buffer = Buffer.allocUnsafe(COPY_BYTES)
    for (let at = byteOffset; ;) {
      const { bytesRead } = await from.read(buffer, 0, COPY_BYTES, at)
      if (bytesRead === 0) return
      counter.push(buffer, 0, bytesRead)
      await to.appendFile(buffer.subarray(0, bytesRead))
      at += bytesRead
    }
  } finally {
    await from.close()
  }
}
