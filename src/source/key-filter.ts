/**
 * Which keys a command looks at: by db, name, type, size and time to live. Compiled once; the
 * tests on the hot path take bytes and numbers and allocate nothing (a regular expression needs
 * text, and costs it).
 */
import { Buffer } from 'node:buffer'
import { compileGlob, type ByteMatcher } from '../bytes/glob.js'
import { UsageError } from '../errors.js'
import { typeNameOf, type KeyHeader } from '../rdb/visitor.js'

/** The types as TYPE names them; a module's type by its own name. */
export interface KeyFilterOptions {
  dbs?: readonly number[]
  /** Redis globs; a key passes if any matches. */
  match?: readonly (string | Uint8Array)[]
  /** Redis globs; a key passes if none matches. */
  noMatch?: readonly (string | Uint8Array)[]
  /** Tested against the key's bytes read as latin1, so that each byte is one character. */
  regex?: RegExp
  types?: readonly string[]
  /** Estimated memory (inspect) or serialised size, in bytes. */
  minSizeBytes?: number
  /**
   * any: has an expiry; none: has none; expired: its time is past; live: has time left; a bound: has so
   * much time left, at least a millisecond.
   */
  ttl?: 'any' | 'none' | 'expired' | 'live' | TimeBound
  /** Not used for so long, as the dump says: one of a server with an LRU policy. A key of which the
   * dump does not say it does not pass. */
  idle?: TimeBound
}

/** More or less than so many ms. */
export type TimeBound = { readonly aboveMs: number } | { readonly belowMs: number }

export interface KeyFilter {
  /** True where nothing is asked: every test passes. */
  readonly passesAll: boolean
  /** True where type, size or ttl are asked about: they need more than the name. */
  readonly needsValue: boolean
  db(dbnum: number): boolean
  name(bytes: Uint8Array, start: number, end: number): boolean
  type(name: string): boolean
  size(sizeBytes: number): boolean
  /** @param expireAtMs unix ms, or -1 for none */
  ttl(expireAtMs: number, nowMs: number): boolean
  /** True where `idle` asks: batches of strings do not tell of it. */
  readonly asksIdle: boolean
  /** @param idleSeconds or -1 for unknown */
  idle(idleSeconds: number): boolean
}

export function compileKeyFilter(options: KeyFilterOptions = {}): KeyFilter {
  const dbs = options.dbs === undefined ? undefined : new Set(options.dbs)
  const types = options.types === undefined ? undefined : new Set(options.types)
  const match = globs(options.match)
  const noMatch = globs(options.noMatch)
  // A `g` or `y` flag would make each test depend on the one before.
  const regex =
    options.regex === undefined
      ? undefined
      : new RegExp(options.regex.source, options.regex.flags.replace(/[gy]/g, ''))
  const minSizeBytes = options.minSizeBytes
  const { ttl, idle } = options
  const needsValue =
    types !== undefined || minSizeBytes !== undefined || ttl !== undefined || idle !== undefined
  return {
    needsValue,
    passesAll:
      !needsValue &&
      dbs === undefined &&
      match === undefined &&
      noMatch === undefined &&
      regex === undefined,
    db: (dbnum) => dbs?.has(dbnum) ?? true,
    name: (bytes, start, end) =>
      (match === undefined || anyMatches(match, bytes, start, end)) &&
      (noMatch === undefined || !anyMatches(noMatch, bytes, start, end)) &&
      (regex === undefined || regex.test(latin1(bytes, start, end))),
    type: (name) => types?.has(name) ?? true,
    size: (sizeBytes) => minSizeBytes === undefined || sizeBytes >= minSizeBytes,
    ttl: (expireAtMs, nowMs) => {
      if (typeof ttl === 'object') {
        return expireAtMs > nowMs && isWithin(ttl, expireAtMs - nowMs)
      }
      switch (ttl) {
        case 'any':
          return expireAtMs !== -1
        case 'none':
          return expireAtMs === -1
        case 'expired':
          return expireAtMs !== -1 && expireAtMs <= nowMs
        case 'live':
          return expireAtMs !== -1 && expireAtMs > nowMs
        default:
          return true
      }
    },
    asksIdle: idle !== undefined,
    idle: (idleSeconds) =>
      idle === undefined || (idleSeconds >= 0 && isWithin(idle, idleSeconds * 1000)),
  }
}

function isWithin(bound: TimeBound, ms: number): boolean {
  return 'aboveMs' in bound ? ms > bound.aboveMs : ms < bound.belowMs
}

function globs(
  patterns: readonly (string | Uint8Array)[] | undefined,
): readonly ByteMatcher[] | undefined {
  if (patterns === undefined || patterns.length === 0) return undefined
  return patterns.map((each) =>
    compileGlob(typeof each === 'string' ? Buffer.from(each, 'utf8') : each),
  )
}

function anyMatches(
  matchers: readonly ByteMatcher[],
  bytes: Uint8Array,
  start: number,
  end: number,
): boolean {
  for (const matcher of matchers) if (matcher(bytes, start, end)) return true
  return false
}

function latin1(bytes: Uint8Array, start: number, end: number): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString('latin1')
}

/** A filter with the db that an address names (`redis://host/2`): the same as `dbs: [2]`. Throws
 * UsageError where both are given and differ. */
export function withAddressDb(
  filter: KeyFilterOptions | undefined,
  db: number,
): KeyFilterOptions | undefined {
  if (db === 0) return filter
  const dbs = filter?.dbs
  if (dbs !== undefined && (dbs.length !== 1 || dbs[0] !== db)) {
    throw new UsageError(`the address names db ${db}, and the filter db ${dbs.join(', ')}`, {
      hint: 'leave one of them out',
    })
  }
  return { ...filter, dbs: [db] }
}

/** All that a header tells, in the order of what it costs. */
export function wantsKey(
  filter: KeyFilter,
  header: KeyHeader,
  nowMs: number,
  expireAtMs: number = header.expireAtMs,
): boolean {
  const { key } = header
  return (
    filter.passesAll ||
    (filter.db(header.dbnum) &&
      filter.type(typeNameOf(header)) &&
      filter.ttl(expireAtMs, nowMs) &&
      filter.idle(header.idleSeconds) &&
      filter.name(key.bytes, key.start, key.end))
  )
}
