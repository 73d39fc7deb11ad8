/**
 * Replay of a damaged dump: whatever of it is sound is written, and what was lost is told.
 *
 * It is read twice, since a key may turn out to be damaged at its last byte: first for the damage,
 * then for the keys, without those. Commands behind the snapshot (of an AOF, an archive) are left
 * out: applied to keys that were lost they would make keys that never were.
 */
import { UsageError } from '../../errors.js'
import { findDamage } from '../../source/damage.js'
import { inKernel, openRdbInput, type RdbInput } from '../../source/rdb-input.js'
import { PieceSize } from '../../bytes/piece-size.js'
import { isReadOnce } from './checks.js'
import { keepInput } from './kept-input.js'
import type { ReplayOutcome, Salvaged } from './options.js'
import type { ReplaySession } from './session.js'

export async function replaySalvaged(session: ReplaySession): Promise<ReplayOutcome> {
  const { source, signal } = session.options
  if (source.kind === 'server') throw new UsageError('not a file')
  await session.meetTarget()
  const kept = isReadOnce(source) ? await keepInput(source, signal) : undefined
  try {
    const name = kept?.name
    const path = kept?.path ?? (source.kind === 'stdin' ? '-' : source.path)
    const damage = await readWith(session, path, async (rdb) =>
      findDamage(rdb, {
        file: name,
        signal,
        onProgress: (bytes) =>
          session.progress({ phase: 'check', bytes, totalBytes: rdb.input.sizeBytes }),
      }),
    )
    if (session.isToBeEmptied) await session.emptyTarget()
    await readWith(session, path, async (rdb) => load(session, rdb, name ?? rdb.name, damage))
    return { replOffset: undefined, stopped: false, salvaged: damage }
  } finally {
    kept?.remove()
  }
}

async function readWith<T>(
  session: ReplaySession,
  path: string,
  read: (rdb: RdbInput) => Promise<T>,
): Promise<T> {
  const rdb = await openRdbInput(path, { signal: session.options.signal })
  try {
    return await read(rdb)
  } finally {
    rdb.close()
  }
}

async function load(
  session: ReplaySession,
  rdb: RdbInput,
  name: string,
  damage: Salvaged,
): Promise<void> {
  const keys = await session.openSnapshot(false)
  const loader = session.makeLoader(keys, name, {
    replaceOwn: false,
    streamFollows: false,
    validate: true,
    damage,
  })
  const buffer = session.inputBuffer(keys)
  const pieces = new PieceSize(keys.commands.out)
  const { input } = rdb
  let behind = 0
  await input.pump(
    async (bytes) => {
      const chunk = inKernel(bytes, buffer)
      for (let at = 0; at < chunk.length;) {
        const piece = chunk.subarray(at, at + pieces.bytes)
        const taken = loader.push(piece)
        pieces.loaded(taken)
        at += piece.length
        behind += piece.length - taken
        if (loader.functions.length > 0 || loader.scripts.length > 0) {
          await session.loadFunctions(loader)
        }
        await keys.drain()
      }
      session.progress({ phase: 'load', bytes: input.consumedBytes, totalBytes: input.sizeBytes })
      return undefined
    },
    { signal: session.options.signal, buffer },
  )
  loader.parser.end()
  session.noteSource(loader)
  await session.loadFunctions(loader)
  await keys.flush()
  await session.endSnapshot()
  session.event({ event: 'loaded', keys: session.ledger.totals.written })
  if (behind > 0 || rdb.increments.length > 0) {
    const where = rdb.increments.length > 0 ? ` in ${rdb.increments.join(', ')}` : ''
    session.event({
      event: 'warning',
      message: `what follows the snapshot${where} is left out: only the snapshot is salvaged`,
    })
  }
}
