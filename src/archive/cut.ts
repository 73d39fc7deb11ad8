/**
 * The files of a moment by themselves, as a directory in multi-part form that ends there: what a server
 * loads without us comes to the state of that moment.
 */
import { createReadStream, createWriteStream, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { AofParser } from '../aof/aof-parser.js'
import { formatManifest, type Manifest } from '../aof/manifest.js'
import { writeFileAtomic } from '../disk/atomic-file.js'
import { fileError } from '../disk/file-error.js'
import { shareFile } from '../disk/share-file.js'
import { AbortedError, RrepError } from '../errors.js'
import { APPEND_DIR, baseName, incrName, MANIFEST } from './layout.js'
import { MomentGate } from './moment-gate.js'
import type { ArchiveState } from './state.js'

/** @param directory ours, and empty. Rejects with FileError, AofError, AbortedError. */
export async function cutAt(
  { moment, base, increments }: ArchiveState,
  directory: string,
  signal: AbortSignal | undefined,
): Promise<void> {
  const parts = join(directory, APPEND_DIR)
  mkdirSync(parts, { mode: 0o700 })
  const manifest: Manifest = { base: undefined, incrs: [], history: [] }
  if (base !== undefined) {
    manifest.base = { name: baseName(1), seq: 1, type: 'b' }
    shareFile(base.path, join(parts, baseName(1)))
  }
  const gate = new MomentGate(moment)
  let unixSeconds = -1
  for (const { path, startByteOffset } of increments) {
    gate.beginPart(startByteOffset)
    const end = await endOf(path, gate, unixSeconds, signal)
    unixSeconds = end.unixSeconds
    const seq = manifest.incrs.length + 1
    manifest.incrs.push({ name: incrName(seq), seq, type: 'i' })
    const to = join(parts, incrName(seq))
    // A server goes on writing into the last one.
    if (end.isOver || seq === increments.length) await copyBegin(path, to, end.byteOffset, signal)
    else shareFile(path, to)
    if (end.isOver) break
  }
  writeFileAtomic(join(parts, MANIFEST), formatManifest(manifest))
}

interface PartEnd {
  /** The moment ends in this file. */
  isOver: boolean
  /** Behind the last command of the moment, or transaction. */
  byteOffset: number
  unixSeconds: number
}

async function endOf(
  path: string,
  gate: MomentGate,
  unixSeconds: number,
  signal: AbortSignal | undefined,
): Promise<PartEnd> {
  const parser: AofParser = new AofParser(
    {
      command: (_command, at) => stopUnless(gate.command(at)),
      timestamp: (seconds) => stopUnless(gate.timestamp(seconds)),
      annotation: (line, at) => gate.annotation(line, at),
    },
    { file: path, unixSeconds },
  )
  function stopUnless(isWithin: boolean): void {
    if (!isWithin) parser.stop()
  }
  try {
    for await (const chunk of createReadStream(path, { signal })) {
      parser.push(chunk as Buffer)
      if (parser.stopped) break
    }
  } catch (error) {
    throw asKnown(error, path, 'read', signal)
  }
  const { stopped: isOver, validByteOffset, position } = parser
  return { isOver, byteOffset: validByteOffset, unixSeconds: position.unixSeconds }
}

async function copyBegin(
  from: string,
  to: string,
  bytes: number,
  signal: AbortSignal | undefined,
): Promise<void> {
  try {
    const begin = bytes === 0 ? [] : createReadStream(from, { end: bytes - 1 })
    await pipeline(begin, createWriteStream(to, { mode: 0o600 }), { signal })
  } catch (error) {
    throw asKnown(error, to, 'write', signal)
  }
}

function asKnown(
  error: unknown,
  path: string,
  what: 'read' | 'write',
  signal: AbortSignal | undefined,
): Error {
  if (signal?.aborted === true) return new AbortedError()
  return error instanceof RrepError ? error : fileError(path, what, error)
}
