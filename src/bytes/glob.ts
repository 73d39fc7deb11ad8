/**
 * Redis' glob patterns (`*`, `?`, `[a-z]`, `[^x]`, `\` escapes) on bytes, as KEYS and SCAN match
 * them. Compiled once; matching allocates nothing and takes at most pattern × text steps, so a
 * hostile pattern or key cannot make it hang.
 */

/** Does the pattern match bytes[start..end)? */
export type ByteMatcher = (bytes: Uint8Array, start: number, end: number) => boolean

const STAR = -1
const ANY = -2
/** Values from here down are classes: `CLASS - index`. */
const CLASS = -3

export function compileGlob(pattern: Uint8Array): ByteMatcher {
  const tokens: number[] = []
  const classes: Uint8Array[] = []
  let at = 0
  while (at < pattern.length) {
    const byte = pattern[at]!
    if (byte === 0x2a) {
      if (tokens.at(-1) !== STAR) tokens.push(STAR)
      at += 1
    } else if (byte === 0x3f) {
      tokens.push(ANY)
      at += 1
    } else if (byte === 0x5b) {
      const set = new Uint8Array(256)
      at = readClass(pattern, at + 1, set)
      tokens.push(CLASS - classes.length)
      classes.push(set)
    } else {
      // A backslash at the very end stands for itself.
      if (byte === 0x5c && at + 1 < pattern.length) at += 1
      tokens.push(pattern[at]!)
      at += 1
    }
  }
  return (bytes, start, end) => matches(tokens, classes, bytes, start, end)
}

/** Fills `set` from the class that begins at `at`; returns where the pattern goes on. */
function readClass(pattern: Uint8Array, at: number, set: Uint8Array): number {
  const negated = pattern[at] === 0x5e
  if (negated) at += 1
  // As the servers do: an unclosed class ends with the pattern.
  while (at < pattern.length && pattern[at] !== 0x5d) {
    if (pattern[at] === 0x5c && at + 1 < pattern.length) {
      set[pattern[at + 1]!] = 1
      at += 2
    } else if (pattern[at + 1] === 0x2d && at + 2 < pattern.length) {
      const from = Math.min(pattern[at]!, pattern[at + 2]!)
      const to = Math.max(pattern[at]!, pattern[at + 2]!)
      set.fill(1, from, to + 1)
      at += 3
    } else {
      set[pattern[at]!] = 1
      at += 1
    }
  }
  if (negated) for (let byte = 0; byte < 256; byte += 1) set[byte] = set[byte]! ^ 1
  return at + 1
}

function matches(
  tokens: readonly number[],
  classes: readonly Uint8Array[],
  bytes: Uint8Array,
  start: number,
  end: number,
): boolean {
  let token = 0
  let at = start
  // Where to go back to: behind the last star, with one byte more given to it.
  let starToken = -1
  let starAt = start
  while (at < end) {
    const want = token < tokens.length ? tokens[token]! : undefined
    if (want === STAR) {
      token += 1
      // The last star takes all that is left.
      if (token === tokens.length) return true
      starToken = token
      starAt = at
    } else if (
      want !== undefined &&
      (want === ANY || (want >= 0 ? want === bytes[at] : classes[CLASS - want]![bytes[at]!] === 1))
    ) {
      token += 1
      at += 1
    } else if (starToken >= 0) {
      token = starToken
      starAt += 1
      const next = tokens[token]!
      if (next >= 0) {
        // Nothing matches before the byte that has to come behind the star.
        while (starAt < end && bytes[starAt] !== next) starAt += 1
        if (starAt === end) return false
      }
      at = starAt
    } else {
      return false
    }
  }
  while (token < tokens.length && tokens[token] === STAR) token += 1
  return token === tokens.length
}
