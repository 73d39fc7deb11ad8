/** What the report is made of: the result of an inspection, and who answers further questions. */
import type { Buffer } from 'node:buffer'
import type { MemoryReport } from '../analyze/distributions/distributions.js'
import type { GrowthTable } from '../analyze/growth/table.js'
import type { Row } from '../analyze/totals.js'
import type { ChecksumState } from '../rdb/visitor.js'
import type { Html } from './html.js'

/** An inspection with `report` is one. */
export interface ReportInput {
  readonly file: string
  readonly bytes: number
  readonly family: 'redis' | 'valkey'
  readonly rdbVersion: number
  readonly checksum: ChecksumState
  readonly complete: boolean
  readonly error: Error | undefined
  readonly aux: ReadonlyMap<string, string>
  readonly functions: number
  readonly keys: number
  readonly expires: number
  readonly filteredOut: number
  readonly commandsLeftOut: number
  readonly lostRegions: number
  readonly memory: number
  readonly tableMemory: number
  readonly encodings: readonly (readonly [string, Row])[]
  readonly databases: readonly (readonly [
    number,
    { keys: number; expires: number; memory: number },
  ])[]
  readonly report: MemoryReport | undefined
  /** With an older dump beside it. */
  readonly growth?: GrowthInput | undefined
}

export interface GrowthInput {
  readonly table: GrowthTable
  readonly older: {
    readonly file: string
    /** Unix ms; undefined where it does not say. */
    readonly madeMs: number | undefined
    /** False: the figures are of what came before the damage. */
    readonly complete: boolean
  }
}

/** A question that a sentence leads to. */
export type ReportQuestion =
  | { readonly about: 'prefix'; readonly prefix: Buffer; readonly onlyLasting: boolean }
  | { readonly about: 'key'; readonly key: Buffer }
  | { readonly about: 'type'; readonly type: string }
  | { readonly about: 'tag'; readonly tag: Buffer }
  | { readonly about: 'lasting' | 'expired' | 'largest' | 'idle' | 'everything' }
  | { readonly about: 'growth'; readonly older: string }
  /** Of what was written: the commands themselves, or the state before one of them. */
  | {
      readonly about: 'written'
      readonly key?: Buffer
      readonly prefix?: Buffer
      readonly command?: string
    }
  | { readonly about: 'by-key' }
  | { readonly about: 'before'; readonly replOffset: number }

export interface PageOptions {
  /** How the question is asked; undefined: it cannot be, or not by such a name. */
  ask?: ((question: ReportQuestion) => string | undefined) | undefined
  /** What made the report, as its reader would type it. */
  madeBy?: string | undefined
  /** Of rrep. */
  version?: string | undefined
  /** Unix ms: when the report is made. */
  nowMs: number
}

export interface ReportOptions extends PageOptions {
  /** More sections, in front of the one about method. */
  more?: readonly ReportSection[] | undefined
}

export interface ReportSection {
  /** For the address; letters and hyphens. */
  readonly id: string
  readonly title: string
  readonly body: Html
}
