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
  return error.hint
}
