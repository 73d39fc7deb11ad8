/** Files of the package itself, found wherever the code that asks was built to. */
import { existsSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** The path of `name` in the package's own folder. */
export function packageFile(name: string): string {
  let folder = dirname(fileURLToPath(import.meta.url))
  while (!existsSync(join(folder, 'package.json')) && folder !== dirname(folder)) {
    folder = dirname(folder)
  }
  return join(folder, name)
}

export function packageVersion(): string {
  const text = readFileSync(packageFile('package.json'), 'utf8')
  const parsed = JSON.parse(text) as { version: string }
  return parsed.version
}
