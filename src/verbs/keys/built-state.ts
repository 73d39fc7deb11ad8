/**
 * The state that an AOF or an archive comes to, in a scratch server: our own replay of it, at whose
 * end expiry stays held back. So a key whose time has passed since is still there, with its time
 * (plus `shiftMs`), as it would be in a snapshot.
 */
import { randomBytes } from 'node:crypto'
import { closeSync, openSync, readSync } from 'node:fs'
import { momentOf } from '../../archive/moment.js'
import { openArchive } from '../../archive/reader.js'
import { AbortedError, UsageError } from '../../errors.js'
import type { LedgerReport } from '../../target/ledger.js'
import type { ServerFamily } from '../../servers/capabilities.js'
import { capabilitiesOfWriter } from '../../rewrite/writing-server.js'
import type { WarningEvent } from '../../source/progress.js'
import type { ReplayOptions, ReplayProgress } from '../replay/options.js'
import { replayFiles } from '../replay/files.js'
import { ReplaySession } from '../replay/session.js'
import { kindOf } from '../../source/source.js'
import { startScratchServer, type ScratchServer } from '../../source/scratch-server.js'
import { deleteKeys } from '../../source/slot-keys.js'
import { slotSet } from '../../topology/key-slot.js'
import { statOf } from '../../disk/stat.js'

export interface BuildOptions {
  /** A file, a directory in multi-part form, or its manifest. */
  path: string
  /** For messages. Default: the path. */
  name?: string | undefined
  until?: ReplayOptions['until']
  /** The server's program; by default looked for in PATH. */
  withServer?: string | undefined
  signal?: AbortSignal | undefined
  onProgress?: ((progress: ReplayProgress) => void) | undefined
  onEvent?: ((event: WarningEvent) => void) | undefined
}

export interface BuiltState {
  readonly server: ScratchServer
  /** Carried by every time in the server; 0: none is. */
  readonly shiftMs: number
  /** False: something could not be written, so that the state is not wholly that of the source. */
  readonly complete: boolean
  readonly ledger: LedgerReport
  /** Where it ends in the source, where that has offsets. */
  readonly replOffset: number | undefined
}

/** Rejects with InputError, FileError, UsageError, ProtocolError or AbortedError. The caller stops
 * the server. */
export async function buildState(options: BuildOptions): Promise<BuiltState> {
  const source = sourceOf(options.path)
  const server = await startScratchServer({
    program: options.withServer,
    family: familyOf(source, options.until),
    signal: options.signal,
  })
  const session = new ReplaySession(
    {
      source,
      target: server.settings,
      // It is here or it is gone.
      retries: 0,
      until: options.until,
      // One of an earlier replay that the source holds is a key like others.
      checkpointKey: `rrep:built:${randomBytes(16).toString('hex')}`,
      signal: options.signal,
      onProgress: options.onProgress,
      onEvent: (event) => {
        if (event.event === 'warning') options.onEvent?.(event)
      },
    },
    {
      keepHeld: true,
      deleteSlots: async (slots) => {
        const gone = slotSet(slots)
        await deleteKeys(server.settings, (_key, slot) => gone[slot] === 1, options.signal)
      },
    },
  )
  // Whatever a script does there, an interruption ends it with its server.
  const onAbort = (): void => void server.stop()
  options.signal?.addEventListener('abort', onAbort, { once: true })
  try {
    const { replOffset } = await replayFiles(session)
    if (options.until !== undefined && session.streamWriter === undefined) {
      throw new UsageError(
        `${options.name ?? options.path} is a snapshot: it has one moment only`,
        {
          hint: 'leave out `until`, which is for AOFs and archives',
        },
      )
    }
    return {
      server,
      shiftMs: session.expiry.shiftMs,
      complete: session.ledger.isComplete,
      ledger: session.ledger.report(),
      replOffset,
    }
  } catch (error) {
    await server.stop()
    if (options.signal?.aborted === true) throw new AbortedError()
    throw error
  } finally {
    options.signal?.removeEventListener('abort', onAbort)
    session.close()
  }
}

type FileSource = { kind: 'file'; path: string } | { kind: 'directory'; path: string }

function sourceOf(path: string): FileSource {
  const isDirectory = statOf(path)?.isDirectory() === true
  return { kind: isDirectory ? 'directory' : 'file', path }
}

/** Who wrote it, by the head of its base: types of one family are unknown to the other. */
function familyOf(source: FileSource, until: ReplayOptions['until']): ServerFamily {
  const file = source.kind === 'file' ? source.path : firstOf(source.path, until)
  if (file === undefined) return 'redis'
  const fd = tryOpen(file)
  // The replay says what is wrong with it.
  if (fd === undefined) return 'redis'
  try {
    const buffer = Buffer.alloc(1024)
    const head = buffer.subarray(0, readSync(fd, buffer, 0, buffer.length, 0))
    return kindOf(head) === 'vcs' ? 'valkey' : capabilitiesOfWriter(head).family
  } finally {
    closeSync(fd)
  }
}

function firstOf(path: string, until: ReplayOptions['until']): string | undefined {
  const { base, increments } = openArchive(path).at(momentOf(until))
  return base?.path ?? increments[0]?.path
}

function tryOpen(path: string): number | undefined {
  try {
    return openSync(path, 'r')
  } catch {
    return undefined
  }
}
