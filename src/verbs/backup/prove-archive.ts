/**
 * The proof that a moment of a shipped archive can be brought back: what lies in the repository is fetched,
 * cut at that moment and loaded by a server of our own, as redis-server would load it without us, and that is
 * compared with what our own reading of the archive comes to, key by key.
 */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { cutAt } from '../../archive/cut.js'
import { momentOf, type Until } from '../../archive/moment.js'
import { openArchive } from '../../archive/reader.js'
import { makeTemporaryDir, removeTemporaryDir } from '../../disk/temporary-dir.js'
import { UsageError } from '../../errors.js'
import { fetchArchive, type StoredArchive } from '../../repository/archives.js'
import { proofName, type Proof } from '../../repository/proof.js'
import { startScratchServer } from '../../source/scratch-server.js'
import { diff } from '../diff/run.js'
import { magicOf } from './files.js'
import { notProven, startedToLoad, type ProveOptions } from './prove.js'

export interface ProveArchiveOptions extends ProveOptions {
  /** The moment. Default: a random second of what it covers. */
  until?: Until
  /** 0…1, below 1. Default: `Math.random`. */
  random?: (() => number) | undefined
}

/** Rejects as `prove`, and with UsageError where the archive covers no moment yet. */
export async function proveArchive(
  archive: StoredArchive,
  options: ProveArchiveOptions,
): Promise<Proof> {
  const { store, path, directory: place } = archive
  const { signal, withServer } = options
  const until = options.until ?? randomMoment(archive, options.random ?? Math.random)
  const directory = makeTemporaryDir('rrep-prove-')
  try {
    const startedMs = performance.now()
    const [fetched, cut] = [join(directory, 'fetched'), join(directory, 'cut')]
    mkdirSync(fetched, { mode: 0o700 })
    mkdirSync(cut, { mode: 0o700 })
    await fetchArchive(store, path, momentOf(until), fetched, signal)
    const state = openArchive(fetched).at(momentOf(until))
    await cutAt(state, cut, signal)
    const magic = state.base === undefined ? undefined : magicOf(state.base.path)
    const server = await startedToLoad(place, async () =>
      startScratchServer({ program: withServer, signal, aof: { directory: cut, magic } }),
    )
    try {
      const loadedMs = performance.now()
      const result = await diff({ kind: 'directory', path: fetched }, server.settings, {
        until: { a: until },
        withServer,
        signal,
        limit: 1,
        onProgress: ({ done, total, unit }) =>
          options.onProgress?.({ phase: 'prove', done, total, unit }),
      })
      if (!result.same) {
        const what = result.trusted
          ? `${result.keysDifferent} keys of the server that loaded it differ`
          : 'not all of its commands could be applied'
        throw notProven(place, `${momentText(until)}: ${what}`)
      }
      const at = new Date()
      const proof: Proof = {
        provenAt: at.toISOString(),
        id: archive.id,
        server: server.description,
        keys: result.a.keys,
        expired: result.keysExpired,
        restoreMs: Math.round(loadedMs - startedMs),
        compareMs: Math.round(performance.now() - loadedMs),
        moment: momentText(until),
      }
      await store.put([...path, proofName(at)], `${JSON.stringify(proof, undefined, 2)}\n`)
      return proof
    } finally {
      await server.stop()
    }
  } finally {
    removeTemporaryDir(directory)
  }
}

/** Each second of all windows is as likely as any other. */
function randomMoment({ windows, directory }: StoredArchive, random: () => number): Until {
  const seconds = windows.map(({ fromMs, toMs }) => {
    const from = Math.ceil(fromMs / 1000)
    return { from, count: Math.max(1, Math.floor(toMs / 1000) - from + 1) }
  })
  const all = seconds.reduce((sum, { count }) => sum + count, 0)
  if (all === 0) throw new UsageError(`${directory} covers no moment yet`)
  let chosen = Math.min(all - 1, Math.floor(random() * all))
  for (const { from, count } of seconds) {
    if (chosen < count) return { unixMs: (from + chosen) * 1000 }
    chosen -= count
  }
  throw new RangeError('no second was chosen')
}

function momentText(until: Until): string {
  if (until === undefined) return 'end'
  return 'offset' in until ? `offset:${until.offset}` : new Date(until.unixMs).toISOString()
}
