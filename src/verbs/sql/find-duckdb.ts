/** DuckDB is no part of rrep: 70 MB of machine code that few want. It is taken from where it is. */
import { createRequire } from 'node:module'
import { dirname, isAbsolute, join } from 'node:path'
import { ProtocolError } from '../../errors.js'

const PACKAGE = '@duckdb/node-api'

/**
 * The path to load it by: beside rrep, else among the global packages of npm. Never from the directory
 * at hand: who looks at a dump that came with a directory must not run what else is in it. Throws
 * ProtocolError.
 */
export function findDuckdb(from: readonly string[] = [import.meta.url, ...globalRoots()]): string {
  for (const place of from) {
    try {
      return createRequire(place).resolve(PACKAGE)
    } catch {
      // Not there: perhaps at the next.
    }
  }
  throw noDuckdb('DuckDB is not installed, and SQL is answered by it')
}

export function noDuckdb(message: string, cause?: unknown): ProtocolError {
  return new ProtocolError('ERR_NO_DUCKDB', message, {
    cause,
    hint: `npm install -g ${PACKAGE}, or without -g in the project that rrep is a part of`,
  })
}

/** Where `npm install -g` puts packages, each as a file there. */
function globalRoots(): string[] {
  const { env, platform, execPath } = process
  const isWindows = platform === 'win32'
  const prefixes = isWindows
    ? [env['APPDATA'] && join(env['APPDATA'], 'npm'), dirname(execPath)]
    : [dirname(dirname(execPath)), '/usr/local']
  return [env['npm_config_prefix'], ...prefixes]
    .filter((prefix) => prefix !== undefined && isAbsolute(prefix))
    .map((prefix) => join(prefix!, isWindows ? '' : 'lib', 'node_modules', '_'))
}
