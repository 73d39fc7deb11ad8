/**
 * `--regex`: the expression is the user's, but the names it is tried on are anybody's, and an
 * engine that backtracks can be held for hours by forty letters: '(a+)+$' by 'aaa…a!'.
 *
 * V8 has a second engine whose time grows with the text alone. It is slower, so it is asked to
 * take over only where a match has backtracked very often; what it cannot do (lookaround, back
 * references, huge counts) is refused, as grep's own engines and RE2 do. Measured over 200,000
 * names with three expressions, best of three: 0.2 s by V8 without these flags and with them, 2.6 s
 * by the linear engine alone.
 */
import { setFlagsFromString } from 'node:v8'
import { UsageError } from '../errors.js'

/** Longer ones do not fit V8's compiler, which says so only when it first matches. */
const MAX_CHARS = 10_000

/** V8's own flag: by the linear engine, or not at all. */
const LINEAR = 'l'

let isLinearKnown = false

export function parseRegex(text: string): RegExp {
  if (text.length > MAX_CHARS) {
    throw new UsageError(`a regular expression of ${text.length} letters is too long`, {
      hint: `at most ${MAX_CHARS}; --match takes globs, as often as you like`,
    })
  }
  let regex: RegExp
  try {
    // Of what is compiled from now on.
    allowLinear()
    regex = new RegExp(text)
    regex.test('')
  } catch (error) {
    throw new UsageError(`not a regular expression: ${text}`, { cause: error })
  }
  if (isLinearKnown && !isLinear(text)) {
    throw new UsageError('a regular expression of this kind could take for ever on some names', {
      hint: 'leave out lookaround (?=…) (?!…), back references \\1 and huge counts; --no-match excludes',
    })
  }
  return regex
}

function allowLinear(): void {
  setFlagsFromString('--enable-experimental-regexp-engine')
  setFlagsFromString('--enable-experimental-regexp-engine-on-excessive-backtracks')
  // A V8 without it takes no such letter.
  isLinearKnown = isLinear('a')
}

function isLinear(source: string): boolean {
  try {
    return new RegExp(source, LINEAR).flags === LINEAR
  } catch {
    return false
  }
}
