/**
 * `--map-db 0:1` and `--rewrite-key s/^old:/new:/`: where a key goes, and under which name.
 *
 * Names are bytes; expressions see them as latin1, one character a byte, so that nothing is lost on
 * the way. Text in an expression outside ASCII is taken as its UTF-8 bytes.
 */
import { Buffer } from 'node:buffer'
import { UsageError } from '../errors.js'

export interface KeyMapping {
  /** False: names and dbs stay as they are. */
  readonly isActive: boolean
  readonly renames: boolean
  db(dbnum: number): number
  /** The name to write; the same bytes if nothing matches. */
  key(bytes: Uint8Array, start: number, end: number): Buffer
}

export interface KeyMappingOptions {
  mapDb?: ReadonlyMap<number, number> | undefined
  /** Applied one after the other. */
  rewriteKey?: readonly KeyRewriteRule[] | undefined
}

export interface KeyRewriteRule {
  pattern: RegExp
  /** As for String.replace: `$1`, `$&`. */
  replacement: string
}

export function compileKeyMapping(options: KeyMappingOptions = {}): KeyMapping {
  const mapDb = options.mapDb ?? new Map<number, number>()
  const rules = options.rewriteKey ?? []
  return {
    isActive: mapDb.size > 0 || rules.length > 0,
    renames: rules.length > 0,
    db: (dbnum) => mapDb.get(dbnum) ?? dbnum,
    key: (bytes, start, end) => {
      const own = Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start)
      if (rules.length === 0) return own
      const name = own.toString('latin1')
      let next = name
      for (const { pattern, replacement } of rules) next = next.replace(pattern, replacement)
      return next === name ? own : Buffer.from(next, 'latin1')
    },
  }
}

/** `s/pattern/replacement/flags`, with any character for `/`; flags g and i. */
export function parseRewriteRule(text: string): KeyRewriteRule {
  const delimiter = text[1]
  if (!text.startsWith('s') || delimiter === undefined || /[\w\s\\]/.test(delimiter)) {
    throw bad(text)
  }
  const parts: string[] = []
  let part = ''
  for (let i = 2; i < text.length; i += 1) {
    const char = text[i]!
    if (char === '\\' && i + 1 < text.length) {
      i += 1
      const next = text[i]!
      part += next === delimiter ? next : `\\${next}`
    } else if (char === delimiter) {
      parts.push(part)
      part = ''
    } else {
      part += char
    }
  }
  parts.push(part)
  const [pattern, replacement, flags] = parts
  if (parts.length !== 3 || pattern === '' || !/^[gi]*$/.test(flags!)) throw bad(text)
  try {
    return {
      pattern: new RegExp(asLatin1(pattern!), flags),
      // sed's \1 and & as JavaScript's; a $ is one.
      replacement: asLatin1(replacement!)
        .replace(/\$/g, '$$$$')
        .replace(/\\(\d)/g, '$$$1')
        .replace(/\\(.)|&/g, (all, escaped: string | undefined) => escaped ?? (all && '$&')),
    }
  } catch (error) {
    throw new UsageError(`not a regular expression: ${pattern!}`, { cause: error })
  }
}

/** `0:1` pairs. */
export function parseDbMapping(text: string): [from: number, to: number] {
  const found = /^(\d{1,9}):(\d{1,9})$/.exec(text.trim())
  if (found === null) {
    throw new UsageError(`not a mapping of databases: ${text}`, { hint: 'write FROM:TO, as 0:1' })
  }
  return [Number(found[1]), Number(found[2])]
}

function asLatin1(text: string): string {
  return Buffer.from(text, 'utf8').toString('latin1')
}

function bad(text: string): UsageError {
  return new UsageError(`not a rewriting of keys: ${text}`, {
    hint: 'write s/pattern/replacement/, as s/^old:/new:/',
  })
}
