/**
 * Replay of a damaged dump: whatever of it is sound is written, and what was lost is told.
 *
 * It is read twice, since a key may turn out to be damaged at its last byte: first for the damage,
 * then for the keys, without those. Commands behind the snapshot (of an AOF, an archive) are left
 * out: applied to keys that were lost they would make keys that never were.
 */
import { UsageError } from '../../errors.js'
import { findDamage } from '../../source/damage.js'
import { openRdbInput, type RdbInput } from '../../source/rdb-input.js'
import { pathOf } from '../../source/classify.js'
import { isReadOnce } from './checks.js'
import { keepInput } from './kept-input.js'
import type { ReplayOutcome, Salvaged } from './options.js'
import type { ReplaySession } from './session.js'
import { SnapshotFlow } from './snapshot-flow.js'

export async function replaySalvaged(session: ReplaySession): Promise<ReplayOutcome> {
  const { source, signal } = session.options
  if (source.kind === 'server') throw new UsageError('not a file')
  await session.meetTarget()
  const kept = isReadOnce(source) ? await keepInput(source, session.options) : undefined
  try {
    const name = kept?.name
    const path = kept?.path ?? pathOf(source)
    const damage = await readWith(session, path, async (rdb) =>
      findDamage(rdb, {
        file: name,
        signal,
        onProgress: (bytes) =>
          session.progress({
            phase: 'check',
            done: bytes,
            total: rdb.input.sizeBytes,
            unit: 'bytes',
          }),
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
  const rdb = await openRdbInput(path, session.options)
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
  const flow = await SnapshotFlow.open(session, rdb.input, {
    name,
    replaceOwn: false,
    streamFollows: false,
    validate: true,
    damage,
  })
  let behind = 0
  await flow.run({
    behind: (bytes) => {
      behind += bytes.length
      return Promise.resolve(true)
    },
  })
  if (behind > 0 || rdb.increments.length > 0) {
    const where = rdb.increments.length > 0 ? ` in ${rdb.increments.join(', ')}` : ''
    session.event({
      event: 'warning',
      message: `what follows the snapshot${where} is left out: only the snapshot is salvaged`,
    })
  }
}
