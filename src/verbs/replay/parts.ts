/**
 * Which files a replay reads, in which order: a file by itself, or what the archive's reader says
 * comes to the moment asked for. Also what can be told of files before they are replayed: their
 * name in a checkpoint, and whether commands may stand behind an RDB.
 */
import { isShardDirectory } from '../../source/shards.js'
import { createHash } from 'node:crypto'
import { resolve } from 'node:path'
import { momentOf, type Moment } from '../../archive/moment.js'
import { openArchive } from '../../archive/reader.js'
import { refuseWithoutTimes } from '../../archive/times.js'
import { FileError, UsageError } from '../../errors.js'
import { openInput, type ByteInput } from '../../source/source.js'
import { isPipe } from '../../source/stored-pipe.js'
import type { ReplayCall } from './options.js'
import { statOf } from '../../disk/stat.js'

export interface ReplayPart {
  path: string
  /** `single`: a file by itself. */
  role: 'single' | 'base' | 'incr'
  /** Bytes of the parts before it. */
  startByteOffset: number
  /** Held open from the start, since an archive may be pruned while it is read. Undefined where
   * there are too many for that, and for what can be read once only. */
  input: ByteInput | undefined
}

export interface ReplayParts {
  parts: readonly ReplayPart[]
  moment: Moment
  /** Where a time is asked for: it is known that the commands have some. */
  areTimesChecked: boolean
  /** What is not as it should be, in words. */
  problems: readonly string[]
}

const MAX_OPEN = 200

/** Opens them; the caller closes. Throws FileError, AofError or UsageError. */
export async function openParts(options: ReplayCall): Promise<ReplayParts> {
  const { source, until, identity, signal } = options
  const moment = momentOf(until)
  const single = (path: string, input?: ByteInput, areTimesChecked = false): ReplayParts => {
    return { parts: [singlePart(path, input)], moment, areTimesChecked, problems: [] }
  }
  if (source.kind === 'server') throw new UsageError('not a file')
  if (source.kind === 'stdin') return single('-')
  if (source.kind === 'directory' && isShardDirectory(source.path)) {
    return single(source.path, await openInput(source.path, { identity, signal }))
  }
  if (source.kind === 'file') {
    if (isPipe(source.path)) return single(source.path)
    const input = await openInput(source.path, { identity, signal })
    if (input.kind !== 'manifest') {
      const hasCommands = input.kind === 'aof' || hasPreambleMark(input)
      const isPlain = hasCommands && input.compression === 'none'
      if (isPlain) refuseWithoutTimes([source.path], moment, source.path)
      return single(source.path, input, isPlain)
    }
    input.close()
  }
  try {
    return await openArchiveParts(source.path, options)
  } catch (error) {
    // It was pruned between the reading of its timeline and the opening of its files.
    if (!(error instanceof FileError) || error.code !== 'ERR_NO_SUCH_FILE') throw error
    return await openArchiveParts(source.path, options)
  }
}

async function openArchiveParts(path: string, options: ReplayCall): Promise<ReplayParts> {
  const archive = openArchive(path)
  const moment = momentOf(options.until)
  const parts: ReplayPart[] = []
  const add = (file: string, role: 'base' | 'incr', startByteOffset: number): void => {
    parts.push(part(file, role, startByteOffset, undefined))
  }
  if (options.fromMs === undefined) {
    const { base, increments } = archive.at(moment)
    if (base !== undefined) add(base.path, 'base', 0)
    for (const each of increments) add(each.path, 'incr', each.startByteOffset)
  } else {
    for (const each of archive.increments) add(each.path, 'incr', each.startByteOffset)
  }
  try {
    for (const each of parts.slice(0, MAX_OPEN)) {
      each.input = await openInput(each.path, { signal: options.signal })
    }
  } catch (error) {
    closeParts(parts)
    throw error
  }
  return { parts, moment, areTimesChecked: true, problems: archive.problems }
}

export function closeParts(parts: readonly ReplayPart[]): void {
  for (const each of parts) each.input?.close()
}

export function singlePart(path: string, input?: ByteInput): ReplayPart {
  return part(path, 'single', 0, input)
}

function part(
  path: string,
  role: ReplayPart['role'],
  startByteOffset: number,
  input: ByteInput | undefined,
): ReplayPart {
  return { path, role, startByteOffset, input }
}

/** Commands stand in the source, or may: behind keys, or alone. */
export async function hasCommands(options: ReplayCall): Promise<boolean> {
  const { parts } = await openParts(options)
  try {
    const input = parts[0]?.input
    return (
      parts.length > 1 || (input !== undefined && (input.kind === 'aof' || hasPreambleMark(input)))
    )
  } finally {
    closeParts(parts)
  }
}

/** AUX `aof-preamble` (4.0 to 6.2) or `aof-base` (7.0) of 1, as a string in one byte: commands may
 * stand behind the RDB. A dump has them, too, and says 0. */
const PREAMBLE_MARKS = ['aof-preamble', 'aof-base'].map((name) => `${name}\xc0\x01`)

export function hasPreambleMark(input: ByteInput): boolean {
  // A pipe cannot be read twice; its commands, if any, begin where the RDB ends.
  if (input.sizeBytes === undefined || input.compression !== 'none') return false
  const text = input.head.toString('latin1')
  return PREAMBLE_MARKS.some((mark) => text.includes(mark))
}

/** The same source, the same name: it stands in the checkpoint. By the first file alone, since an
 * archive may grow by more increments between two runs. */
export function nameOfParts(parts: readonly ReplayPart[]): string {
  const hash = createHash('sha1')
  const [first] = parts
  if (first !== undefined && first.path !== '-') {
    hash.update(`${resolve(first.path)}\n`)
    // Increments grow; a base that has another size is another base.
    if (first.role !== 'incr') {
      hash.update(String(statOf(first.path)?.size ?? 0))
    }
  }
  return hash.digest('hex').slice(0, 20)
}
