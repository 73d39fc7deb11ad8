/**
 * What of a damaged dump is lost, found before anything is written of it: a key whose damage shows
 * in its midst would else leave a half behind. Who reads the dump a second time, with the parser's
 * `salvage`, leaves out the keys that begin at `keysFrom`.
 */
import { InputError, RdbError } from '../errors.js'
import { RdbParser } from '../rdb/parser.js'
import { DEPTH, type LostRegion } from '../rdb/visitor.js'
import { pumpRdb, type RdbInput } from './rdb-input.js'

export interface Damage {
  /** Where the records of damaged keys begin. */
  readonly keysFrom: ReadonlySet<number>
  /** The first thousand. */
  readonly lost: readonly LostRegion[]
  readonly lostRegions: number
  readonly lostBytes: number
  /** What a run that does not salvage ends with; undefined: the dump is sound. */
  readonly error: InputError | undefined
}

const MAX_LOST = 1000
const CHECKSUM_BYTES = 8

export interface FindDamageOptions {
  /** What errors call it, if not by what was opened. */
  file?: string | undefined
  signal?: AbortSignal | undefined
  onProgress?: ((consumedBytes: number) => void) | undefined
}

/** Reads everything once. Throws what is no damage, and what is no RDB. */
export async function findDamage(rdb: RdbInput, options: FindDamageOptions = {}): Promise<Damage> {
  const { file = rdb.name } = options
  const keysFrom = new Set<number>()
  const lost: LostRegion[] = []
  let lostRegions = 0
  let lostBytes = 0
  const parser = new RdbParser(
    {
      key: () => DEPTH.SKIP,
      lost: (region) => {
        keysFrom.add(region.fromByte)
        lostRegions += 1
        lostBytes += region.toByte - region.fromByte
        if (lost.length < MAX_LOST) lost.push(region)
      },
    },
    { file, salvage: true },
  )
  const { summary } = await pumpRdb(rdb, parser, options)
  const [first] = lost
  let error = first?.error instanceof InputError ? first.error : undefined
  if (error === undefined && summary.checksum === 'bad') {
    error = new RdbError(
      'ERR_RDB_CORRUPT',
      { file, byteOffset: summary.rdbBytes - CHECKSUM_BYTES, reading: 'checksum' },
      'the checksum does not match: some byte before it is not what the server wrote',
    )
  }
  return { keysFrom, lost, lostRegions, lostBytes, error }
}
