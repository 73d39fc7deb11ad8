/**
 * How a test starts rrep as a process of its own: the build where it is that of these sources (as
 * `npm test` makes sure), since it starts in a tenth of the time; else the sources, by tsx.
 */
import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'

const ROOT = join(import.meta.dirname, '../..')

/** Program and first arguments. */
export const rrepCommand: readonly string[] = isBuilt()
  ? [process.execPath, join(ROOT, 'bin/rrep.js')]
  : [process.execPath, '--import', 'tsx', join(import.meta.dirname, 'rrep-main.ts')]

function isBuilt(): boolean {
  const stamp = statSync(join(ROOT, 'dist/.built'), { throwIfNoEntry: false })
  if (stamp === undefined) return false
  for (const entry of readdirSync(join(ROOT, 'src'), { recursive: true, withFileTypes: true })) {
    if (!entry.isFile() || entry.name.includes('.generated.')) continue
    if (statSync(join(entry.parentPath, entry.name)).mtimeMs > stamp.mtimeMs) return false
  }
  return true
}
