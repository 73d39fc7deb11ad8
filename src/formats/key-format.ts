/**
 * What a form is in which keys can be written: a row of the table in `formats.ts`, which makes a
 * visitor of the RDB parser for each run.
 */
import type { Buffer } from 'node:buffer'
import type { OutputBuffer } from '../bytes/output-buffer.js'
import type { ByteKernel } from '../kernels/kernel.js'
import type { WithLane } from '../rdb/lane/lane.js'
import type { ElementVisitor, KeyHeader, RdbVisitor, Slice } from '../rdb/visitor.js'
import type { LossCounts } from '../servers/loss.js'
import type { TargetCapabilities } from '../servers/capabilities.js'

export interface KeyFormat {
  /** Of file names, in lower case; the first is what this format is called by. */
  readonly extensions: readonly string[]
  /** Its bytes may be anything: never shown on a terminal as they are. */
  readonly isBinary: boolean
  /** The parser walks packed values, so that the longest element of each is known. */
  readonly walkBlobs?: boolean
  /** It knows the memory of each key, which is what the smallest size is about then. */
  readonly measuresMemory?: boolean
  /** What becomes of values of modules. */
  readonly modules: 'null' | 'payload' | 'row' | 'raw'
  /** It is compressed inside, and read at any place: nobody wants it packed once more. */
  readonly isPacked?: boolean
  /** Keys may go elsewhere in it (`KeyFormatRun.place`), and it may be split by slot. */
  readonly movesKeys?: boolean
  /** What is written of keys does not depend on those in front of them, but for a first SELECT: several may
   * write pieces of it (`KeyFormatRun.isPiece`). */
  readonly goesInPieces?: boolean
  /** It has a place for function libraries. */
  readonly functions: boolean
  /** To be awaited before `create`: brings the library that only this format needs. */
  load?(): Promise<void>
  create(run: KeyFormatRun): KeyWriter
}

/** One run of a format: where it writes, and what is wanted. */
export interface KeyFormatRun {
  readonly out: OutputBuffer
  /** `out` and what is read lie in its memory, as far as the caller can see to that. */
  readonly kernel: ByteKernel
  /** The first bytes of the dump: magic and AUX fields. */
  readonly head: Buffer
  /** Whether the key is wanted; asked once for each that is not taken by `isFree`. */
  readonly wanted: (header: KeyHeader) => boolean
  /** The same of a string by what a row of many tells; `expireAtMs` is -1 for none. Undefined: every
   * key must be looked at. */
  readonly wantedString:
    | ((dbnum: number, key: Buffer, start: number, end: number, expireAtMs: number) => boolean)
    | undefined
  /** Of formats that move keys: where each goes that is wanted; false: nowhere. Undefined: they stay
   * where they are. */
  readonly place: ((header: KeyHeader, place: KeyPlace) => boolean) | undefined
  /** Of dumps: what stands in front of who writes values from their elements. Undefined: they stay. */
  readonly scrub: ((inner: ElementVisitor & Partial<RdbVisitor>) => ScrubbedElements) | undefined
  /** Of formats that can be split: an output for each part beside `out`, which is not used, and the
   * part that a key is in, by the name it goes under; -1: in none. */
  readonly split:
    | {
        readonly outs: readonly OutputBuffer[]
        readonly partOf: (key: Slice) => number
      }
    | undefined
  /** Of dumps: long strings are compressed. */
  readonly lzf: boolean
  /** Every key is wanted: those that can be taken thousands at once need not be asked about. */
  readonly isFree: boolean
  /** Smaller keys are not wanted, of a format that measures them itself; else 0. */
  readonly minSizeBytes: number
  /** Formats of text: how bytes are shown. */
  readonly strings: 'text' | 'base64'
  /** All times in the dump carry it, in ms: the parser tells them without, raw values have them. */
  readonly timeShiftMs: number
  /** Formats for a server: which. Default: the one that wrote the dump. */
  readonly target: TargetCapabilities | undefined
  /** Keys from the middle, of formats that go in pieces: what stands in front of the first and behind the last is
   * for others, and each is written as one that follows another. */
  readonly isPiece?: boolean | undefined
  /** Of dumps that a server is given at once, which would end at what it has no place for. */
  readonly loader?: DumpLoader | undefined
}

/** Elements of values that become others. */
export interface ScrubbedElements extends Partial<RdbVisitor> {
  /** The key at hand; true: its value must not stay as it is. */
  begin(header: KeyHeader): boolean
}

export interface DumpLoader {
  /** So many it has: keys of others are lost. */
  readonly databases: number
  /** By the name of a type. False: its values, and data beside keys, are lost. */
  readonly hasModule: (moduleName: string) => boolean
  readonly tally: KeyTally
}

/** Hears what becomes of each key. */
export interface KeyTally {
  /** Unix ms: keys with an earlier expiry are past their time. */
  readonly nowMs: number
  /** One that was looked at by itself. */
  key(header: KeyHeader, fate: KeyFate): void
  /** A string of a row; `expireAtMs` is -1 for none. */
  string(dbnum: number, expireAtMs: number, isWanted: boolean): void
  /** A row that is written as it is: RECORD_TYPES counters by type byte, then those of them that are
   * past their time. Valid during the call. */
  records(dbnum: number, counts: Uint32Array): void
}

export const KEY_FATE = {
  WRITTEN: 'written',
  SKIPPED: 'skipped',
  /** The new dump, or who loads it, has no place for it. */
  LOST: 'lost',
  /** The same of one that was told as written. */
  TAKEN_BACK: 'taken-back',
} as const
export type KeyFate = (typeof KEY_FATE)[keyof typeof KEY_FATE]

/** Where a key goes. ONE object, reused. */
export interface KeyPlace {
  key: Slice
  dbnum: number
  /** Unix ms. */
  expireAtMs: number | undefined
}

export interface KeyWriter {
  readonly visitor: RdbVisitor & WithLane
  /** What was written so far, and what could not be. */
  readonly counts: KeyFormatCounts
  /** Of commands: the db that the last ones are for; -1 or undefined: none. */
  readonly selectedDb?: number
  /** Between two chunks of input: what is held beside `out` goes into it. */
  drain?(): void
  /** Keys come between those before and those to come, from others. */
  goOn?(): void
  /** The last of those were for this db. */
  goOnIn?(dbnum: number): void
  /** Behind the parser's end: the rest, up to the last byte. */
  finish(): void
}

export interface KeyFormatCounts {
  keys: number
  /** Of each part, where it was split. */
  partKeys?: readonly number[] | undefined
  /** Left out because they are too small, of a format that measures them. */
  tooSmall?: number
  /** Function libraries that were met. */
  functions: number
  /** Commands written, of a format of commands. */
  commands: number
  /** What the form cannot bring to the server that it is for. */
  losses: LossCounts
  /** Strings that are not UTF-8 and stand as text with U+FFFD in them. */
  inexactStrings: number
  /** Values too big to be put in order; they are in the order of the dump. */
  unorderedValues: number
}
