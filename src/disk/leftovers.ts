/** What killed processes left: found by the token in its name, removed only when that process has
 * certainly ended, or, where nobody can tell, has not written to it for a day. */
import { lstatSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import type { OwnerState } from './owner.js'

const FOREIGN_STALE_MS = 24 * 3600 * 1000

/** `stateOf` a name: undefined for what is none of ours. Never throws: what cannot be removed is
 * not in the way. A directory goes with what is in it, if it is the user's own. */
export function removeLeftovers(
  directory: string,
  stateOf: (name: string) => OwnerState | undefined,
): void {
  for (const name of namesIn(directory)) {
    const state = stateOf(name)
    if (state === undefined || state === 'alive') continue
    const path = join(directory, name)
    try {
      const stat = lstatSync(path)
      if (state === 'foreign' && Date.now() - stat.mtimeMs < FOREIGN_STALE_MS) continue
      if (!stat.isDirectory()) rmSync(path, { force: true })
      else if (state === 'dead' && isOurs(stat.uid)) rmSync(path, { recursive: true, force: true })
    } catch {
      // Another run cleared it, or it is not ours to remove.
    }
  }
}

function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory)
  } catch {
    // Whoever writes there will hear what is wrong with it.
    return []
  }
}

function isOurs(uid: number): boolean {
  const own = process.getuid?.()
  return own === undefined || own === uid
}
