/** What threads are asked to make of pieces of a dump, and what they say of them. */
import type { MessagePort } from 'node:worker_threads'
import type { PrefixOptions } from '../../analyze/prefix-tree.js'
import type { KeyFormatName } from '../../formats/formats.js'
import type { KeyFormatCounts } from '../../formats/key-format.js'
import type { RdbPlace } from '../../rdb/parser.js'
import type { ServerFamily } from '../../servers/capabilities.js'
import type { KeyFilterOptions } from '../../source/key-filter.js'

/** Whole records: the bytes from the place of the first one up to `to`. */
export interface Piece {
  readonly from: RdbPlace
  readonly to: number
  /** Of those that compare keys, when it was handed out: see `KeyWatch`. */
  readonly halvings?: number | undefined
}

/** For tests: pieces and reads of other sizes. */
export interface PieceSizes {
  readonly pieceBytes: number
  readonly readBytes: number
}

/** The server that commands are for. */
export interface ExportTarget {
  readonly family: ServerFamily
  readonly version: string
}

export interface ExportJob {
  readonly kind: 'export'
  readonly format: KeyFormatName
  readonly target: ExportTarget | undefined
  readonly strings: 'text' | 'base64'
  readonly filter: KeyFilterOptions | undefined
  readonly nowMs: number
}

/** Adds up digests of keys: of all pieces that a thread gets. */
export interface DigestJob {
  readonly kind: 'digest'
  readonly secret: Uint8Array
  readonly shiftMs: number | undefined
  readonly filter: KeyFilterOptions | undefined
  readonly nowMs: number
}

/** Looks at every byte of every value, and notes names for who compares them with those of other pieces. */
export interface CheckJob {
  readonly kind: 'check'
}

/** Counts keys: of all pieces that a thread gets. */
export interface AnalysisJob {
  readonly kind: 'analysis'
  readonly nowMs: number
  readonly top: number
  readonly prefixes: PrefixOptions | undefined
  readonly filter: KeyFilterOptions | undefined
}

export type PieceJob = ExportJob | DigestJob | CheckJob | AnalysisJob

export interface WorkerStart {
  /** Of the dump, open; threads of a process share these numbers. */
  readonly fd: number
  /** Magic and AUX fields: what a visitor is told before keys. */
  readonly head: Uint8Array
  readonly timeShiftMs: number
  readonly readBytes: number
  readonly job: PieceJob
  /** See CONTROL. */
  readonly control: SharedArrayBuffer
  /** The slots: of PART_BYTES each. */
  readonly output: SharedArrayBuffer
  readonly port: MessagePort
}

/** Words of `WorkerStart.control`. */
export const CONTROL = {
  /** Parts of output that the other side is done with. */
  TAKEN: 0,
  STOP: 1,
} as const
export const CONTROL_BYTES = 8
/** Output lies in so many slots that both sides see, and goes from one to the next. */
export const MOST_PARTS = 8
export const PART_BYTES = 1 << 20

/** What became of the keys of a piece. */
export interface ExportTally {
  readonly counts: KeyFormatCounts
  readonly keysFiltered: number
  readonly modules: Readonly<Record<string, number>>
  /** See `KeyWriter`. */
  readonly selectedDb: number | undefined
}

export type ToWorker = { readonly kind: 'piece'; readonly piece: Piece } | { readonly kind: 'end' }

export type FromWorker =
  /** Output of the piece at hand, in order: so many bytes of the next slot. */
  | { readonly kind: 'part'; readonly bytes: number }
  | {
      readonly kind: 'done'
      readonly notices: Readonly<Record<string, number>>
      readonly tally: ExportTally | undefined
      /** Of a check: see `KeyNotes`. */
      readonly names: Uint8Array<ArrayBuffer> | undefined
    }
  /** Something is wrong in it: who reads it in the usual way will say what. */
  | { readonly kind: 'failed'; readonly message: string }
  /** Behind `end`: what was added up. */
  | { readonly kind: 'sums'; readonly sums: Uint8Array<ArrayBuffer> | undefined }
