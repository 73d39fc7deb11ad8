/**
 * The names in an archive, and nothing but names.
 *
 *   DIR/rrep.lock
 *   DIR/appendonlydir/appendonly.aof.manifest     what a server loads: the newest base, and what
 *                                                 came after it
 *   DIR/appendonlydir/appendonly.aof.<n>.base.rdb, appendonly.aof.<n>.incr.aof
 *   DIR/appendonlydir/rrep.json                   the sidecar: every base, increment and gap
 *   DIR/appendonlydir/rrep-before-<n>.manifest    what a server would have loaded before base n:
 *                                                 put in the manifest's place (of a copy), it
 *                                                 brings back older states
 *   DIR/appendonlydir/rrep-ship.json              the name of its copy in a repository, where it has one
 *   DIR/appendonlydir/rrep-lost-<id>-<offset>.aof what a failover lost, from that offset on: the archive
 *                                                 was cut back to what the new master has
 *
 * A server's own directory looks the same, without what begins with `rrep`; its names follow
 * `appendfilename` and `appenddirname`.
 */
import { manifestName } from '../aof/manifest.js'

export const APPEND_DIR = 'appendonlydir'
export const APPEND_FILE = 'appendonly.aof'
export const MANIFEST = manifestName(APPEND_FILE)
export const SIDECAR = 'rrep.json'
/** What the copy of a directory is called, from its first time on. */
export const SHIPPED_ID = 'rrep-ship.json'

const MANIFEST_SUFFIX = '.manifest'
const BEFORE = /^rrep-before-(\d{1,15})\.manifest$/
const PART = /^appendonly\.aof\.(\d{1,15})\.(base\.rdb|incr\.aof)$/
/** Servers delete what begins so, and so do we. */
const TEMPORARY = 'temp-'

export function baseName(seq: number): string {
  return `${APPEND_FILE}.${seq}.base.rdb`
}

export function incrName(seq: number): string {
  return `${APPEND_FILE}.${seq}.incr.aof`
}

/** A temporary that we made: its name without the prefix is one of ours. */
export function isOwnTemporary(name: string): boolean {
  if (!isTemporary(name)) return false
  const rest = name.slice(TEMPORARY.length)
  return isOfArchive(rest) || rest === `${SIDECAR}.soon`
}

/** A name as those that an archive can be put together from, and is put together from them again. */
export function isOfArchive(name: string): boolean {
  const isPart = parsePartName(name) !== undefined || seqOfBefore(name) !== undefined
  return isPart || name === MANIFEST || name === SIDECAR || name === SHIPPED_ID
}

export function temporaryName(name: string): string {
  return `${TEMPORARY}${name}`
}

export function isTemporary(name: string): boolean {
  return name.startsWith(TEMPORARY)
}

/** Name of the manifest of what was loadable before base `seq`. */
export function beforeName(seq: number): string {
  return `rrep-before-${seq}${MANIFEST_SUFFIX}`
}

/** Where that is kept of the history `replid` which was lost from `fromReplOffset` on. `count`: of a run
 * that was killed and cuts again, so that what the first has set aside stays. */
export function lostName(replid: string, fromReplOffset: number, count = 1): string {
  const again = count === 1 ? '' : `-${count}`
  return `rrep-lost-${replid.slice(0, 8)}-${fromReplOffset}${again}.aof`
}

/** The `n` of `rrep-before-<n>.manifest`, or undefined. */
export function seqOfBefore(name: string): number | undefined {
  const match = BEFORE.exec(name)
  return match === null ? undefined : Number(match[1])
}

/** What a name says that is formed as ours are. */
export function parsePartName(name: string): { kind: 'base' | 'incr'; seq: number } | undefined {
  const match = PART.exec(name)
  if (match === null) return undefined
  return { kind: match[2] === 'base.rdb' ? 'base' : 'incr', seq: Number(match[1]) }
}

/** The manifest of a set, as opposed to what we keep beside it and to half-written ones. */
export function isManifest(name: string): boolean {
  return name.endsWith(MANIFEST_SUFFIX) && !BEFORE.test(name) && !isTemporary(name)
}

/** A name is no path: what a sidecar or a manifest lists lies in its own directory. */
export function isPlainName(name: string): boolean {
  return name !== '' && name !== '.' && name !== '..' && !/[/\\\0]/.test(name)
}
