/**
 * The manifest of a multi-part append-only file: which files, in which order.
 *
 *   file <name> seq <n> type <b|i|h> [startoffset <n>] [endoffset <n>]\n
 *
 * Read as strictly as servers read it (a manifest that we take, they take), and written as they
 * write it. Source of the rules: redis 7.2 src/aof.c, aofLoadManifestFromFile.
 */
import { Buffer } from 'node:buffer'
import { AofError } from '../errors.js'

export interface ManifestEntry {
  /** Name inside the directory, without a path. */
  name: string
  /** From 1. */
  seq: number
  /** Base, increment, history (to be deleted). */
  type: 'b' | 'i' | 'h'
  /** Replication offsets at the part's ends, where the writer noted them (redis 8). */
  startReplOffset?: number
  endReplOffset?: number
}

export interface Manifest {
  base: ManifestEntry | undefined
  /** In the order in which they are loaded. */
  incrs: ManifestEntry[]
  history: ManifestEntry[]
}

/** Servers read lines into a buffer of this size. */
const MAX_LINE_BYTES = 1023
const LF = 10

/** `appendonly.aof` → `appendonly.aof.manifest`. */
export function manifestName(appendFileName: string): string {
  return `${appendFileName}.manifest`
}

/** Parses a manifest; throws AofError where a server would refuse to start. */
export function parseManifest(bytes: Uint8Array, file?: string): Manifest {
  const manifest: Manifest = { base: undefined, incrs: [], history: [] }
  const refuse = (message: string, byteOffset: number): never => {
    throw new AofError('ERR_AOF_CORRUPT', { file, byteOffset, reading: 'manifest' }, message)
  }
  if (bytes.length === 0) refuse('the manifest is empty', 0)
  let at = 0
  let lines = 0
  while (at < bytes.length) {
    const from = at
    const lineEnd = bytes.indexOf(LF, from)
    if (lineEnd < 0) refuse('the last line of the manifest has no line feed', bytes.length)
    at = lineEnd + 1
    if (lineEnd - from > MAX_LINE_BYTES) {
      refuse(`a manifest line is longer than ${MAX_LINE_BYTES} bytes`, from)
    }
    const line = Buffer.from(bytes.subarray(from, lineEnd)).toString('latin1')
    if (line.startsWith('#')) continue
    lines += 1
    const text = line.replace(/^[ \t\r]+|[ \t\r]+$/g, '')
    if (text === '') refuse('blank line in the manifest', from)
    const words = splitWords(text)
    if (words === undefined || words.length < 6 || words.length % 2 !== 0) {
      refuse('a manifest line is not pairs of words', from)
    }
    const entry = readEntry(words!, from, refuse)
    if (entry.type === 'b') {
      if (manifest.base !== undefined) refuse('the manifest names two base files', from)
      manifest.base = entry
    } else if (entry.type === 'i') {
      const before = manifest.incrs[manifest.incrs.length - 1]
      if (before !== undefined && entry.seq <= before.seq) {
        refuse('sequence numbers of increments do not rise', from)
      }
      manifest.incrs.push(entry)
    } else {
      manifest.history.push(entry)
    }
  }
  if (lines === 0) refuse('the manifest names no file', 0)
  return manifest
}

/** The text of a manifest: base, history, increments, as servers order them. */
export function formatManifest(manifest: Manifest): string {
  const entries = [
    ...(manifest.base === undefined ? [] : [manifest.base]),
    ...manifest.history,
    ...manifest.incrs,
  ]
  return entries.map((entry) => `${formatEntry(entry)}\n`).join('')
}

/** Is this the beginning of a manifest? By its first line that is no comment, as the check tool. */
export function looksLikeManifest(head: Uint8Array): boolean {
  for (const line of Buffer.from(head.subarray(0, 4096)).toString('latin1').split('\n')) {
    if (line.startsWith('#')) continue
    return line.startsWith('file ')
  }
  return false
}

function readEntry(
  words: readonly string[],
  byteOffset: number,
  refuse: (message: string, byteOffset: number) => never,
): ManifestEntry {
  let name: string | undefined
  let seq = 0
  let type: string | undefined
  const offsets: { startReplOffset?: number; endReplOffset?: number } = {}
  for (let i = 0; i < words.length; i += 2) {
    const value = words[i + 1]!
    switch (words[i]!.toLowerCase()) {
      case 'file':
        // Words were cut as bytes; names on disk are UTF-8 to us.
        name = Buffer.from(value, 'latin1').toString('utf8')
        break
      case 'seq':
        seq = /^\d{1,15}$/.test(value) ? Number(value) : 0
        break
      case 'type':
        type = value
        break
      case 'startoffset':
        if (/^\d{1,15}$/.test(value)) offsets.startReplOffset = Number(value)
        break
      case 'endoffset':
        if (/^\d{1,15}$/.test(value)) offsets.endReplOffset = Number(value)
        break
    }
  }
  if (name === undefined || name === '' || seq === 0 || type === undefined) {
    return refuse('a manifest line lacks file, seq or type', byteOffset)
  }
  if (/[/\\]/.test(name)) return refuse('a file name in the manifest has a path', byteOffset)
  if (type !== 'b' && type !== 'i' && type !== 'h') {
    return refuse('a file type in the manifest is not b, i or h', byteOffset)
  }
  return { name, seq, type, ...offsets }
}

function formatEntry(entry: ManifestEntry): string {
  const name =
    /^[\x21-\x7e]+$/.test(entry.name) && !/["'\\]/.test(entry.name)
      ? entry.name
      : quoteWord(entry.name)
  const start = entry.startReplOffset === undefined ? '' : ` startoffset ${entry.startReplOffset}`
  const end = entry.endReplOffset === undefined ? '' : ` endoffset ${entry.endReplOffset}`
  return `file ${name} seq ${entry.seq} type ${entry.type}${start}${end}`
}

function quoteWord(word: string): string {
  let text = '"'
  for (const byte of Buffer.from(word, 'utf8')) {
    if (byte === 0x22 || byte === 0x5c) text += `\\${String.fromCharCode(byte)}`
    else if (byte >= 0x20 && byte <= 0x7e) text += String.fromCharCode(byte)
    else text += `\\x${byte.toString(16).padStart(2, '0')}`
  }
  return `${text}"`
}

const ESCAPES: Readonly<Record<string, string>> = {
  n: '\n',
  r: '\r',
  t: '\t',
  b: '\b',
  a: '\x07',
}

/** Splits a line as servers split a command line; undefined for unbalanced quotes. */
export function splitWords(line: string): string[] | undefined {
  const words: string[] = []
  let at = 0
  for (;;) {
    while (at < line.length && /\s/.test(line[at]!)) at += 1
    if (at >= line.length) return words
    let word = ''
    let quote = ''
    for (;;) {
      const char = line[at]
      if (quote === '') {
        if (char === undefined || /\s/.test(char)) break
        if (char === '"' || char === "'") quote = char
        else word += char
        at += 1
        continue
      }
      if (char === undefined) return undefined
      if (char === quote) {
        const next = line[at + 1]
        if (next !== undefined && !/\s/.test(next)) return undefined
        at += 1
        break
      }
      if (char === '\\' && quote === '"') {
        const hex = /^\\x([0-9a-fA-F]{2})/.exec(line.slice(at, at + 4))
        if (hex !== null) {
          word += String.fromCharCode(parseInt(hex[1]!, 16))
          at += 4
        } else if (at + 1 < line.length) {
          word += ESCAPES[line[at + 1]!] ?? line[at + 1]!
          at += 2
        } else {
          return undefined
        }
        continue
      }
      if (char === '\\' && line[at + 1] === "'") {
        word += "'"
        at += 2
        continue
      }
      word += char
      at += 1
    }
    words.push(word)
  }
}
