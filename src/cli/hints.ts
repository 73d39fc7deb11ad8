/** What to do about an error, where only the command line knows it: by what was typed. */
import type { RrepError } from '../errors.js'

/** The error's own hint, or a better one. */
export function hintOf(error: RrepError, argv: readonly string[]): string | undefined {
  if (error.code === 'ERR_HOST_NOT_FOUND') {
    const server = String(error.details['server'] ?? '')
    // `redis://name` or `name:6380` are meant as servers.
    const isBareName = argv.some((each) => `${each}:6379` === server)
    if (isBareName) return 'no file has this name either: check the spelling'
  }
  if (error.code === 'ERR_NO_DUCKDB') return NO_DUCKDB
  return error.hint
}

const NO_DUCKDB =
  'npm install -g @duckdb/node-api (beside an rrep of a project: there, without -g); or without it: ' +
  `rrep inspect FILE --csv | duckdb -c "select … from read_csv('/dev/stdin')"`
