/** Directories of our own for a while, which nobody else may enter: in TMPDIR, as tools have it. */
import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { FileError } from '../errors.js'

/** `prefix` such as `rrep-diff-`. The caller removes it. Throws FileError. */
export function makeTemporaryDir(prefix: string, parent: string = tmpdir()): string {
  try {
    // For its owner only.
    return mkdtempSync(join(parent, prefix))
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? 'failed'
    throw new FileError(
      'ERR_NO_TEMPORARY_DIR',
      `cannot make a temporary directory in ${parent}: ${code}`,
      { cause: error, hint: 'name a directory with room, that you may write to, in TMPDIR' },
    )
  }
}
